"""What was seen inside one network, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from rich.table import Table

from normscope.cli.show import console
from normscope.experiment import Series
from normscope.training.trained import LookedInto
from normscope.words import NONE, number

AT_ONCE, COLUMN = 5, 12  # measures in a table, and characters of one
Item = TypeVar("Item")


def show_looked(looked: LookedInto) -> None:
    """Print the numbers of each probe, a row for each layer or position.

    Of measures along several axes, such as channels of layers, the mean over the others is shown,
    and none that found nothing.
    """
    screen = console()
    share = looked.test_accuracy_percent
    screen.print(f"Right on {number(share, 2)} % of {looked.test_images} test images.")
    by_probe: dict[str, dict[str, Series]] = {}
    for name, series in looked.probes.series.items():
        probe, _, measure = name.partition(".")
        by_probe.setdefault(probe, {})[measure] = series
    for probe, measures in by_probe.items():
        columns = _columns(measures)
        for some in _batched(columns, AT_ONCE):
            screen.print()
            screen.print(_table(probe, next(iter(measures.values())), dict(some)))


def _columns(measures: Mapping[str, Series]) -> list[tuple[str, np.ndarray]]:
    """The numbers of each measure down its first axis; none of a measure that found nothing."""
    found = []
    for measure, series in measures.items():
        last = series.last.astype(float).reshape(len(series.last) if series.axes else 1, -1)
        count = np.isfinite(last).sum(axis=1)
        if count.any():
            means = np.where(count, np.nansum(last, axis=1) / np.maximum(count, 1), np.nan)
            found.append((measure.replace("_", " "), means))
    return found


def _table(probe: str, first: Series, columns: Mapping[str, np.ndarray]) -> Table:
    """Measures are columns, and layers or positions are rows; one row of single numbers."""
    table = Table(title=probe, title_justify="left", box=None, pad_edge=False)
    table.add_column(first.axes[0] if first.axes else "", no_wrap=True)
    for measure in columns:
        table.add_column(measure, justify="right", max_width=COLUMN)
    for row, name in enumerate(first.names[0] if first.axes else ("",)):
        values = (column[row] for column in columns.values())
        table.add_row(name, *(f"{v:.3g}" if np.isfinite(v) else NONE for v in values))
    return table


def _batched(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """In Python 3.12 it is `itertools.batched`."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def looked_as_dict(looked: LookedInto) -> dict[str, Any]:
    """The same, with every number of every measure, as plain values."""
    return {
        "test_accuracy_percent": looked.test_accuracy_percent,
        "test_images": looked.test_images,
        "probes": {
            name: {
                "axes": series.axes,
                "names": series.names,
                "values": series.last.astype(float).tolist(),
            }
            for name, series in looked.probes.series.items()
        },
        "failures": dict(looked.probes.failures),
    }
