"""How verdicts are reached, and the record of every time that a user asked for them."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from normscope.experiment.frozen import Frozen, PositiveInt

LEAST_SEEDS = 6  # before a design until decided may stop
RULES = 2  # the version of the rules of verdicts; see `analysis.verdicts.Rules`


class Design(Frozen):
    """How verdicts are reached; to be chosen before anything is seen.

    `alpha` is the chance of a false claim that is accepted for a family of comparisons. Two
    norms are equivalent when they differ by less than `margin_points` percentage points.
    `until_decided` makes the design sequential: seeds are added until every comparison is decided,
    or there are `max_seeds`. With `winner_set` decided norms are trained on, so that all pairs of
    norms are compared in all seeds. `levels_percent` are the test accuracies whose first reaching
    measures speed.
    """

    until_decided: bool = False
    max_seeds: PositiveInt = 30
    margin_points: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.5
    alpha: Annotated[float, Field(ge=1e-6, lt=0.5)] = 0.05
    levels_percent: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = (60.0,)
    winner_set: bool = False

    @field_validator("levels_percent")
    @classmethod
    def _each_level_once(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not levels:
            raise ValueError("names no level")
        if min(levels) < 1:
            raise ValueError("is in percent: 60, not 0.6")
        if len(set(levels)) < len(levels):
            raise ValueError("names a level twice")
        return levels


class Request(Frozen):
    """One time that a user asked for (more of) the experiment.

    `seeds` is the number that was fixed then; in a design until decided, the number to begin with.
    `results_before` counts the results there were to look at; None in older records, which do not
    name the `batch_sizes` either, with those that were there already. `rules`: the version of the
    rules of verdicts that it was made under; older records, which do not name it, are of the first.
    """

    date: str
    command: str
    norms: tuple[str, ...]
    seeds: int
    design: Design = Design()
    results_before: int | None = None
    batch_sizes: tuple[int, ...] = ()
    rules: Literal[1, 2] = 1
