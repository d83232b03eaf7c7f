"""The sentences of a report, each with what it is about, so that nobody has to parse them."""

from dataclasses import dataclass
from typing import Literal

from normscope.analysis.verdicts import Outcome


@dataclass(frozen=True)
class Answer:
    """What may be said of one norm against the baseline, and in a word; "" without a baseline."""

    norm: str
    text: str
    outcome: Outcome | Literal[""] = ""

    @property
    def decided(self) -> bool:
        return self.outcome != "undecided"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Remark:
    """A finding beside the answers: `text` goes on from `topic` and a colon."""

    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.text}"


CaveatKind = Literal[
    "chosen afterwards",
    "damaged folder",
    "one seed",
    "short training",
    "near chance",
    "running statistics",
    "loss still falling",
    "unfinished search",
    "synthetic data",
    "few test images",
    "imbalanced classes",
    "unfinished trials",
    "changed rules",
    "enlarged family",
    "different machines",
]


@dataclass(frozen=True)
class Caveat:
    """What limits the answers and findings."""

    kind: CaveatKind
    text: str

    def __str__(self) -> str:
        return self.text
