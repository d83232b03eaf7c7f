"""What stands behind the verdicts: other views of the differences, and where they come from."""

from normscope.analysis import Analysis
from normscope.analysis.answers import equivalence_note
from normscope.analysis.statistics_batch import sub_batches_of
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Verdict
from normscope.report.result_table import Cell, difference, mean_sd
from normscope.report.tables.families import calibration, robustness, secondary
from normscope.report.tables.table import Table
from normscope.stats import Estimate
from normscope.words import NONE, confidence, counted, interval, number, p_value, signed

# Tables beside which there is a figure.
BY_BATCH_SIZE = "By batch size"
BY_STATISTICS_BATCH = "By statistics batch"


def evidence_tables(analysis: Analysis) -> list[Table]:
    """Every table for which there is something to say."""
    tables = [
        _batch_sizes(analysis),
        _statistics_batches(analysis),
        _beside(analysis),
        _places(analysis),
        _variances(analysis),
        secondary(analysis),
        *([robustness(analysis.robustness, analysis)] if analysis.robustness else []),
        calibration(analysis),
        _tuning(analysis),
    ]
    return [table for table in tables if table.rows]


def _batch_sizes(analysis: Analysis) -> Table:
    sizes, norms = analysis.experiment.batch_sizes, analysis.order
    cells = {(norm.norm, norm.batch_size): norm for norm in analysis.by_batch_size}
    rows = [
        [Cell(norm), *(_accuracy(cells[norm, size]) for size in sizes)]
        for norm in (norms if len(sizes) > 1 else ())
    ]
    return Table(
        BY_BATCH_SIZE,
        f"Test accuracy in percent, and the difference to {norms[0]} at the same batch size in "
        "points; bold where it is decided. The learning rate is scaled with the batch size.",
        ["Norm", *(f"{size:,}" for size in sizes)],
        rows,
        [row[0].text for row in rows],
    )


def _statistics_batches(analysis: Analysis) -> Table:
    """A row for every bn, a column for every number of images in its statistics."""
    found, batch = sub_batches_of(analysis), analysis.experiment.main_batch_size
    sizes = sorted({size for one in found for size in one.members})
    rows = [
        [Cell(one.norm), *(_accuracy(one.members.get(size)) for size in sizes)] for one in found
    ]
    return Table(
        BY_STATISTICS_BATCH,
        "Test accuracy in percent where mean and variance of bn run over so many images of a batch "
        f"of {batch} (ghost-bn below {batch}), and the difference to "
        f"{analysis.experiment.baseline} in points; bold where it is decided. Gradients are "
        f"averaged over {batch} images everywhere.",
        ["Norm", *(f"{size:,}" for size in sizes)],
        rows,
        [one.norm if one.norm in analysis.experiment.norms else None for one in found],
    )


def _accuracy(norm: NormSummary | None) -> Cell:
    """The mean, and how it stands against the baseline; nothing without a norm."""
    if norm is None:
        return Cell(NONE)
    accuracy = mean_sd(norm.test_accuracy_percent, 1)
    return Cell(accuracy.text, _standing(norm.verdict), _is_decided(norm.verdict))


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
        f"assume a single look. The simultaneous intervals hold for all of a family ({level}). The "
        "bootstrap interval (BCa) and the one over seeds and images hold for one comparison "
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
    if equal := equivalence_note([verdict.outcome for verdict in analysis.places], analysis.rules):
        caption += f" {equal}"
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


def _tuning(analysis: Analysis) -> Table:
    rows, norms = [], []
    searches = sorted(
        analysis.searches, key=lambda each: (each.batch_size, analysis.order.index(each.norm))
    )
    for search in searches:
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
