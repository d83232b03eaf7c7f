"""Where the state of trials in training is kept."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Keeping:
    """The state of trials in training is kept in files of `folder`, every `every_s` seconds.

    It is kept at the end of a step, and at once where the program is asked to stop. 0 seconds: at
    the end of every step. `data` is a fingerprint of the images, since a state that was made with
    others is of no use.
    """

    folder: Path
    every_s: float = 30.0
    data: str = ""
