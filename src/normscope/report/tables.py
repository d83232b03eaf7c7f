"""The tables behind the verdicts, as text: the same in the page and in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.analysis import Analysis
from normscope.analysis.agreement import Agreement
from normscope.analysis.contrasts import Contrast
from normscope.analysis.metrics import (
    CALIBRATION,
    CALIBRATION_FAMILY,
    TEMPERATURE,
    TEST_LOSS,
    Metric,
)
from normscope.analysis.robustness import ALL, CLEAN, Robustness
from normscope.analysis.verdicts import Verdict
from normscope.experiment import Costs, NormCost, Spread
from normscope.report.result_table import Cell, difference, mean_sd
from normscope.stats import Estimate, SharedMistakes
from normscope.words import (
    NONE,
    confidence,
    counted,
    interval,
    milliseconds,
    number,
    p_value,
    signed,
)


@dataclass(frozen=True)
class Table:
    """`rows` begin with the name of what they are about; `norms` has the norm of each row."""

    title: str
    caption: str
    headings: list[str]
    rows: list[list[Cell]]
    norms: list[str | None]


def evidence_tables(analysis: Analysis) -> list[Table]:
    """Every table for which there is something to say."""
    tables = [
        _batch_sizes(analysis),
        _beside(analysis),
        _places(analysis),
        _variances(analysis),
        _secondary(analysis),
        *([_robustness(analysis.robustness, analysis)] if analysis.robustness else []),
        _calibration(analysis),
        _tuning(analysis),
    ]
    return [table for table in tables if table.rows]


def agreement_tables(analysis: Analysis) -> list[Table]:
    """How far trials agree on which test images are hard; none before a trial has finished."""
    agreement = analysis.agreement
    if agreement is None:
        return []
    tables = [_splits(agreement)] if agreement.every.trials > 1 else []
    if agreement.shared is not None:
        tables.append(_shared(agreement, agreement.shared))
    return tables


def _splits(agreement: Agreement) -> Table:
    splits = [*agreement.splits.items()]
    if len(splits) > 1:
        splits.append(("all of them", agreement.every))
    return Table(
        "Hard and easy images",
        f"Of the {agreement.test_size:,} test images, how many are right or wrong in every "
        f"finished trial: {_trials(agreement)}. The more trials there are, the more images are "
        "mixed.",
        ["Norm", "Right in all", "Wrong in all", "Mixed"],
        [
            [Cell(name), *(Cell(f"{n:,}") for n in (s.right, s.wrong, s.mixed))]
            for name, s in splits
        ],
        [name if name in agreement.splits else None for name, _ in splits],
    )


def _trials(agreement: Agreement) -> str:
    """``3 of each norm``, or ``3 of bn, 2 of gn``."""
    counts = {norm: split.trials for norm, split in agreement.splits.items()}
    if len({*counts.values()}) == 1 < len(counts):
        return f"{next(iter(counts.values()))} of each norm"
    return ", ".join(f"{count} of {norm}" for norm, count in counts.items())


def _shared(agreement: Agreement, shared: SharedMistakes) -> Table:
    norms = agreement.norms
    rows = [
        [Cell(norm), *(Cell(number(v, 1), "", r == c) for c, v in enumerate(shared.percent[r]))]
        for r, norm in enumerate(norms)
    ]
    return Table(
        "Mistakes in common",
        "How many percent of their mistakes two trials have in common, which is 2 |A and B| / "
        "(|A| + |B|), mean over the pairs of trials with different seeds. Bold: two seeds of the "
        "same norm, beside which the other numbers are to be read. At random, two trials with this "
        f"many mistakes would share {number(agreement.by_chance_percent, 1)} %.",
        ["Norm", *norms],
        rows,
        list(norms),
    )


def _batch_sizes(analysis: Analysis) -> Table:
    sizes, norms = analysis.experiment.batch_sizes, analysis.experiment.norms
    cells = {(norm.norm, norm.batch_size): norm for norm in analysis.by_batch_size}
    rows = []
    for norm in norms if len(sizes) > 1 else ():
        row = [Cell(norm)]
        for size in sizes:
            found = cells[norm, size]
            accuracy = mean_sd(found.test_accuracy_percent, 1)
            row.append(Cell(accuracy.text, _standing(found.verdict), _is_decided(found.verdict)))
        rows.append(row)
    return Table(
        "By batch size",
        f"Test accuracy in percent, and the difference to {norms[0]} at the same batch size in "
        "points; bold where it is decided. The learning rate is scaled with the batch size.",
        ["Norm", *(f"{size:,}" for size in sizes)],
        rows,
        [row[0].text for row in rows],
    )


def _is_decided(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.decided


def _standing(verdict: Verdict | None) -> str:
    if verdict is None:
        return "baseline"
    return f"{signed(verdict.difference.mean)}, {verdict.outcome}"


def _beside(analysis: Analysis) -> Table:
    level = confidence(analysis.rules.alpha)
    rows = []
    verdicts = {norm.norm: norm.verdict for norm in analysis.norms}
    for found in analysis.evidence:
        verdict = verdicts[found.norm]
        if verdict is None or not found.bootstrap.n:
            continue
        judgement = verdict.judgement
        rows.append(
            [
                Cell(found.norm),
                Cell(signed(found.bootstrap.mean), _sd(found.bootstrap)),
                Cell(interval(*(judgement.simultaneous or (None, None)))),
                Cell(p_value(judgement.p_value)),
                Cell(interval(found.bootstrap.low, found.bootstrap.high)),
                Cell(interval(*(found.seeds_and_images or (None, None)))),
                Cell(p_value(found.sign_flip_p)),
                Cell(number(found.superiority, 2)),
                Cell(number(found.correlation, 2)),
            ]
        )
    return Table(
        "Beside the verdicts",
        "Other views of the same differences in points, over the seeds in which both finished. "
        "They decide nothing, and all but the simultaneous intervals and the p values by Holm "
        f"assume a single look. The simultaneous intervals hold for all norms at once ({level}). "
        "The bootstrap interval (BCa) and the one over seeds and images hold for one comparison "
        "(95 %), the latter also for new images of this kind. P(norm > baseline): how often one "
        "run of the norm beats one run of the baseline. Correlation: between the two accuracies "
        "of a seed.",
        [
            "Norm",
            "Difference",
            "Simultaneous",
            "p, Holm",
            "Bootstrap",
            "Seeds and images",
            "p, sign flips",
            f"P(norm > {analysis.experiment.baseline})",
            "Correlation",
        ],
        rows,
        [row[0].text for row in rows],
    )


def _sd(estimate: Estimate) -> str:
    return "" if estimate.sd is None else f"sd {number(estimate.sd, 2)}"


def _places(analysis: Analysis) -> Table:
    accuracy = {norm.norm: norm.test_accuracy_percent for norm in analysis.norms}
    rows = [
        [
            Cell(verdict.baseline),
            mean_sd(accuracy[verdict.baseline], 1),
            mean_sd(accuracy[verdict.norm], 1),
            difference(verdict),
            Cell(p_value(verdict.judgement.p_value)),
            Cell(verdict.outcome, verdict.guessing_in_all.counts, verdict.decided),
        ]
        for verdict in analysis.places
    ]
    caption = (
        "Test accuracy with the same norm after the activation (post) and before it (pre), and the "
        f"mean difference within seeds with its {confidence(analysis.rules.alpha)} interval. The "
        "verdict is on pre; bold where decided. Tested as a family of its own "
        f"({counted(len(rows), 'comparison')}), corrected by Holm at "
        f"{100 * analysis.rules.alpha:g} %, so an interval may differ from that among the answers."
    )
    if len(rows) > 1:
        caption += (
            " That one norm has a verdict and another has none does not show that the place "
            "matters more for the first."
        )
    return Table(
        "Placement",
        caption,
        ["Norm", "Post (%)", "Pre (%)", "Pre − post (points)", "p, Holm", "Verdict"],
        rows,
        [verdict.baseline for verdict in analysis.places],
    )


def _variances(analysis: Analysis) -> Table:
    rows = []
    for norm, split in analysis.variances.items():
        true = max(split.between, 0.0) ** 0.5
        rows.append(
            [
                Cell(norm),
                Cell(number(split.total**0.5, 2)),
                Cell(number(split.noise**0.5, 2)),
                Cell(number(true, 2), "estimate below 0" if split.between < 0 else ""),
            ]
        )
    return Table(
        "Why seeds differ",
        "Standard deviations of the test accuracy over seeds, in points. Test-set noise is what "
        "independent coin flips on single images give; the rest is the spread of the networks "
        "themselves. The squares of the last two add up to that of the first, unless the estimate "
        "of the true spread is below 0.",
        ["Norm", "Over seeds", "Test-set noise", "True spread"],
        rows,
        [row[0].text for row in rows],
    )


def _secondary(analysis: Analysis) -> Table:
    norms = analysis.experiment.norms[1:]
    found = {(c.metric, c.norm): c for c in analysis.secondary if c.judgement.pairs.seeds}
    metrics = list(dict.fromkeys(metric for metric, _ in found))
    rows = [
        [Cell(metric.heading), *(_contrast(found.get((metric, norm))) for norm in norms)]
        for metric in metrics
    ]
    return Table(
        "Secondary metrics",
        f"Mean difference to {analysis.experiment.baseline} within seeds. All "
        f"{len(analysis.secondary)} comparisons are one family of their own, corrected by Holm at "
        f"{100 * analysis.rules.alpha:g} %; bold where decided. Where a level was not always "
        f"reached, only the order counts.{_directions(metrics)}",
        ["Metric", *norms],
        rows,
        [None] * len(rows),
    )


def _directions(metrics: Sequence[Metric]) -> str:
    """Which way is better."""
    exceptions = [
        *(f"{metric.title} (higher)" for metric in metrics if metric.better == "higher"),
        *(f"{metric.title} (neither)" for metric in metrics if metric.better is None),
    ]
    return f" Lower is better, except for {' and '.join(exceptions)}."


def _contrast(contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell(NONE)
    metric, judgement, decided = contrast.metric, contrast.judgement, contrast.decided
    difference, digits = judgement.difference, max(2, metric.decimals)
    if judgement.pairs.ordinal:
        signs = judgement.pairs.differences
        later, earlier = sum(v > 0 for v in signs), sum(v < 0 for v in signs)
        text = f"{metric.greater} {later}, {metric.smaller} {earlier}"
        return Cell(text, f"of {counted(len(signs), 'seed')}", decided)
    mean = signed(difference.mean, digits)
    if difference.n > 1 and not judgement.spread:
        return Cell(mean, f"in each of {difference.n} seeds", decided)
    if difference.low is None:
        return Cell(mean, f"n {difference.n}", decided)
    return Cell(mean, interval(difference.low, difference.high, digits), decided)


def _robustness(found: Robustness, analysis: Analysis) -> Table:
    baseline, names = analysis.experiment.baseline, [metric.name for metric in found.metrics]
    rows = [
        [
            Cell(arm.name),
            mean_sd(arm.estimates[CLEAN], 1),
            *(
                _compared(arm.estimates[name], found.contrast(name, arm.name, baseline))
                for name in names
            ),
            Cell(str(arm.estimates[ALL].n)),
        ]
        for arm in found.arms
    ]
    clean = "the same images" if found.same_images else "all test images"
    return Table(
        "Robustness",
        "Test accuracy in percent on the probe's test images, made worse in six ways, each the "
        f"mean of five strengths; and on {clean} as they are. Lost are the points between that and "
        f"all kinds. Means over n seeds, with the difference to {baseline} within seeds; bold "
        f"where decided. All {len(found.contrasts)} comparisons are one family of their own, "
        f"corrected by Holm at {100 * analysis.rules.alpha:g} %. Adapted: with the statistics of "
        "the corrupted images in the place of the norm's running ones.",
        ["Norm", "Clean (%)", *(metric.heading for metric in found.metrics), "n"],
        rows,
        [arm.norm for arm in found.arms],
    )


def _calibration(analysis: Analysis) -> Table:
    found = {(c.metric, c.norm): c for c in analysis.calibration if c.judgement.pairs.seeds}
    plain = (TEST_LOSS, CALIBRATION)
    rows = [
        [
            Cell(norm.norm),
            *(mean_sd(norm.estimates[m.name], m.decimals) for m in plain),
            *(
                _compared(norm.estimates[m.name], found.get((m, norm.norm)), m.decimals)
                for m in CALIBRATION_FAMILY
            ),
            Cell(str(norm.estimates[TEMPERATURE.name].n)),
        ]
        for norm in (analysis.norms if found else ())
    ]
    return Table(
        "Calibration",
        "How far confidence can be trusted: the test loss, and by how many points confidence and "
        "accuracy differ on average (calibration error, 15 bins), as they are and scaled: with "
        "the logits of each half of the test images divided by a temperature that was fitted on "
        "the other half. A temperature above 1 says that the network is too sure. Means over n "
        f"seeds; behind the last three the difference to {analysis.experiment.baseline} within "
        f"seeds, bold where decided. These {len(analysis.calibration)} comparisons are one family "
        f"of their own, corrected by Holm at {100 * analysis.rules.alpha:g} %; the others are "
        "among the secondary metrics.",
        [
            "Norm",
            *(metric.heading for metric in (*plain, *CALIBRATION_FAMILY)),
            "n",
        ],
        rows,
        [row[0].text for row in rows],
    )


def _compared(estimate: Estimate, contrast: Contrast | None, digits: int = 1) -> Cell:
    """The mean with the difference to the baseline and its interval; of the baseline, its sd."""
    if contrast is None:
        return mean_sd(estimate, digits)
    found = _contrast(contrast)
    return Cell(number(estimate.mean, digits), f"{found.text}, {found.detail}", found.decided)


def _tuning(analysis: Analysis) -> Table:
    rows, norms = [], []
    for search in analysis.searches:
        tried = zip(search.rates, search.accuracy_percent, strict=True)
        size = f", batch {search.batch_size}" if analysis.several_sizes else ""
        edge = "at the edge of the grid" if search.at_edge else ""
        rows.append(
            [
                Cell(f"{search.norm}{size}"),
                Cell(NONE if search.best is None else f"{search.best:.3g}", edge),
                Cell("; ".join(f"{rate:.3g}: {number(score, 1)}" for rate, score in tried)),
            ]
        )
        norms.append(search.norm)
    return Table(
        "Learning rates",
        "Found for every norm on a tenth of the training images that was held out, with two seeds "
        "that are not used otherwise. Tried: each learning rate with its mean accuracy on those "
        "images, in percent.",
        ["Norm", "Chosen", "Tried"],
        rows,
        norms,
    )


def inside_tables(analysis: Analysis) -> list[Table]:
    """What the networks of each norm are like inside; none where no probes were taken."""
    if not analysis.inside:
        return []
    rows = [
        [Cell(each.norm), *(Cell(number(v, 2)) for v in each.measures.values()), Cell(str(each.n))]
        for each in analysis.inside
    ]
    return [
        Table(
            "Inside the networks",
            "Means over layers and over n seeds, after the training where nothing else is said. "
            "Sameness is how far the channels of a layer resemble each other at each position: 0 "
            "for not at all, 1 if all are alike. Shuffled: the same when each channel's maps are "
            "dealt out anew among the images, below which it cannot fall; pooled: of means over "
            "all positions, where brightness counts. Best r²: what a channel shares with the one "
            "that is most like it. S1: 1 if a channel can be replaced by a copy of another. Shares "
            "are of the variance at the norm's input; what is left lies between pixels. Affine "
            "gap: how far the norm is from one fixed scale and shift per channel.",
            ["Norm", *analysis.inside[0].measures, "n"],
            rows,
            [each.norm for each in analysis.inside],
        )
    ]


def cost_tables(analysis: Analysis) -> list[Table]:
    """What the norms cost, and what was foreseen from it; none if it was not measured."""
    costs = analysis.costs
    return [_side_by_side(costs), _predictors(costs)] if costs else []


def _side_by_side(costs: Costs) -> Table:
    answered = list(costs.norms[0].inference_ms)
    images = [counted(count, "image") for count in answered]
    rows = [
        [
            Cell(cost.norm),
            _milliseconds(cost.step_ms),
            *(_milliseconds(cost.inference_ms[count]) for count in answered),
            *_folded(cost, answered),
            Cell(number(cost.peak_memory_mib, 1)),
        ]
        for cost in costs.norms
    ]
    return Table(
        "Cost, side by side",
        f"Measured in turn, in {counted(costs.rounds, 'round')} of alternating order: the median, "
        f"and the lowest to the highest, on {cost_place(costs)}. A step trains on "
        f"{counted(costs.batch_size, 'image')} as normscope compare does; its memory is what it "
        "needs beside weights and data. Inference is torch's layers one by one, in float32. "
        "Folded: a norm that is one scale and shift per channel in evaluation disappears into a "
        "convolution beside it.",
        [
            "Norm",
            "Training step (ms)",
            *(f"Inference, {each} (ms)" for each in images),
            *(f"Folded, {each} (ms)" for each in images),
            "Memory of a step (MiB)",
        ],
        rows,
        [cost.norm for cost in costs.norms],
    )


def _folded(cost: NormCost, answered: Sequence[int]) -> list[Cell]:
    if cost.folded_ms is None:
        return [Cell("")] * len(answered)
    return [_milliseconds(cost.folded_ms[count]) for count in answered]


def cost_place(costs: Costs) -> str:
    """``cpu, 1 thread, float32``."""
    here = costs.environment
    threads = f", {counted(here.threads, 'thread')}" if here.device == "cpu" else ""
    return f"{here.device}{threads}, {here.precision}"


def _milliseconds(spread: Spread) -> Cell:
    low, high = milliseconds(spread.low), milliseconds(spread.high)
    return Cell(milliseconds(spread.median), f"{low} to {high}")


def _predictors(costs: Costs) -> Table:
    rows = []
    for cost in costs.norms:
        values = [NONE] * 4
        if found := cost.predictors:
            values = [number(found.similarity[end], 2) for end in (0, -1)]
            values += [number(found.gradient_norms[end], 3) for end in (0, -1)]
        rows.append([Cell(cost.norm), *map(Cell, values)])
    seeds = next((cost.predictors.seeds for cost in costs.norms if cost.predictors), 0)
    return Table(
        "Before training",
        f"Of untrained networks, the mean of {counted(seeds, 'seed')}, after arXiv 2106.05956. "
        "Similarity: the mean cosine of the activations of two images; the larger it is where the "
        "classifier reads them, the slower is training foreseen to be. Gradient norm: of a "
        "layer's weights; a large one in the first layer is said to foresee instability.",
        [
            "Norm",
            "Similarity after the first block",
            "Similarity at the classifier",
            "Gradient norm, first layer",
            "Gradient norm, last layer",
        ],
        rows,
        [cost.norm for cost in costs.norms],
    )
