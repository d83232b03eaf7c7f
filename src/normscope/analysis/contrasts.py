"""The families of comparisons that are judged: test accuracy, the other metrics, all pairs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from normscope.analysis.guessing import Guessing
from normscope.analysis.metrics import TEST_ACCURACY, Metric
from normscope.analysis.pairs import accuracy_pairs, metric_pairs
from normscope.analysis.summaries import NormSummary, Trials
from normscope.analysis.verdicts import Judgement, Rules, Verdict, judge, verdict_of
from normscope.experiment import Experiment, Status
from normscope.norms import order_of
from normscope.stats import Looks, all_equal, t_p_value, winner_set


@dataclass(frozen=True)
class Contrast:
    """What the tests say of one metric but accuracy of one norm against its `baseline`."""

    metric: Metric
    judgement: Judgement
    baseline: str

    @property
    def norm(self) -> str:
        return self.judgement.pairs.norm

    @property
    def decided(self) -> bool:
        return self.judgement.claim != "undecided"


def verdicts_on(
    experiment: Experiment, trials: Trials, rules: Rules, chance_percent: float
) -> dict[tuple[str, int], Verdict]:
    """The verdict on every norm but the baseline at every batch size.

    The `candidates` are one family, and the other norms, if any, another. `chance_percent` is the
    accuracy of guessing, which stands in for that of a trial that diverged or collapsed.
    """
    chosen = candidates(experiment)
    found = {}
    for norms in (chosen, [norm for norm in experiment.norms[1:] if norm not in chosen]):
        compared = [
            (norm, experiment.baseline, size) for size in experiment.batch_sizes for norm in norms
        ]
        verdicts = accuracy_verdicts(experiment, trials, compared, rules, chance_percent)
        found |= {(verdict.norm, verdict.batch_size): verdict for verdict in verdicts}
    return found


def candidates(experiment: Experiment) -> list[str]:
    """The norms beside the baseline between which one chooses.

    A norm whose channels are regrouped is there to look for a cause, and takes nothing from the
    others by being counted among them. Where there are no others they are the candidates.
    """
    others = list(experiment.norms[1:])
    return [norm for norm in others if order_of(norm) is None] or others


def to_choose(experiment: Experiment) -> tuple[str, ...]:
    """The norms between which one chooses: the baseline and the candidates."""
    return (experiment.baseline, *candidates(experiment))


def accuracy_verdicts(
    experiment: Experiment,
    trials: Trials,
    compared: Sequence[tuple[str, str, int]],
    rules: Rules,
    chance_percent: float,
) -> list[Verdict]:
    """The verdicts on test accuracy of one family.

    `compared`: a norm, the one it is compared with, and their batch size.
    """
    # A norm that is decided is trained no further, and lacks nothing.
    may_drop = rules.sequential and rules.version > 1
    family = [
        accuracy_pairs(experiment, trials, norm, baseline, size, chance_percent, may_drop)
        for norm, baseline, size in compared
    ]
    judgements = judge(family, rules) if family else []
    verdicts = []
    for judgement, (norm, baseline, size) in zip(judgements, compared, strict=True):
        own, other = (_statuses(trials, name, size) for name in (norm, baseline))
        if may_drop:
            shared = {*judgement.pairs.seeds}
            own, other = (_statuses(trials, name, size, shared) for name in (norm, baseline))
        guessing = (
            Guessing.among(own, len(own) if may_drop else experiment.seeds),
            Guessing.among(other, len(other) if may_drop else experiment.seeds),
        )
        ended = own.count("finished") + other.count("finished") + sum(g.total for g in guessing)
        unfinished = 0 if may_drop else 2 * experiment.seeds - ended
        verdicts.append(verdict_of(judgement, baseline, guessing, unfinished))
    return verdicts


def _statuses(
    trials: Trials, norm: str, batch_size: int, seeds: Collection[int] | None = None
) -> list[Status]:
    """Of all seeds, or of these."""
    own = trials.of(norm, batch_size)
    return [trial.status for trial in own if seeds is None or trial.seed in seeds]


def contrasts_on(
    experiment: Experiment,
    trials: Trials,
    asked: Sequence[tuple[Metric, str, str]],
    rules: Rules,
) -> tuple[Contrast, ...]:
    """The comparisons of one family at the main batch size, without a margin.

    `asked`: a metric, a norm, and the one that it is compared with.
    """
    family = [
        metric_pairs(experiment, trials, norm, baseline, metric) for metric, norm, baseline in asked
    ]
    judgements = judge(family, replace(rules, margin=None)) if family else []
    return tuple(
        Contrast(metric, judgement, baseline)
        for (metric, _, baseline), judgement in zip(asked, judgements, strict=True)
    )


def against_baseline(
    experiment: Experiment, metrics: Sequence[Metric]
) -> list[tuple[Metric, str, str]]:
    """Every metric of every candidate."""
    return [
        (metric, norm, experiment.baseline) for metric in metrics for norm in candidates(experiment)
    ]


def winners_of(
    experiment: Experiment,
    norms: Sequence[NormSummary],
    trials: Trials,
    rules: Rules,
) -> tuple[str, ...] | None:
    """The norms that no other is shown to beat at the main batch size, all pairs tested together.

    Of the baseline and the candidates. None where one of their trials diverged or collapsed, a norm
    has fewer than two finished trials, or a fixed design lacks some.
    """
    size = experiment.main_batch_size
    names = to_choose(experiment)
    norms = [norm for norm in norms if norm.batch_size == size and norm.norm in names]
    incomplete = any(norm.finished < norm.trials for norm in norms) and not rules.sequential
    if incomplete or any(norm.guessing.total or norm.finished < 2 for norm in norms):
        return None
    values = np.full((len(norms), experiment.seeds), np.nan)
    places = {seed: place for place, seed in enumerate(experiment.seed_numbers)}
    for norm, row in zip(names, values, strict=True):
        for trial in trials.of(norm, size):
            if trial.metrics:
                row[places[trial.seed]] = trial.metrics[TEST_ACCURACY.name]
    fixed = partial(_fixed_p_value, overlap=rules.overlap)
    p_value = partial(_sequential_p_value, looks=rules.looks) if rules.sequential else fixed
    found = winner_set(values, _level_of_a_pair(len(norms), rules), p_value)
    return tuple(names[index] for index in found)


def _fixed_p_value(differences: Sequence[float], overlap: float) -> float:
    if all_equal(differences):  # no spread: as in `judge`
        return 1.0
    return t_p_value(differences, overlap)


def _level_of_a_pair(norms: int, rules: Rules) -> float:
    """The first version of the rules shared alpha among all pairs: too strict."""
    if rules.version == 1:
        return rules.alpha / max(1, norms * (norms - 1) // 2)
    return 2 * rules.alpha / max(1, norms - 1)


def _sequential_p_value(differences: Sequence[float], looks: Looks) -> float:
    """1 where there is no spread to judge by, or the looks contradict each other."""
    if all_equal(differences) or not looks.direction_of_evidence(differences):
        return 1.0
    return looks.anytime_p_value(differences)
