"""Where trials run, by name: the table `EXECUTORS`."""

from normscope.executors.fleets import Fleets
from normscope.executors.inline import Inline
from normscope.executors.processes import Processes
from normscope.executors.protocol import Executor, Work
from normscope.executors.ray import Ray

EXECUTORS: dict[str, type[Executor]] = {
    "inline": Inline,
    "processes": Processes,
    "fleet": Fleets,
    "ray": Ray,
}

__all__ = ["EXECUTORS", "Executor", "Work"]
