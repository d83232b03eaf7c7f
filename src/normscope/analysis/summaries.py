"""Results -> numbers: what one trial reached, and one norm over its seeds.

The published analysis (final accuracy, speed, smoothness of convergence) is done for every trial,
then summarized over seeds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from normscope.analysis.guessing import Guessing
from normscope.analysis.metrics import TEST_ACCURACY, FinishedTrial, Metric, Values
from normscope.analysis.tallies import Scores
from normscope.analysis.verdicts import Verdict
from normscope.experiment import Experiment, Probes, Result, Status
from normscope.stats import Estimate, t_interval


@dataclass(frozen=True)
class TrialSummary:
    """One trial and its metrics by name; None unless it finished."""

    id: str
    norm: str
    seed: int
    batch_size: int
    status: Status
    metrics: Values | None


class Trials(tuple[TrialSummary, ...]):
    """The trials of an experiment, in its order."""

    @cached_property
    def _by_norm(self) -> Mapping[tuple[str, int], list[TrialSummary]]:
        found: dict[tuple[str, int], list[TrialSummary]] = {}
        for trial in self:
            found.setdefault((trial.norm, trial.batch_size), []).append(trial)
        return found

    def of(self, norm: str, batch_size: int) -> Sequence[TrialSummary]:
        """Those of one norm at one batch size."""
        return self._by_norm.get((norm, batch_size), ())


@dataclass(frozen=True)
class NormSummary:
    """One norm over its seeds, at one batch size. `verdict` is None for the baseline.

    `estimates`: by the name of the metric, over the finished trials in which it is defined; without
    a mean if a level was not always reached, because leaving out the trials that never arrived
    would flatter the norm. `reached`: how many finished trials reached each level, by the name of
    its metric.
    """

    norm: str
    batch_size: int
    trials: int
    finished: int
    guessing: Guessing
    failed: int
    estimates: Mapping[str, Estimate]
    reached: Mapping[str, int]
    verdict: Verdict | None

    @property
    def test_accuracy_percent(self) -> Estimate:
        """The primary metric."""
        return self.estimates[TEST_ACCURACY.name]

    @property
    def difference(self) -> Estimate:
        """In test accuracy to the baseline, in points; nothing for the baseline itself."""
        return self.verdict.difference if self.verdict else t_interval([])

    @property
    def outcome(self) -> str:
        """The verdict in a word; of the baseline that it is one."""
        return self.verdict.outcome if self.verdict else "baseline"


def summarize_trial(
    result: Result,
    metrics: Sequence[Metric],
    scores: Scores | None,
    probes: Probes | None = None,
) -> TrialSummary:
    """Every metric of one trial. `scores`: of its predictions, if it has any; `probes`: its own."""
    values = None
    if result.status == "finished" and scores is not None:
        finished = FinishedTrial(result.history, scores, result.peak_memory_mib, probes)
        values = {metric.name: metric.compute(finished) for metric in metrics}
    return _summary(result, values)


def summarize_accuracy(result: Result) -> TrialSummary:
    """The test accuracy of one trial, for which no predictions are needed."""
    values = None
    if result.status == "finished":
        values = {TEST_ACCURACY.name: result.history[-1].test_accuracy_percent}
    return _summary(result, values)


def _summary(result: Result, values: Values | None) -> TrialSummary:
    trial = result.trial
    size = trial.recipe.batch_size
    return TrialSummary(trial.id, trial.norm, trial.seed, size, result.status, values)


def summarize_norms(
    experiment: Experiment,
    trials: Trials,
    metrics: Sequence[Metric],
    verdicts: Mapping[tuple[str, int], Verdict],
    overlap: float = 0.0,
    gone: Collection[tuple[str, int]] = (),
) -> tuple[NormSummary, ...]:
    """Every norm at every batch size, the batch sizes ascending.

    `verdicts`: by norm and batch size; the baseline has none. `overlap`: as for `Rules`. `gone`:
    the norms, by batch size, that are trained no further, of which no trial is missing.
    """
    summaries = []
    for size in experiment.batch_sizes:
        for norm in experiment.norms:
            own = trials.of(norm, size)
            statuses: list[Status] = [trial.status for trial in own]
            values = [trial.metrics for trial in own if trial.metrics]
            planned = len(own) if (norm, size) in gone else experiment.seeds
            summaries.append(
                NormSummary(
                    norm=norm,
                    batch_size=size,
                    trials=planned,
                    finished=statuses.count("finished"),
                    guessing=Guessing.among(statuses, planned),
                    failed=statuses.count("failed"),
                    estimates={
                        m.name: _estimate(m, values, overlap) for m in metrics if m.averaged
                    },
                    reached={m.name: len(_known(m, values)) for m in metrics if m.level_percent},
                    verdict=verdicts.get((norm, size)),
                )
            )
    return tuple(summaries)


def _estimate(metric: Metric, trials: Sequence[Values], overlap: float) -> Estimate:
    known = _known(metric, trials)
    censored = metric.level_percent is not None and len(known) < len(trials)
    return t_interval([] if censored else known, overlap=overlap)


def _known(metric: Metric, trials: Sequence[Values]) -> list[float]:
    values = [trial[metric.name] for trial in trials]
    return [value for value in values if value is not None]
