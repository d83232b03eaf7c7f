"""Numbers -> sentences: the answers, what else was found, and what limits both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normscope.config import DatasetFacts, Experiment, Request
from normscope.mistakes import Mistakes
from normscope.summaries import ONE_SEED, NormSummary, TrialSummary, paired_differences

MANY = 4  # more norms than that beside the baseline are told by the extremes, the rest in tables


def answers(norms: Sequence[NormSummary]) -> tuple[str, ...]:
    """One sentence per norm against the baseline: the decided ones first, then by size."""
    if len(norms) == 1:
        mean = norms[0].test_accuracy_percent.mean
        reached = (
            "finished no trial" if mean is None else f"reached {mean:.1f} % on the test images"
        )
        return (f"{norms[0].norm} {reached}; there is no other norm to compare it with.",)
    verdicts = [norm.verdict for norm in norms if norm.verdict]
    verdicts.sort(key=lambda v: (v.outcome == "undecided", -abs(v.difference.mean or 0)))
    return tuple(verdict.sentence for verdict in verdicts)


@dataclass(frozen=True)
class _Topic:
    """How the paired differences of a metric are put into words.

    `greater`, `smaller`, `same`: what a norm is whose value is above, below or at the baseline's.
    """

    metric: str
    lead: str
    unit: str
    decimals: int
    greater: str
    smaller: str
    same: str


_SPEED = _Topic(
    "epochs_to_level",
    "Speed: compared with {baseline}, {level:g} % test accuracy was on average reached",
    *("epochs", 1, "later", "earlier", "as early"),
)
_SMOOTHNESS = _Topic(
    "drop_sum_points",
    "Smoothness: compared with {baseline}, test accuracy fell on average, all drops together,",
    *("points", 2, "more", "less", "as much"),
)
_GAP = _Topic(
    "gap_points",
    "Gap: compared with {baseline}, the gap between train and test accuracy was on average",
    *("points", 2, "wider", "narrower", "as wide"),
)


def findings(
    norms: Sequence[NormSummary],
    trials: Sequence[TrialSummary],
    mistakes: Mistakes,
    experiment: Experiment,
    level: float,
    one_machine: bool,
) -> tuple[str, ...]:
    """What the numbers say besides accuracy: each sentence begins with its topic and a colon."""
    if max(norm.finished for norm in norms) < 2:
        return tuple(f"{sentence} ({ONE_SEED})." for sentence in _single_runs(norms, level))
    sentences = [
        *_compared(trials, experiment, _SPEED, level),
        *_unreached(norms, level),
        *_compared(trials, experiment, _SMOOTHNESS, level),
        *_compared(trials, experiment, _GAP, level),
    ]
    sentences += _times(trials, experiment) if one_machine else []
    sentences += _mistakes(mistakes)
    return tuple(f"{sentence}." for sentence in sentences)


def _listed(items: Sequence[tuple[float, str]]) -> str:
    """All items, each a value and its words; of many the one of least and of greatest value."""
    if len(items) <= MANY:
        return ", ".join(words for _, words in items)
    ranked = sorted(items, key=lambda item: item[0])
    return f"from {ranked[0][1]} to {ranked[-1][1]}, the other {len(items) - 2} norms between"


def _compared(
    trials: Sequence[TrialSummary], experiment: Experiment, topic: _Topic, level: float
) -> list[str]:
    """The mean difference of every norm to the baseline; nothing if none differs in any seed.

    A norm of which a pair of runs lacks the metric is left out: what remains would flatter it.
    """
    items, differ, baseline = [], False, experiment.baseline
    for norm in experiment.norms[1:]:
        pairs = paired_differences(trials, norm, baseline, "test_accuracy_percent")
        found = paired_differences(trials, norm, baseline, topic.metric)
        if found and len(found) == len(pairs):
            items.append((float(np.mean(found)), _difference(norm, found, topic)))
            differ = differ or any(found)
    lead = topic.lead.format(baseline=baseline, level=level)
    return [f"{lead} {_listed(items)}"] if differ else []


def _difference(norm: str, found: Sequence[float], topic: _Topic) -> str:
    """``0.4 epochs later with ln (later in 2 of 3 seeds)``; both counts if the mean shows as 0."""
    mean, n = float(np.mean(found)), len(found)
    above, below = sum(value > 0 for value in found), sum(value < 0 for value in found)
    if round(mean, topic.decimals) == 0:
        counts = f"{topic.greater} in {above}, {topic.smaller} in {below} of {n} seeds"
        return f"{topic.same} with {norm} ({counts})"
    word, count = (topic.greater, above) if mean > 0 else (topic.smaller, below)
    size = f"{abs(mean):.{topic.decimals}f} {topic.unit} {word}"
    return f"{size} with {norm} ({word} in {count} of {n} seeds)"


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


def _times(trials: Sequence[TrialSummary], experiment: Experiment) -> list[str]:
    """Medians over the trials, for a trial that met a busy machine says nothing of the norm."""
    medians = {}
    for norm in experiment.norms:
        seconds = [t.metrics.seconds_per_epoch for t in trials if t.norm == norm and t.metrics]
        if seconds:
            medians[norm] = float(np.median(seconds))
    baseline = medians.pop(experiment.baseline, None)
    if baseline is None or not medians:
        return []
    items = [
        (median, f"{median:.1f} s with {norm} ({median / baseline:.2f} times as long)")
        for norm, median in medians.items()
    ]
    return [
        f"Time: an epoch took in the median {baseline:.1f} s with {experiment.baseline}, "
        f"{_listed(items)}; on a shared machine times vary"
    ]


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


def caveats(
    norms: Sequence[NormSummary],
    requests: Sequence[Request],
    experiment: Experiment,
    facts: DatasetFacts,
    one_machine: bool,
) -> tuple[str, ...]:
    """What limits the conclusions, in the order of its weight."""
    sentences = []
    if max(norm.finished for norm in norms) < 2:
        sentences.append(f"{ONE_SEED[0].upper()}{ONE_SEED[1:]}.")
    if facts.synthetic:
        sentences.append(f"{facts.name} is synthetic: its images are drawn by a program.")
    sentences += _unfinished(norms)
    if experiment.seeds > 1 and len(norms) > 1:
        comparisons = len(norms) - 1
        sentences.append(
            "Intervals are plain paired 95 % t intervals over seeds"
            + (f", not corrected for {comparisons} comparisons." if comparisons > 1 else ".")
        )
    if any(request.seeds > requests[0].seeds for request in requests):
        sentences.append(
            "Seeds were added after a first look, for which these intervals are too narrow."
        )
    if not one_machine:
        sentences.append(
            "Trials ran in different ways (processor, device, threads, kernels or fleet differ): "
            "their times are not comparable."
        )
    return tuple(sentences)


def _unfinished(norms: Sequence[NormSummary]) -> list[str]:
    """Which norms lack trials, and why; of many norms, how many trials are lacking in all."""
    lacking = [norm for norm in norms if norm.finished < norm.trials]
    if len(lacking) <= MANY:
        return [f"{norm.norm}: {_fates([norm])}." for norm in lacking]
    return [f"{len(lacking)} of {len(norms)} norms lack trials; of all norms {_fates(norms)}."]


def _fates(norms: Sequence[NormSummary]) -> str:
    counts = [(n.trials, n.finished, n.diverged, n.failed) for n in norms]
    trials, finished, diverged, failed = (sum(column) for column in zip(*counts, strict=True))
    absent = trials - finished - diverged - failed
    return (
        f"{finished} of {trials} trials finished ({diverged} diverged, {failed} failed, "
        f"{absent} not run)"
    )
