"""How far networks stand images that were made worse: what the probe of corruptions read, tested.

The claim behind it is that norms which look at one image alone lose less on such images than bn,
whose running statistics are those of clean ones: Schneider et al. 2020, arXiv:2006.16971.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from normscope.analysis.contrasts import Contrast, contrasts_on, to_choose
from normscope.analysis.metrics import FinishedTrial, Metric, test_accuracy
from normscope.analysis.summaries import Trials, TrialSummary
from normscope.analysis.verdicts import Rules
from normscope.experiment import Experiment, Probes, Series
from normscope.stats import Estimate, t_interval

# The kinds of corruption in the order of the probe, and what the images are then.
KINDS = {
    "noise": "noisy",
    "blur": "blurred",
    "contrast": "pale",
    "brightness": "bright",
    "pixelation": "pixelated",
    "jpeg": "compressed",
}

# As the network is tested, or with the statistics of the corrupted images.
Statistics = Literal["tested", "adapted"]

PREFIX: dict[Statistics, str] = {"tested": "corrupted", "adapted": "adapted"}
CLEAN = "clean_percent"
ALL = "corrupted_percent"
LOST = "corrupted_lost_points"


@dataclass(frozen=True)
class Arm:
    """A norm, as it is tested or adapted to the corrupted images; `estimates` by metric's name.

    Those of an adapted one go by the same names as those of its norm.
    """

    name: str
    norm: str
    estimates: Mapping[str, Estimate]

    @property
    def adapted(self) -> bool:
        return self.name != self.norm


@dataclass(frozen=True)
class Robustness:
    """Accuracies on corrupted images, at the main batch size, and the family of comparisons.

    `arms`: the norms that were looked into, and behind those with running statistics the same norm
    with adapted ones. `metrics` are those that are compared: each kind, all together, and the
    points that are lost against clean images. `contrasts`: every arm against the baseline, and an
    adapted norm also against itself. `same_images`: whether the clean images are those that were
    corrupted; else they are all test images.
    """

    arms: tuple[Arm, ...]
    metrics: tuple[Metric, ...]
    contrasts: tuple[Contrast, ...]
    same_images: bool

    def contrast(self, metric: str, arm: str, baseline: str) -> Contrast | None:
        """The comparison of two arms; None if it is not made, or has no seed."""
        for found in self.contrasts:
            if (found.metric.name, found.norm, found.baseline) == (metric, arm, baseline):
                return found if found.judgement.pairs.seeds else None
        return None


def robustness_metrics(probes: Iterable[Probes]) -> tuple[Metric, ...]:
    """A metric for every number that is told; none without a reading of the probe."""
    read = [each for each in probes if _series(each, "tested") is not None]
    if not read:
        return ()
    same_images = has_clean(read)
    clean = Metric(
        CLEAN, "Clean", "%", 1, "higher", ("higher", "lower", "as high"),
        partial(clean_percent, same_images=same_images),
    )  # fmt: skip
    adapted = any(np.isfinite(series.last).any() for each in read if (series := _adapted(each)))
    return (
        clean,
        *_metrics("tested", same_images),
        *(_metrics("adapted", same_images) if adapted else ()),
    )


def has_clean(probes: Iterable[Probes]) -> bool:
    """Whether all that read corrupted images also read the same images as they are.

    If only some did, none of it is used: all trials must lose points against the same images.
    """
    read = [each for each in probes if _series(each, "tested") is not None]
    return all(f"corruptions.{CLEAN}" in each.series for each in read)


def _metrics(statistics: Statistics, same_images: bool) -> tuple[Metric, ...]:
    """Accuracy for each kind, for all, and what is lost, in the order of `KINDS`."""
    prefix, words = PREFIX[statistics], ("more", "less", "as much")
    kinds = (
        Metric(f"{prefix}_{kind}_percent", looks.capitalize(), "%", 1, "higher", words,
               partial(kind_percent, statistics=statistics, kind=kind))
        for kind, looks in KINDS.items()
    )  # fmt: skip
    return (
        *kinds,
        Metric(f"{prefix}_percent", "All kinds", "%", 1, "higher", words,
               partial(all_percent, statistics=statistics)),
        Metric(f"{prefix}_lost_points", "Lost", "points", 1, "lower", words,
               partial(lost_points, statistics=statistics, same_images=same_images)),
    )  # fmt: skip


def kind_percent(trial: FinishedTrial, statistics: Statistics, kind: str) -> float | None:
    """Test accuracy on one kind of corruption, the mean over its strengths; None if not read."""
    series = _series(trial.probes, statistics) if trial.probes else None
    if series is None or kind not in series.names[0]:
        return None
    mean = float(series.last[series.names[0].index(kind)].mean())
    return None if np.isnan(mean) else mean


def all_percent(trial: FinishedTrial, statistics: Statistics) -> float | None:
    """The mean over all kinds, which have as many strengths each."""
    values = [kind_percent(trial, statistics, kind) for kind in KINDS]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(KINDS) else None


def clean_percent(trial: FinishedTrial, same_images: bool) -> float | None:
    """Test accuracy on images that are not corrupted, as the network is tested."""
    if trial.probes is None or _series(trial.probes, "tested") is None:
        return None
    if not same_images:
        return test_accuracy(trial)
    return float(trial.probes.series[f"corruptions.{CLEAN}"].last)


def lost_points(trial: FinishedTrial, statistics: Statistics, same_images: bool) -> float | None:
    """By how much test accuracy is lower on corrupted images than on clean ones, in points."""
    clean, worse = clean_percent(trial, same_images), all_percent(trial, statistics)
    return None if clean is None or worse is None else clean - worse


def _series(probes: Probes, statistics: Statistics) -> Series | None:
    """(moments, kinds, strengths)."""
    return probes.series.get(f"corruptions.{statistics}_percent")


def _adapted(probes: Probes) -> Series | None:
    return _series(probes, "adapted")


def robustness_of(
    experiment: Experiment,
    trials: Trials,
    metrics: Sequence[Metric],
    rules: Rules,
    same_images: bool,
) -> Robustness | None:
    """Every norm on corrupted images, and the comparisons; None if no trial was looked into.

    `metrics`: all there are, with those of `robustness_metrics` among them.
    """
    names = {metric.name for metric in _metrics("tested", same_images)}
    tested = tuple(metric for metric in metrics if metric.name in names)
    looked_into = [t for t in trials if t.metrics and t.metrics.get(ALL) is not None]
    adapted = filter(None, (_as_adapted(trial, tested) for trial in looked_into))
    trials = Trials((*looked_into, *adapted))
    arms = _arms(experiment, trials, tested)
    if not arms:
        return None
    asked = _asked(experiment, arms, tested)
    return Robustness(arms, tested, contrasts_on(experiment, trials, asked, rules), same_images)


def adapted_name(norm: str) -> str:
    return f"{norm}, adapted"


def _as_adapted(trial: TrialSummary, tested: Sequence[Metric]) -> TrialSummary | None:
    """The same trial, had its network been tested with adapted statistics."""
    assert trial.metrics is not None  # it was looked into
    adapted = PREFIX["adapted"]
    values = {
        metric.name: trial.metrics.get(metric.name.replace(PREFIX["tested"], adapted, 1))
        for metric in tested
    }
    if values[ALL] is None:
        return None
    clean = {CLEAN: trial.metrics[CLEAN]}
    return replace(trial, norm=adapted_name(trial.norm), metrics=clean | values)


def _arms(experiment: Experiment, trials: Trials, tested: Sequence[Metric]) -> tuple[Arm, ...]:
    arms = []
    for norm in experiment.norms:
        for name in (norm, adapted_name(norm)):
            there = trials.of(name, experiment.main_batch_size)
            own = [trial.metrics for trial in there if trial.metrics]
            values = {each: [v for m in own if (v := m[each]) is not None]
                      for each in (CLEAN, *(metric.name for metric in tested))}  # fmt: skip
            if own:
                arms.append(Arm(name, norm, {key: t_interval(v) for key, v in values.items()}))
    return tuple(arms)


def _asked(
    experiment: Experiment, arms: Sequence[Arm], tested: Sequence[Metric]
) -> list[tuple[Metric, str, str]]:
    """Every metric of every arm but the baseline; and what adaptation does for the other norms.

    A norm that was not looked into is no arm, and takes nothing from the others by being counted.
    """
    baseline = experiment.baseline
    chosen = to_choose(experiment)
    others = [arm for arm in arms if arm.name != baseline and arm.norm in chosen]
    names = [arm.name for arm in sorted(others, key=lambda arm: arm.adapted)]
    against = [(metric, name, baseline) for metric in tested for name in names]
    total = next(metric for metric in tested if metric.name == ALL)
    themselves = [
        (total, arm.name, arm.norm) for arm in arms if arm.adapted and arm.norm != baseline
    ]
    return against + themselves
