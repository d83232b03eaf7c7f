"""What is recorded of the trials of two experiments and differs between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from normscope.analysis.sides import Both, Side
from normscope.experiment import Recipe, Result
from normscope.experiment.recipe import in_a_word


@dataclass(frozen=True)
class Differing:
    """One thing that differs, as words; several values of one experiment are `"a, b"`.

    `cause`: whether accuracies may depend on it, which they do not on a name.
    """

    what: str
    a: str
    b: str
    cause: bool = True


@dataclass(frozen=True)
class _Fact:
    """What is recorded of each trial: its name, where it stands, and whether it is a cause."""

    what: str
    read: Callable[[Result], Any]
    cause: bool = True


def differing(both: Both) -> tuple[Differing, ...]:
    """What differs between any two trials that are compared: what was asked for, then where it ran.

    What precision was asked for says it all, so that the arithmetic is left out where it follows.
    """
    found = [row for fact in _ASKED if (row := _row(fact, both))]
    found += _protocol(both)
    found += _training_images(both)
    where = [row for fact in _WHERE if (row := _row(fact, both))]
    if any(row.what == "precision" for row in found):
        where = [row for row in where if row.what != ARITHMETIC]
    return (*found, *where)


ARITHMETIC = "arithmetic"

_ASKED = (
    _Fact("data set", lambda result: result.trial.dataset, cause=False),
    _Fact("train_limit", lambda result: result.trial.train_limit),
    _Fact("model", lambda result: result.trial.model),
    _Fact("source of the model", lambda result: result.trial.model_source),
    _Fact("source of the norm", lambda result: result.trial.source),
    _Fact("recipe", lambda result: result.trial.recipe.name, cause=False),
    *(
        _Fact(name, lambda result, name=name: getattr(result.trial.recipe, name))
        for name in Recipe.model_fields
        if name != "name"
    ),
)
_WHERE = (
    _Fact("normscope", lambda result: result.environment.normscope),
    _Fact("torch", lambda result: result.environment.torch),
    _Fact("numpy", lambda result: result.environment.numpy),
    _Fact("python", lambda result: result.environment.python),
    _Fact("platform", lambda result: result.environment.platform),
    _Fact("processor", lambda result: result.environment.processor),
    _Fact("device", lambda result: result.environment.device),
    _Fact("threads", lambda result: result.environment.threads),
    _Fact(ARITHMETIC, lambda result: result.environment.precision),
    _Fact("kernels", lambda result: result.environment.kernels),
    _Fact("trials at once", lambda result: result.environment.fleet),
)


def _row(fact: _Fact, both: Both) -> Differing | None:
    """What a fact is in each experiment; None if it is the same in every two trials."""
    mine, theirs = ([(r.trial.norm, fact.read(r)) for r in side] for side in _sides(both))
    if mine == theirs:
        return None
    a, b = _values(mine), _values(theirs)
    return Differing(fact.what, a, f"{b}, in other trials" if a == b else b, fact.cause)


def _sides(both: Both) -> tuple[list[Result], list[Result]]:
    return [a for a, _ in both.trials], [b for _, b in both.trials]


def _values(found: Sequence[tuple[str, Any]]) -> str:
    """``0.02``; ``0.02 (bn, ln), 0.04 (gn)`` where it follows the norm; else ``a, b``."""
    norms: dict[Any, list[str]] = {}
    for norm, value in dict.fromkeys(found):
        norms.setdefault(value, []).append(norm)
    several = len(norms) > 1
    follows = sum(map(len, norms.values())) == len({norm for norm, _ in found})
    return ", ".join(
        in_a_word(value) + (f" ({', '.join(named)})" if several and follows else "")
        for value, named in norms.items()
    )


def _protocol(both: Both) -> list[Differing]:
    """How rates were chosen, which acts through `max_lr` alone."""
    a, b = both.a.experiment.protocol, both.b.experiment.protocol
    return [Differing("protocol", a, b, cause=False)] if a != b else []


def _training_images(both: Both) -> list[Differing]:
    """Other images or labels to train on, where there is no limit that says so."""
    if both.a.experiment.train_limit != both.b.experiment.train_limit:
        return []
    a, b = _check_sums(both.a), _check_sums(both.b)
    if a == b:
        return []
    mine, theirs = (f"{side.facts.train_size:,}" for side in (both.a, both.b))
    return [Differing("training images", mine, f"{theirs}, others" if mine == theirs else theirs)]


def _check_sums(side: Side) -> dict[str, str]:
    sums = side.facts.checksums
    return {name: each for name, each in sums.items() if name.startswith("train")}
