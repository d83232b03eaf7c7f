"""How far the trials were trained, and what their curves say of it.

A short training decides which norm learns faster at first, not which is better in the end. In the
published runs bn is behind ln and gn after 8 of 15 epochs, and ahead of both after 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.experiment import DatasetFacts, EpochRecord, Experiment, Recipe, Result
from normscope.experiment.recipes import recipe_named_as
from normscope.norms import running_momentum

# Below this share of the recipe's steps a training is short: at half of the published runs the
# order of the norms was the reverse of that at their end.
SHORT = 0.5
# A norm has hardly learned if all its trials stay below this share of the way from guessing to
# 100 %, which is 14.5 % for ten classes; the published runs got 73 % of the way.
NEAR_CHANCE = 0.05
# Steps, times the momentum of running statistics, within which these may lag. At momentum 0.1 half
# a percent of the initial values is left after 50 steps, and as long as the learning rate climbs
# the network moves on meanwhile.
LAGGING = 10
LAGGING_GAP_POINTS = 5.0  # by which test accuracy is then below train accuracy; 0 to 1 otherwise
# A loss still falls if its last epoch brings more than this share of the mean fall per epoch; a
# straight line has 1.
STILL_FALLING = 0.5
ANNEALED = 0.01  # of the highest learning rate: below it the loss falls no further


@dataclass(frozen=True)
class Scope:
    """How long the trials of one batch size trained.

    `usual_steps`: those of the recipe of that name on the whole training set; None if there is no
    such recipe, the whole set is not known, or no trial was trained to its end. `near_chance`,
    `lagging` and `falling` name norms, by their finished trials: those that hardly differ from
    guessing, those whose running statistics lag behind, and those whose train loss still fell when
    the training ended.
    """

    batch_size: int
    steps: int
    usual_steps: int | None
    near_chance: tuple[str, ...] = ()
    lagging: tuple[str, ...] = ()
    falling: tuple[str, ...] = ()

    @property
    def short(self) -> bool:
        return self.usual_steps is not None and self.steps < SHORT * self.usual_steps

    @property
    def limited(self) -> bool:
        """Whether the answers hold for this length of training only."""
        return self.short or bool(self.near_chance or self.lagging or self.falling)


def scopes_of(
    experiment: Experiment,
    facts: DatasetFacts,
    results: Sequence[Result],
    whole_train_size: int | None,
) -> tuple[Scope, ...]:
    """The scope of every batch size; `whole_train_size`: training images without any limit."""
    scopes = []
    by_size: dict[int, list[Result]] = {}
    for result in results:
        by_size.setdefault(result.trial.recipe.batch_size, []).append(result)
    for size in experiment.batch_sizes:
        recipe = experiment.recipe_for(size)
        steps = recipe.epochs * recipe.steps_per_epoch(facts.train_size)
        there = by_size.get(size, [])
        trained = any(result.trained_to_the_end for result in there)
        curves = _curves(experiment, there)
        limit = chance_limit(facts.chance_percent)
        averaging = {norm for norm in experiment.norms if _may_lag(norm, steps)}
        scopes.append(
            Scope(
                batch_size=size,
                steps=steps,
                usual_steps=_usual_steps(recipe, whole_train_size) if trained else None,
                near_chance=tuple(n for n, own in curves.items() if _all_below(limit, own)),
                lagging=tuple(n for n, own in curves.items() if n in averaging and _lags(own)),
                falling=tuple(n for n, own in curves.items() if any(map(_still_falls, own))),
            )
        )
    return tuple(scopes)


Curve = Sequence[EpochRecord]  # of one trial


def _curves(experiment: Experiment, results: Sequence[Result]) -> dict[str, list[Curve]]:
    """Those of the finished trials, by norm; no norm without any."""
    curves: dict[str, list[Curve]] = {norm: [] for norm in experiment.norms}
    for result in results:
        if result.trial.norm in curves and result.status == "finished":
            curves[result.trial.norm].append(result.history)
    return {norm: own for norm, own in curves.items() if own}


def chance_limit(chance_percent: float) -> float:
    """The test accuracy in percent below which a trial hardly differs from guessing."""
    return chance_percent + NEAR_CHANCE * (100 - chance_percent)


def _usual_steps(recipe: Recipe, whole_train_size: int | None) -> int | None:
    """The steps of the recipe of that name on the whole training set.

    The learning rate is scaled with the batch size, so that a batch of twice the size may take half
    the steps.
    """
    named = recipe_named_as(recipe)
    if named is None or whole_train_size is None:
        return None
    return named.epochs * recipe.steps_per_epoch(whole_train_size)


def _all_below(limit_percent: float, curves: Sequence[Curve]) -> bool:
    return all(curve[-1].test_accuracy_percent < limit_percent for curve in curves)


def _may_lag(norm: str, steps: int) -> bool:
    momentum = running_momentum(norm)
    return momentum is not None and steps * momentum < LAGGING


def _lags(curves: Sequence[Curve]) -> bool:
    """Whether test accuracy is far below train accuracy, in the mean over the trials."""
    gaps = [curve[-1].train_accuracy_percent - curve[-1].test_accuracy_percent for curve in curves]
    return sum(gaps) / len(gaps) > LAGGING_GAP_POINTS


def _still_falls(curve: Curve) -> bool:
    """Whether the train loss fell in the last epoch about as fast as on the way there."""
    if len(curve) < 2:
        return False
    annealed = curve[-1].learning_rate < ANNEALED * max(epoch.learning_rate for epoch in curve)
    mean_fall = (curve[0].train_loss_nats - curve[-1].train_loss_nats) / (len(curve) - 1)
    last_fall = curve[-2].train_loss_nats - curve[-1].train_loss_nats
    return not annealed and mean_fall > 0 and last_fall > STILL_FALLING * mean_fall
