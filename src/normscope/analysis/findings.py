"""Numbers -> sentences: what was found besides the answers."""

from collections.abc import Sequence

import numpy as np

from normscope.analysis.answers import MANY, confidence, counted
from normscope.analysis.metrics import SecondaryFinding
from normscope.analysis.mistakes import Mistakes
from normscope.analysis.summaries import ONE_SEED, NormSummary, TrialSummary
from normscope.analysis.verdicts import Rules
from normscope.experiment import Experiment
from normscope.experiment.tuning import Search

LEADS = {
    "epochs_to_levels": "Speed: compared with {baseline}, {level} test accuracy was on average "
    "reached",
    "drop_sum_points": "Smoothness: compared with {baseline}, test accuracy fell on average, all "
    "drops together,",
    "gap_points": "Gap: compared with {baseline}, the gap between train and test accuracy was on "
    "average",
    "calibration_error_points": "Calibration: compared with {baseline}, the calibration error was "
    "on average",
}


def findings(
    norms: Sequence[NormSummary],
    trials: Sequence[TrialSummary],
    secondary: Sequence[SecondaryFinding],
    winners: Sequence[str] | None,
    mistakes: Mistakes,
    experiment: Experiment,
    rules: Rules,
    level: float,
    one_machine: bool,
) -> tuple[str, ...]:
    """What the numbers say besides accuracy: each sentence begins with its topic and a colon."""
    if max(norm.finished for norm in norms) < 2:
        return tuple(f"{sentence} ({ONE_SEED})." for sentence in _single_runs(norms, level))
    sentences = _winners(winners, norms)
    for field, lead in LEADS.items():
        sentences += _compared(secondary, field, lead, experiment.baseline, rules)
        if field == "epochs_to_levels":
            sentences += _unreached(norms, level)
    sentences += _costs(trials, experiment) if one_machine else []
    sentences += _mistakes(mistakes)
    return tuple(f"{sentence}." for sentence in sentences)


def tuning_findings(searches: Sequence[Search], several_sizes: bool) -> tuple[str, ...]:
    """The chosen learning rates, and which of them lie at the edge of what was tried."""
    done = [search for search in searches if search.best is not None]
    found = [search for search in done if any(search.accuracy_percent)]

    def name(search: Search) -> str:
        return f"{search.norm} at {search.batch_size}" if several_sizes else search.norm

    dead = [name(search) for search in done if not any(search.accuracy_percent)]
    lost = f"Tuning: every learning rate that was tried diverged with {', '.join(dead)}."
    if not found:
        return (lost,) if dead else ()

    chosen = ", ".join(f"{search.best:.3g} for {name(search)}" for search in found)
    edges = [name(search) for search in found if search.at_edge]
    widened = (
        f"; for {', '.join(edges)} it lies at the edge of the widest grid, so a better one may lie "
        "beyond"
        if edges
        else ", none of them at an edge of its grid"
    )
    sentence = f"Tuning: the learning rates chosen on held-out images are {chosen}{widened}."
    return (sentence, lost) if dead else (sentence,)


def _winners(winners: Sequence[str] | None, norms: Sequence[NormSummary]) -> list[str]:
    """The norms that no other beats, of three or more."""
    if winners is None or len(norms) < 3:
        return []
    pairs = len(norms) * (len(norms) - 1) // 2
    if len(winners) == len(norms):
        return [
            f"Winner set: all norms; in the family of all {pairs} pairs, which takes more evidence "
            "than that of the answers, no norm is shown to beat another"
        ]
    return [
        f"Winner set: {', '.join(winners)}; every other norm is beaten by some norm, all {pairs} "
        "pairs tested together"
    ]


def _listed(items: Sequence[tuple[float, str]]) -> str:
    """All items, each a value and its words; of many the one of least and of greatest value."""
    if len(items) <= MANY:
        return ", ".join(words for _, words in items)
    ranked = sorted(items, key=lambda item: item[0])
    return f"from {ranked[0][1]} to {ranked[-1][1]}, the other {len(items) - 2} norms between"


def _compared(
    secondary: Sequence[SecondaryFinding], field: str, lead: str, baseline: str, rules: Rules
) -> list[str]:
    """The mean difference of every norm to the baseline; nothing if none differs in any seed."""
    found = [f for f in secondary if f.metric.field == field and f.judgement.pairs.seeds]
    sentences = []
    for metric in dict.fromkeys(f.metric for f in found):
        own = [f for f in found if f.metric == metric]
        if any(any(f.judgement.pairs.differences) for f in own):
            items = [(f.judgement.difference.mean or 0.0, _difference(f, rules)) for f in own]
            level = metric.title.removeprefix("Epochs to ")
            sentences.append(f"{lead.format(baseline=baseline, level=level)} {_listed(items)}")
    return sentences


def _difference(found: SecondaryFinding, rules: Rules) -> str:
    """``0.4 epochs later with ln (later in 2 of 3 seeds, undecided)``; or the interval, decided."""
    metric, judgement = found.metric, found.judgement
    values = judgement.pairs.differences
    n, mean = len(values), judgement.difference.mean or 0.0
    above, below = sum(value > 0 for value in values), sum(value < 0 for value in values)
    counts = f"{metric.greater} in {above}, {metric.smaller} in {below} of {counted(n, 'seed')}"
    if judgement.pairs.ordinal:
        word = metric.same if above == below else [metric.smaller, metric.greater][above > below]
        size = f"{word} with {found.norm}"
    elif round(mean, metric.decimals) == 0:
        size = f"{metric.same} with {found.norm}"
    else:
        word, count = (metric.greater, above) if mean > 0 else (metric.smaller, below)
        size = f"{abs(mean):.{metric.decimals}f} {metric.unit} {word} with {found.norm}"
        counts = f"{word} in {count} of {counted(n, 'seed')}"
    if not found.decided:
        return f"{size} ({counts}; undecided)"
    if judgement.difference.low is None or judgement.difference.high is None:
        return f"{size} ({counts}; p {judgement.p_value:.2g})"
    low, high = judgement.difference.low, judgement.difference.high
    places = metric.decimals
    return f"{size} ({confidence(rules)} interval {low:+.{places}f} to {high:+.{places}f})"


def _single_runs(norms: Sequence[NormSummary], level: float) -> list[str]:
    """The numbers of single runs, described and not compared."""
    speeds = [
        (norm.epochs_to_level.mean, f"{norm.epochs_to_level.mean:.1f} with {norm.norm}")
        for norm in norms
        if norm.epochs_to_level.mean is not None
    ]
    falls = [
        (norm.drop_sum_points.mean, f"{norm.drop_sum_points.mean:.2f} with {norm.norm}")
        for norm in norms
        if norm.drop_sum_points.mean is not None
    ]
    speed = f"Speed: epochs until test accuracy reached {level:g} %: {_listed(speeds)}"
    smoothness = f"Smoothness: points by which test accuracy fell in all: {_listed(falls)}"
    return [
        *([speed] if speeds else []),
        *_unreached(norms, level),
        *([smoothness] if falls else []),
    ]


def _unreached(norms: Sequence[NormSummary], level: float) -> list[str]:
    """In how many seeds test accuracy stayed below the level, where it did."""
    absent = [
        (norm.finished - norm.reached, norm) for norm in norms if norm.reached < norm.finished
    ]
    if not absent:
        return []
    items = [
        (count / norm.finished, f"{count} of {norm.finished} with {norm.norm}")
        for count, norm in absent
    ]
    return [f"Speed: seeds in which {level:g} % was never reached: {_listed(items)}"]


def _costs(trials: Sequence[TrialSummary], experiment: Experiment) -> list[str]:
    """What a norm takes of time and memory, where it was measured."""
    times = _medians(trials, experiment, "seconds_per_epoch", "s", "long")
    memory = _medians(trials, experiment, "peak_memory_mib", "MiB", "much")
    return [
        *([f"Time: an epoch took {times}; on a shared machine times vary"] if times else []),
        *([f"Memory: a training step held, at its peak, {memory}"] if memory else []),
    ]


def _medians(
    trials: Sequence[TrialSummary], experiment: Experiment, field: str, unit: str, word: str
) -> str:
    """Medians over the trials, for a trial that met a busy machine says nothing of the norm."""
    medians = {}
    for norm in experiment.norms:
        values = [getattr(t.metrics, field) for t in trials if t.norm == norm and t.metrics]
        values = [value for value in values if value is not None]
        if values:
            medians[norm] = float(np.median(values))
    baseline = medians.pop(experiment.baseline, None)
    if baseline is None or not medians:
        return ""
    items = [
        (median, f"{median:.1f} {unit} with {norm} ({median / baseline:.2f} times as {word})")
        for norm, median in medians.items()
    ]
    return f"in the median {baseline:.1f} {unit} with {experiment.baseline}, {_listed(items)}"


def _mistakes(mistakes: Mistakes) -> list[str]:
    if not mistakes.confusions:
        return []
    share = 100 * mistakes.wrong_for_all / mistakes.test_size
    norms = list(mistakes.confusions)
    sentences = [
        f"Mistakes: {mistakes.wrong_for_all:,} of {mistakes.test_size:,} test images "
        f"({share:.1f} %) were misclassified in most seeds "
        f"{'by every norm' if len(norms) > 1 else f'by {norms[0]}'}"
    ]
    if mistakes.wrong_only_for:
        alone = [(n, f"{n:,} with {norm}") for norm, n in mistakes.wrong_only_for.items()]
        sentences.append(
            "Mistakes: images wrong with one norm in most seeds, and right with every other in "
            f"most: {_listed(alone)}"
        )
    return sentences
