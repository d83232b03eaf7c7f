"""Who is told while an experiment runs, by name: the tables `OBSERVERS` and `TRACKERS`."""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TextIO

from rich.console import Console

from normscope.errors import UsageError, lookup
from normscope.observers.bars import LiveBars
from normscope.observers.lines import PlainLines
from normscope.observers.mlflow import MLflow
from normscope.observers.notebook import InNotebook, is_of_a_notebook
from normscope.observers.protocol import Check, NormOutcome, Observer, Report, Several, never
from normscope.observers.tensorboard import TensorBoard
from normscope.observers.tracker import Tracker
from normscope.observers.wandb import WeightsAndBiases

__all__ = [
    "OBSERVERS",
    "TRACKERS",
    "Check",
    "InNotebook",
    "LiveBars",
    "NormOutcome",
    "Observer",
    "PlainLines",
    "Report",
    "Several",
    "observer_for",
    "trackers_named",
    "usual_observer",
]

# By name: makes the observer that writes to a stream, and calls a check after every epoch.
OBSERVERS: dict[str, Callable[[TextIO, Check], Observer]] = {
    "lines": PlainLines,
    "bars": lambda stream, check: LiveBars(Console(file=stream), check),
}

# What an experiment may be logged to, besides its folder.
TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}


def observer_for(stream: TextIO, check: Check = never) -> Observer:
    """The observer that suits a stream: bars in a terminal, lines in a file."""
    return OBSERVERS["bars" if stream.isatty() else "lines"](stream, check)


def trackers_named(names: str | Sequence[str]) -> tuple[str, ...]:
    """The names of trackers, each once; a text may hold several, as in ``tensorboard,wandb``.

    Raises `UsageError` for one that is unknown, or whose library is not installed.
    """
    texts = [names] if isinstance(names, str) else names
    asked = dict.fromkeys(name.strip() for text in texts for name in text.split(","))
    for name in asked:
        library = lookup(TRACKERS, "tracker", name).library
        found = find_spec(library)
        if found is None or found.origin is None:  # the latter is a folder that is called like it
            raise UsageError(
                f"--log {name} needs {library}, which is not installed: "
                f'pip install "normscope[{name}]"'
            )
    return tuple(asked)


def usual_observer() -> Observer:
    """Who is told by a call from Python that names nobody: in place in a notebook, else lines."""
    return InNotebook() if is_of_a_notebook(sys.stdout) else PlainLines()
