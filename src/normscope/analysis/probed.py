"""What probes measured, as one long table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from normscope.experiment import Probes, Result, Series

COLUMNS = [
    "norm", "batch_size", "seed", "probe", "measure", "epoch", "layer", "position", "value",
]  # fmt: skip
LAYERS = ("norm", "weight")  # axes whose positions are layers


def probe_table(results: Sequence[Result], probes: Mapping[str, Probes]) -> pd.DataFrame:
    """One row per number, of every trial whose id is among the probes.

    `layer` is the name of the layer, and `position` the one along whatever other axis a measure
    has, such as a channel or the size of a step, with a comma between several (``3,7``); either is
    empty where there is none.
    """
    frames = []
    for result in results:
        if result.trial.id not in probes:
            continue
        trial = result.trial
        for name, series in probes[trial.id].series.items():
            probe, _, measure = name.partition(".")
            where = {"norm": trial.norm, "batch_size": trial.recipe.batch_size, "seed": trial.seed}
            frames.append(_frame(series).assign(**where, probe=probe, measure=measure))
    if not frames:
        return pd.DataFrame({column: [] for column in COLUMNS})
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)


def _frame(series: Series) -> pd.DataFrame:
    """A row per number, but for the NaN with which short rows are filled."""
    index = np.indices(series.readings.shape)
    columns: dict[str, Any] = {
        "epoch": series.epochs[index[0].ravel()],
        "layer": "",
        "position": "",
        "value": series.readings.ravel().astype(float),
    }
    for axis, names, places in zip(series.axes, series.names, index[1:], strict=True):
        column, found = "layer" if axis in LAYERS else "position", np.array(names)[places.ravel()]
        before = columns[column]
        columns[column] = found if isinstance(before, str) else np.char.add(before + ",", found)
    frame = pd.DataFrame(columns)
    return frame.dropna(subset=["value"]) if len(series.axes) > 1 else frame
