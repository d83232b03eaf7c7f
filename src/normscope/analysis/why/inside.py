"""What the networks of each norm are like inside, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from normscope.analysis.numbers import Numbers
from normscope.analysis.why.reading import first, last_of, probes_of, values_of


@dataclass(frozen=True)
class Inside:
    """What a norm's trained networks are like: each measure is a mean over layers, over `n` seeds.

    None where it was not measured.
    """

    norm: str
    n: int
    measures: Mapping[str, float | None]


# What is shown of every norm, by its heading: the measure, and whether the network is trained.
SHOWN: dict[str, tuple[str, bool]] = {
    "Sameness, untrained": ("redundancy.sameness_position", False),
    "Sameness": ("redundancy.sameness_position", True),
    "Shuffled": ("floor.sameness", True),
    "Pooled": ("redundancy.sameness_pooled", True),
    "Best r²": ("redundancy.best_r2_position", True),
    "S1": ("substitution.s1", True),
    "Channels' share": ("variance.channel", True),
    "Images' share": ("variance.sample", True),
    "Share of both together": ("variance.interaction", True),
    "Affine gap": ("affine-gap.affine_gap", True),
}


def inside_of(numbers: Numbers) -> tuple[Inside, ...]:
    """Of every norm whose trials were looked into."""
    rows = []
    for norm in numbers.order:
        own = probes_of(norm, numbers)
        measures = {}
        for heading, (name, trained) in SHOWN.items():
            values = values_of(own, name, last_of(numbers) if trained else first)
            measures[heading] = float(np.mean(values)) if values else None
        if any(value is not None for value in measures.values()):
            rows.append(Inside(norm, len(own), measures))
    return tuple(rows)
