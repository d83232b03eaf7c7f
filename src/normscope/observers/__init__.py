"""Who is told while an experiment runs, by name: the table `OBSERVERS`."""

import sys
from collections.abc import Callable
from typing import TextIO

from rich.console import Console

from normscope.observers.bars import LiveBars
from normscope.observers.lines import PlainLines
from normscope.observers.notebook import InNotebook, is_of_a_notebook
from normscope.observers.protocol import Check, Observer, Several, never

__all__ = [
    "OBSERVERS",
    "Check",
    "InNotebook",
    "LiveBars",
    "Observer",
    "PlainLines",
    "Several",
    "observer_for",
    "usual_observer",
]

# By name: makes the observer that writes to a stream, and calls a check after every epoch.
OBSERVERS: dict[str, Callable[[TextIO, Check], Observer]] = {
    "lines": PlainLines,
    "bars": lambda stream, check: LiveBars(Console(file=stream), check),
}


def observer_for(stream: TextIO, check: Check = never) -> Observer:
    """The observer that suits a stream: bars in a terminal, lines in a file."""
    return OBSERVERS["bars" if stream.isatty() else "lines"](stream, check)


def usual_observer() -> Observer:
    """Who is told by a call from Python that names nobody: in place in a notebook, else lines."""
    return InNotebook() if is_of_a_notebook(sys.stdout) else PlainLines()
