"""How far the trials of an experiment are, as the process that runs them says."""

from typing import Literal

from normscope.experiment.frozen import Frozen


class Running(Frozen):
    """A trial that is being trained: its name, and how many of its epochs are over.

    `test_accuracy_percent` is that after the last of them; None before the first.
    """

    trial: str
    name: str
    epoch: int
    epochs: int
    test_accuracy_percent: float | None = None


class Progress(Frozen):
    """What a process that trains into a folder says of itself, every few seconds.

    `todo` counts the trials of its present round, of which `done` have ended, `failed` among them.
    `started` and `updated` are dates. `seconds_left` is of the round, from the epochs it has
    trained; None before the first. `verdicts` says how the comparisons stand after the last whole
    block, in a design until decided. `state` is "stopped" if the process was told to end. Of very
    many trials that run, `running` has some, and `running_more` says how many it has not.
    """

    process: int
    host: str
    started: str
    updated: str
    state: Literal["training", "ended", "stopped"] = "training"
    how: str = ""
    todo: int = 0
    done: int = 0
    failed: int = 0
    running: tuple[Running, ...] = ()
    running_more: int = 0
    seconds_left: float | None = None
    verdicts: tuple[str, ...] = ()
