"""Whether a drop of the test accuracy is one of the running statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normscope.analysis.numbers import Numbers
from normscope.analysis.why.reading import LEAST_SEEDS, Outcome, Reading, probes_of
from normscope.experiment import Probes
from normscope.experiment.probes import TEST_IMAGES
from normscope.stats import holm, mcnemar
from normscope.words import counted, number

DROP_POINTS = 1.0  # what a reader of a curve would call a drop; test noise has an sd of 0.3


@dataclass(frozen=True)
class Drop:
    """The deepest fall of one seed's accuracy by running statistics from one epoch to the next.

    `running` and `precise` are by how many points accuracy fell by either, and `p` is McNemar's
    for the images that one of them alone gets right in the epoch of the fall.
    """

    epoch: float
    running: float
    precise: float
    gain: float
    p: float


def drop_of(probes: Probes) -> Drop | None:
    """None without accuracies of two epochs."""
    running, precise = (
        probes.series.get(f"eval-gap.{name}_percent") for name in ("running", "precise")
    )
    if running is None or precise is None:
        return None
    trained = running.epochs > 0
    if trained.sum() < 2:
        return None
    fell = -np.diff(running.readings[trained])
    deepest = int(fell.argmax())
    place = int(np.flatnonzero(trained)[deepest + 1])
    only = [
        round(float(probes.series[f"eval-gap.only_{name}"].readings[place]))
        for name in ("running_precise", "precise")
    ]
    return Drop(
        epoch=float(running.epochs[place]),
        running=float(fell[deepest]),
        precise=float(-np.diff(precise.readings[trained])[deepest]),
        gain=float(precise.readings[place] - running.readings[place]),
        p=mcnemar(*only),
    )


def bump(numbers: Numbers) -> Reading | None:
    """Of the baseline, if it is tested with running statistics."""
    own, rules = probes_of(numbers.experiment.baseline, numbers), numbers.rules
    found = [drop for each in own if (drop := drop_of(each)) is not None]
    # A percentage of 1,000 images is stored in float32: exactly a point may be a little less.
    drops = [drop for drop in found if round(drop.running, 4) >= DROP_POINTS]
    if not found:
        return None
    corrected = holm([drop.p for drop in drops])
    halved = [drop.precise < drop.running / 2 for drop in drops]
    at_fault = [
        less and drop.gain > 0 and p <= rules.alpha
        for drop, less, p in zip(drops, halved, corrected, strict=True)
    ]
    outcome: Outcome = "not decided"
    if len(drops) >= LEAST_SEEDS and all(at_fault):
        outcome = "supported"
    elif len(drops) >= LEAST_SEEDS and not any(halved):
        outcome = "contradicted"
    told = "; ".join(
        f"epoch {drop.epoch:g}: {number(drop.running, 1)} points by running, "
        f"{number(drop.precise, 1)} by precise statistics"
        for drop in drops
    )
    none = len(found) - len(drops)
    plain = (
        f"In {sum(at_fault)} of {counted(len(found), 'seed')} the statistics that the network is "
        "tested with are to blame for the deepest fall of its accuracy, and not the network"
        + (f"; in {none} nothing fell by a point." if none else ".")
    )
    if not drops:
        plain = (
            f"In none of {counted(len(found), 'seed')} does the accuracy fall by a point from one "
            "epoch to the next, so there is no sudden drop to explain."
        )
    return Reading(
        "A sudden drop of the test accuracy comes from the running statistics",
        plain,
        outcome,
        f"Deepest falls: {told or 'none of a point or more'}. Running statistics are at fault if "
        "precise ones get more images right in that epoch (McNemar's exact test, with Holm's "
        "correction over seeds) and fall by less than half as much, and are not if these fall by "
        "half as much or more.",
        f"On {looked_at(own):,} of the test images. The epoch is that of the deepest fall on the "
        "same images, which favours a difference in it.",
    )


def looked_at(own: Sequence[Probes]) -> int:
    """How many test images accuracies are of: the fewest; 1,000 before it was recorded."""
    with_it = [each.series for each in own if "eval-gap.running_percent" in each.series]
    found = [series.get("eval-gap.images") for series in with_it]
    return min(TEST_IMAGES if one is None else int(one.last) for one in found)
