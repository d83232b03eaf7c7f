"""What is measured inside a network, by name: the table `PROBES`. Nothing here trains.

As for `NORMS`, a probe's file, and torch with it, is imported when the probe is first used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal, TypeAlias

from normscope.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from normscope.probes.moment import Moment

__all__ = ["DEFAULT_PROBES", "PROBES", "Probe", "probes_named"]

# At every chosen epoch; at four of them; once before or after the training; or at both ends.
When: TypeAlias = Literal["chosen", "four", "start", "end", "ends"]


@dataclass(frozen=True)
class Probe:
    """A probe that can be named, and told of, before it is imported.

    `about` says what it measures, for people. `home` says where its function is, as
    ``"module:name"``, `when` at which moments it is taken, and `axes` what the axes of its readings
    are: "norm" for norm layers, "weight" for convolutions and linear layers, in the order of the
    forward pass, or a word for other positions, whose names are in `positions`, or else are
    numbers. A probe that `needs_running` is for networks tested with running statistics.
    """

    about: str
    home: str
    when: When = "chosen"
    axes: tuple[str, ...] = ("norm",)
    positions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default: bool = True
    needs_running: bool = False

    def __call__(self, moment: "Moment") -> "Mapping[str, np.ndarray]":
        """The readings at a moment by the name of the measure.

        Each has the probe's axes, or is a single number, of shape ().
        """
        return self.function(moment)

    @property
    def function(self) -> "Callable[[Moment], Mapping[str, np.ndarray]]":
        return resolve_name(self.home)


_FILES = "normscope.probes"

PROBES: dict[str, Probe] = {
    "redundancy": Probe(
        "how far the channels of a layer resemble each other, in three ways of looking",
        f"{_FILES}.static:redundancy",
    ),
    "floor": Probe(
        "how far they resemble each other when their maps are shuffled between images",
        f"{_FILES}.static:floor",
        when="four",
    ),
    "variance": Probe(
        "where a layer's variance comes from: channels, images, both together, or pixels",
        f"{_FILES}.static:variance",
    ),
    "features": Probe(
        "whether a channel is one feature: shares of channel and image in its mean and deviation",
        f"{_FILES}.static:features",
    ),
    "affine-gap": Probe(
        "how far a norm is from one fixed scale and shift per channel", f"{_FILES}.static:gap"
    ),
    "channels": Probe(
        "mean and deviation of every channel that goes into a norm and comes out of it",
        f"{_FILES}.static:channels",
        axes=("norm", "channel"),
    ),
    "dead": Probe("how many channels do not vary at all", f"{_FILES}.static:dead"),
    "eval-gap": Probe(
        "test accuracy by running, precise and batch statistics",
        f"{_FILES}.eval_gap:eval_gap",
        axes=(),
        needs_running=True,
    ),
    "landscape": Probe(
        "how loss and gradient change along the gradient, in steps relative to the weights",
        f"{_FILES}.changes:surroundings",
        when="four",
        axes=("step",),
        positions={"step": ("0", "0.003", "0.01", "0.03", "0.1")},
    ),
    "substitution": Probe(
        "whether the loss notices a channel that is replaced by a copy of another (S1)",
        f"{_FILES}.changes:substitutes",
        when="end",
    ),
    "samples": Probe(
        "how alike different images look to each layer of the untrained network",
        f"{_FILES}.changes:samples",
        when="start",
        axes=("weight",),
    ),
    "weights": Probe(
        "norms of weights and of their gradients, and the learning rate that they amount to",
        f"{_FILES}.changes:weights",
        axes=("weight",),
        default=False,
    ),
    "gradient-shift": Probe(
        "how far a layer's gradient is changed by the step that all earlier layers take",
        f"{_FILES}.changes:shift",
        when="four",
        axes=("weight",),
        default=False,
    ),
    "similarity": Probe(
        "inner products of images after each norm, from which CKA between networks follows",
        f"{_FILES}.changes:grams",
        when="ends",
        axes=("norm", "image", "other image"),
        default=False,
    ),
    "filters": Probe(
        "the filters of the first convolution, for looking at",
        f"{_FILES}.views:filters",
        when="end",
        axes=("filter", "colour", "row", "column"),
        default=False,
    ),
    "maps": Probe(
        "two images, and what comes out of the first, the middle and the last norm layer",
        f"{_FILES}.views:maps",
        when="end",
        axes=("place", "image", "channel", "row", "column"),
        positions={"place": ("image", "first norm", "middle norm", "last norm")},
        default=False,
    ),
    "corruptions": Probe(
        "test accuracy on noisy, blurred, pale, bright, pixelated and compressed images",
        f"{_FILES}.changes:corrupted",
        when="end",
        axes=("corruption", "strength"),
        positions={
            "corruption": ("noise", "blur", "contrast", "brightness", "pixelation", "jpeg"),
            "strength": ("1", "2", "3", "4", "5"),
        },
        default=False,
    ),
}

DEFAULT_PROBES = tuple(name for name, probe in PROBES.items() if probe.default)


def probes_named(names: Sequence[str]) -> tuple[str, ...]:
    """The probes that names stand for, in the order of the table: ``all``, ``default``, ``none``.

    Raises `UsageError` that lists the known names for one that is unknown.
    """
    found: set[str] = set()
    for name in names:
        if name == "none" and len(names) > 1:
            raise UsageError(f"none is not beside other probes: {','.join(names)}")
        several = {"all": tuple(PROBES), "default": DEFAULT_PROBES, "none": ()}
        if name not in PROBES and name not in several:
            raise UsageError(
                f"unknown probe {name!r}; known: all, default, none, {', '.join(PROBES)}"
            )
        found.update(several.get(name, (name,)))
    return tuple(name for name in PROBES if name in found)
