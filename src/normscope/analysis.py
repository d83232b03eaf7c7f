"""Results -> one typed `Analysis`: estimates, verdicts and sentences, ready to be shown.

The published analysis (final accuracy, speed, smoothness of convergence) is done for every trial,
then summarized over seeds. A norm is compared with the baseline within blocks: by the differences
between trials of the same seed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
import pandas as pd

from normscope.config import DatasetFacts, Experiment, ModelSummary, Request, Result, Status
from normscope.mistakes import Mistakes, find_mistakes
from normscope.stats import Estimate, area_under_curve, drops, epochs_to_level, t_interval

LEVEL_PERCENT = 60.0  # the test accuracy whose first reaching measures speed

MANY = 4  # more norms than that beside the baseline are told by the extremes, the rest in tables

ONE_SEED = "one seed: no conclusion about the norm"


@dataclass(frozen=True)
class TrialMetrics:
    """The numbers of one finished trial; points are percentage points.

    `epochs_to_level` is None if the level was never reached, `largest_drop_epoch` if test accuracy
    never fell. `area_percent` is the mean height of the test accuracy curve. `seconds_per_epoch` is
    the median over the epochs, because the first is often slower: it warms up device and caches.
    """

    test_accuracy_percent: float
    train_accuracy_percent: float
    gap_points: float
    epochs_to_level: float | None
    drop_sum_points: float
    largest_drop_points: float
    largest_drop_epoch: int | None
    area_percent: float
    seconds_per_epoch: float


@dataclass(frozen=True)
class TrialSummary:
    """One trial and its outcome; `metrics` is None unless it finished."""

    id: str
    norm: str
    seed: int
    status: Status
    metrics: TrialMetrics | None


Outcome = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What the paired differences to the baseline allow to say, in percentage points."""

    outcome: Outcome
    difference: Estimate
    sentence: str


@dataclass(frozen=True)
class NormSummary:
    """One norm over its seeds. `verdict` is None for the baseline.

    `reached` is how many finished trials reached the level; `epochs_to_level` is estimated only
    when all of them did, because leaving out those that never arrived would flatter the norm.
    """

    norm: str
    trials: int
    finished: int
    diverged: int
    failed: int
    test_accuracy_percent: Estimate
    train_accuracy_percent: Estimate
    gap_points: Estimate
    epochs_to_level: Estimate
    reached: int
    drop_sum_points: Estimate
    largest_drop_points: Estimate
    area_percent: Estimate
    seconds_per_epoch: Estimate
    verdict: Verdict | None


@dataclass(frozen=True)
class Analysis:
    """All that a report shows, but for drawing it. `norms` are in the order the user named them."""

    experiment: Experiment
    requests: tuple[Request, ...]
    facts: DatasetFacts
    models: dict[str, ModelSummary]
    results: tuple[Result, ...]
    level_percent: float
    trials: tuple[TrialSummary, ...]
    norms: tuple[NormSummary, ...]
    mistakes: Mistakes
    answers: tuple[str, ...]
    findings: tuple[str, ...]
    caveats: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """One row per norm: of every metric mean, sd and n, with its unit in the column's name.

        Then the paired difference of test accuracy to the baseline with its 95 % interval, how many
        trials reached the level, and the verdict.
        """
        return pd.DataFrame([_table_row(norm, self.level_percent) for norm in self.norms])


def analyse(
    experiment: Experiment,
    requests: Sequence[Request],
    facts: DatasetFacts,
    models: dict[str, ModelSummary],
    results: Sequence[Result],
    test_labels: np.ndarray,
    level_percent: float = LEVEL_PERCENT,
) -> Analysis:
    """Analyse the results of an experiment, of which some trials may be missing or failed.

    `test_labels`: int64, shape (N_test,).
    """
    trials = tuple(summarize_trial(result, level_percent) for result in results)
    norms = tuple(_summarize_norm(norm, experiment, trials) for norm in experiment.norms)
    mistakes = find_mistakes(results, experiment.norms, facts.class_names, test_labels)
    finished_in = [result.environment for result in results if result.status == "finished"]
    ran_on = {(e.processor, e.device, e.threads) for e in finished_in}
    one_machine = len(ran_on) <= 1
    return Analysis(
        experiment=experiment,
        requests=tuple(requests),
        facts=facts,
        models=models,
        results=tuple(results),
        level_percent=level_percent,
        trials=trials,
        norms=norms,
        mistakes=mistakes,
        answers=_answers(norms),
        findings=_findings(norms, trials, mistakes, experiment, level_percent, one_machine),
        caveats=_caveats(norms, requests, experiment, facts, one_machine),
    )


# -- one trial, one norm -------------------------------------------------------------------------


def summarize_trial(result: Result, level_percent: float) -> TrialSummary:
    """The published analysis of one trial: final accuracy, gap, speed, smoothness, time."""
    trial = result.trial
    metrics = None
    if result.status == "finished":
        metrics = curve_metrics(
            test_percent=[record.test_accuracy_percent for record in result.history],
            train_percent=[record.train_accuracy_percent for record in result.history],
            seconds=[record.train_seconds + record.test_seconds for record in result.history],
            level_percent=level_percent,
        )
    return TrialSummary(trial.id, trial.norm, trial.seed, result.status, metrics)


def curve_metrics(
    test_percent: Sequence[float],
    train_percent: Sequence[float],
    seconds: Sequence[float],
    level_percent: float,
) -> TrialMetrics:
    """Metrics of one trial from its curves, each of shape (E,): accuracies in percent, seconds."""
    fell = drops(test_percent)
    return TrialMetrics(
        test_accuracy_percent=test_percent[-1],
        train_accuracy_percent=train_percent[-1],
        gap_points=train_percent[-1] - test_percent[-1],
        epochs_to_level=epochs_to_level(test_percent, level_percent),
        drop_sum_points=float(fell.sum()),
        largest_drop_points=float(fell.max()),
        largest_drop_epoch=int(fell.argmax()) + 1 if fell.max() > 0 else None,
        area_percent=area_under_curve(test_percent),
        seconds_per_epoch=float(np.median(seconds)),
    )


def _summarize_norm(
    norm: str, experiment: Experiment, trials: Sequence[TrialSummary]
) -> NormSummary:
    own = [trial for trial in trials if trial.norm == norm]
    metrics = [trial.metrics for trial in own if trial.metrics]
    statuses = [trial.status for trial in own]
    reached = [m.epochs_to_level for m in metrics if m.epochs_to_level is not None]

    def estimate(name: str) -> Estimate:
        return t_interval([getattr(m, name) for m in metrics])

    return NormSummary(
        norm=norm,
        trials=experiment.seeds,
        finished=statuses.count("finished"),
        diverged=statuses.count("diverged"),
        failed=statuses.count("failed"),
        test_accuracy_percent=estimate("test_accuracy_percent"),
        train_accuracy_percent=estimate("train_accuracy_percent"),
        gap_points=estimate("gap_points"),
        epochs_to_level=t_interval(reached if len(reached) == len(metrics) else []),
        reached=len(reached),
        drop_sum_points=estimate("drop_sum_points"),
        largest_drop_points=estimate("largest_drop_points"),
        area_percent=estimate("area_percent"),
        seconds_per_epoch=estimate("seconds_per_epoch"),
        verdict=None if norm == experiment.baseline else _verdict(norm, experiment, trials),
    )


def paired_differences(
    trials: Sequence[TrialSummary], norm: str, baseline: str, metric: str
) -> list[float]:
    """`metric` of `norm` minus that of `baseline`, for every seed in which both have a value."""
    values = {(t.norm, t.seed): getattr(t.metrics, metric) for t in trials if t.metrics}
    seeds = sorted({trial.seed for trial in trials})
    pairs = [(values.get((norm, seed)), values.get((baseline, seed))) for seed in seeds]
    # Rounded far below one image, so that equal differences are equal.
    return [
        round(mine - other, 9) for mine, other in pairs if mine is not None and other is not None
    ]


# -- verdicts and sentences ----------------------------------------------------------------------


def _verdict(norm: str, experiment: Experiment, trials: Sequence[TrialSummary]) -> Verdict:
    baseline = experiment.baseline
    difference = t_interval(paired_differences(trials, norm, baseline, "test_accuracy_percent"))
    finished = sum(t.norm in (norm, baseline) and t.status == "finished" for t in trials)
    unfinished = 2 * experiment.seeds - finished
    against = f"{norm} against {baseline}"
    if difference.mean is None:
        return Verdict("undecided", difference, f"{against}: no seed in which both finished.")
    if difference.low is None or difference.high is None:
        sentence = f"{against}: {difference.mean:+.2f} points in one run each ({ONE_SEED})."
        return Verdict("undecided", difference, sentence)
    interval = (
        f"95 % interval {difference.low:+.2f} to {difference.high:+.2f}; {difference.n} seeds"
    )
    if unfinished:
        sentence = (
            f"{against} is undecided: {unfinished} of their trials have not finished. The seeds "
            f"in which both have differ by {difference.mean:+.2f} points ({interval})."
        )
        return Verdict("undecided", difference, sentence)
    if difference.sd == 0.0:
        sentence = (
            f"{against} is undecided: {difference.mean:+.2f} points in every one of "
            f"{difference.n} seeds, which leaves no spread to judge by."
        )
        return Verdict("undecided", difference, sentence)
    if difference.low > 0 or difference.high < 0:
        outcome = "better" if difference.low > 0 else "worse"
        size = f"{abs(difference.mean):.2f} points {outcome} than {baseline}"
        return Verdict(outcome, difference, f"{norm} is {size} ({interval}).")
    sentence = f"{against} is undecided: {difference.mean:+.2f} points ({interval})."
    return Verdict("undecided", difference, sentence)


def _answers(norms: Sequence[NormSummary]) -> tuple[str, ...]:
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


def _findings(
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


def _caveats(
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
            "Trials ran on different machines (processor, device or threads differ): their times "
            "are not comparable."
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


# -- the table -----------------------------------------------------------------------------------


def metric_columns(level_percent: float) -> dict[str, str]:
    """Field of `TrialMetrics` -> what a table calls it; the level is part of its column's name."""
    names = {field.name: field.name for field in fields(TrialMetrics)}
    return {**names, "epochs_to_level": f"epochs_to_{level_percent:g}_percent"}


def _table_row(norm: NormSummary, level_percent: float) -> dict[str, object]:
    row: dict[str, object] = {
        "norm": norm.norm,
        "trials": norm.trials,
        "finished": norm.finished,
        "diverged": norm.diverged,
        "failed": norm.failed,
    }
    for name, column in metric_columns(level_percent).items():
        if name != "largest_drop_epoch":
            estimate: Estimate = getattr(norm, name)
            row[f"{column}_mean"], row[f"{column}_sd"] = estimate.mean, estimate.sd
            row[f"{column}_n"] = estimate.n
    difference = norm.verdict.difference if norm.verdict else Estimate(0, None, None, None, None)
    row |= {f"difference_points_{key}": value for key, value in asdict(difference).items()}
    row[f"reached_{level_percent:g}_percent"] = norm.reached
    row["verdict"] = norm.verdict.outcome if norm.verdict else "baseline"
    return row
