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

ONE_SEED = "one seed: no conclusion about the norm"


@dataclass(frozen=True)
class TrialMetrics:
    """The numbers of one finished trial; points are percentage points.

    `epochs_to_level` is None if the level was never reached, `largest_drop_epoch` if test accuracy
    never fell. `area_percent` is the mean height of the test accuracy curve.
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
        """One row per norm; means, standard deviations and intervals carry their unit and n."""
        return pd.DataFrame([_table_row(norm) for norm in self.norms])


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
        answers=_answers(norms, experiment),
        findings=_findings(norms, trials, mistakes, experiment, level_percent),
        caveats=_caveats(norms, requests, experiment, facts),
    )


# -- one trial, one norm -------------------------------------------------------------------------


def summarize_trial(result: Result, level_percent: float = LEVEL_PERCENT) -> TrialSummary:
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
    level_percent: float = LEVEL_PERCENT,
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
        seconds_per_epoch=float(np.mean(seconds)),
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


def _answers(norms: Sequence[NormSummary], experiment: Experiment) -> tuple[str, ...]:
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


def _findings(
    norms: Sequence[NormSummary],
    trials: Sequence[TrialSummary],
    mistakes: Mistakes,
    experiment: Experiment,
    level: float,
) -> tuple[str, ...]:
    """What the numbers say besides accuracy: speed, smoothness, gap, time, mistakes."""
    if max(norm.finished for norm in norms) < 2:
        return tuple(f"{sentence} ({ONE_SEED})" for sentence in _descriptions(norms, level))
    sentences = []
    for norm in experiment.norms[1:]:
        sentences += _compare_speed(trials, norm, experiment.baseline, level)
        sentences += _compare_smoothness(trials, norm, experiment.baseline)
        sentences += _compare_gap(trials, norm, experiment.baseline)
        sentences += _compare_time(trials, norm, experiment.baseline)
    sentences += _censored(norms, level)
    sentences += mistakes.sentences()
    return tuple(sentences)


def _descriptions(norms: Sequence[NormSummary], level: float) -> list[str]:
    """The numbers of single runs, described and not compared."""
    sentences = []
    for norm in norms:
        if norm.drop_sum_points.mean is None:
            continue
        epochs = norm.epochs_to_level.mean
        speed = (
            f"reached {level:.0f} % after {epochs:.1f} epochs"
            if epochs
            else f"never reached {level:.0f} %"
        )
        fell = f"its test accuracy fell by {norm.drop_sum_points.mean:.2f} points in all on the way"
        sentences.append(f"In its one run {norm.norm} {speed}; {fell}")
    return sentences


def _compare_speed(
    trials: Sequence[TrialSummary], norm: str, baseline: str, level: float
) -> list[str]:
    later = paired_differences(trials, norm, baseline, "epochs_to_level")
    both = paired_differences(trials, norm, baseline, "test_accuracy_percent")
    if not later or len(later) < len(both):  # leaving out who never arrived would flatter it
        return []
    mean = float(np.mean(later))
    size = f"{abs(mean):.1f} epochs {'after' if mean > 0 else 'before'} {baseline}"
    return [
        f"{norm} reached {level:.0f} % {size} on average, {_agreement(later, 'later', 'earlier')}."
    ]


def _compare_smoothness(trials: Sequence[TrialSummary], norm: str, baseline: str) -> list[str]:
    more = paired_differences(trials, norm, baseline, "drop_sum_points")
    if not more or not any(more):
        return []
    mean = float(np.mean(more))
    size = f"{abs(mean):.2f} points {'more' if mean > 0 else 'less'} in all than with {baseline}"
    counts = _agreement(more, "more", "less")
    return [f"With {norm}, test accuracy fell {size} on its way up (mean), {counts}."]


def _compare_gap(trials: Sequence[TrialSummary], norm: str, baseline: str) -> list[str]:
    wider = paired_differences(trials, norm, baseline, "gap_points")
    if not wider:
        return []
    mean = float(np.mean(wider))
    size = f"{abs(mean):.2f} points {'wider' if mean > 0 else 'narrower'}"
    counts = _agreement(wider, "wider", "narrower")
    return [
        f"The gap between train and test accuracy was {size} with {norm} than with {baseline} "
        f"(mean), {counts}."
    ]


def _compare_time(trials: Sequence[TrialSummary], norm: str, baseline: str) -> list[str]:
    seconds = {t.id: t.metrics.seconds_per_epoch for t in trials if t.metrics}
    mine = [seconds[t.id] for t in trials if t.norm == norm and t.id in seconds]
    other = [seconds[t.id] for t in trials if t.norm == baseline and t.id in seconds]
    if not mine or not other:
        return []
    ratio = float(np.median(mine) / np.median(other))
    return [
        f"An epoch took {np.median(mine):.1f} s with {norm} and {np.median(other):.1f} s with "
        f"{baseline} (medians; {ratio:.2f} times as long; on a shared machine times vary)."
    ]


def _agreement(differences: Sequence[float], positive: str, negative: str) -> str:
    """In how many seeds the difference has the sign of its mean, in words."""
    sign = 1 if np.mean(differences) > 0 else -1
    count = sum(sign * difference > 0 for difference in differences)
    return f"{positive if sign > 0 else negative} in {count} of {len(differences)} seeds"


def _censored(norms: Sequence[NormSummary], level: float) -> list[str]:
    return [
        f"{norm.norm} never reached {level:.0f} % in {norm.finished - norm.reached} of "
        f"{norm.finished} seeds."
        for norm in norms
        if norm.reached < norm.finished
    ]


def _caveats(
    norms: Sequence[NormSummary],
    requests: Sequence[Request],
    experiment: Experiment,
    facts: DatasetFacts,
) -> tuple[str, ...]:
    """What limits the conclusions, in the order of its weight."""
    sentences = []
    if max(norm.finished for norm in norms) < 2:
        sentences.append(f"{ONE_SEED[0].upper()}{ONE_SEED[1:]}.")
    if facts.synthetic:
        sentences.append(f"{facts.name} is synthetic: its images are drawn by a program.")
    for norm in norms:
        if norm.finished < norm.trials:
            absent = norm.trials - norm.finished - norm.diverged - norm.failed
            sentences.append(
                f"{norm.norm}: {norm.finished} of {norm.trials} trials finished "
                f"({norm.diverged} diverged, {norm.failed} failed, {absent} not run)."
            )
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
    return tuple(sentences)


# -- the table -----------------------------------------------------------------------------------


def _table_row(norm: NormSummary) -> dict[str, object]:
    row: dict[str, object] = {
        "norm": norm.norm,
        "trials": norm.trials,
        "finished": norm.finished,
        "diverged": norm.diverged,
        "failed": norm.failed,
    }
    for field in fields(TrialMetrics):
        if field.name != "largest_drop_epoch":
            estimate: Estimate = getattr(norm, field.name)
            row[f"{field.name}_mean"], row[f"{field.name}_sd"] = estimate.mean, estimate.sd
    difference = norm.verdict.difference if norm.verdict else Estimate(0, None, None, None, None)
    row |= {f"difference_points_{key}": value for key, value in asdict(difference).items()}
    row["reached_level"] = norm.reached
    row["verdict"] = norm.verdict.outcome if norm.verdict else "baseline"
    return row
