"""What can be wrong with images of a user's own: the table `KINDS`, and what was found of each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from normscope.words import counted

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """A kind of problem, as the check's table names it.

    An error stops `compare`, unless bad images are to be left out. A warning and a note are said,
    and the work goes on; with `left_out`, ``--skip-bad`` leaves out what a warning names, too.
    """

    severity: Severity
    title: str
    left_out: bool = False


# In the order in which they are told.
KINDS: dict[str, Kind] = {
    "empty": Kind("error", "empty files (0 bytes)"),
    "unreadable": Kind("error", "not an image, or damaged"),
    "truncated": Kind("error", "cut short in the middle"),
    "bomb": Kind("error", "larger than 100 megapixels"),
    "tiny": Kind("error", "a side of less than 8 pixels"),
    "unsupported": Kind("error", "images of a type that is not read"),
    "denied": Kind("error", "no permission to read"),
    "broken_link": Kind("error", "links that point nowhere"),
    "outside": Kind("error", "links or paths that leave the folder"),
    "nested": Kind("error", "folders inside a folder of images"),
    "loose": Kind("error", "images outside the class folders"),
    "missing_file": Kind("error", "rows whose image is missing"),
    "missing_label": Kind("error", "rows without a label"),
    "bad_split": Kind("error", "rows whose split is not train, test or val"),
    "listed_twice": Kind("error", "the same file in several rows"),
    "empty_class": Kind("error", "classes without a usable image"),
    "untrained": Kind("error", "classes with test images only"),
    "twin_across": Kind("warning", "TRAINING IMAGES WITH THE SAME PIXELS AS A TEST IMAGE", True),
    "near_across": Kind("warning", "TRAINING IMAGES NEARLY THE SAME AS A TEST IMAGE"),
    "twin_labels": Kind("warning", "the same pixels under different labels"),
    "near_labels": Kind("warning", "nearly the same image under different labels"),
    "twin": Kind("warning", "the same pixels twice in one split"),
    "near": Kind("warning", "nearly the same image twice in one split"),
    "blank": Kind("warning", "of one colour, or nearly black", True),
    "untested": Kind("warning", "classes without a test image"),
    "imbalance": Kind("warning", "classes of very different sizes"),
    "other_file": Kind("warning", "files that are no images; left out"),
    "wrong_name": Kind("note", "read by content: the name says another type"),
    "litter": Kind("note", "hidden files and litter; left out"),
    "other_folder": Kind("note", "folders that are not looked into"),
}

# What reading an image may take beyond decoding it, and how that is said.
DONE = {
    "turned": "had an orientation tag and {were} turned",
    "grey": "{were} grey; the three channels are equal",
    "palette": "had a palette, which was replaced by its colours",
    "alpha": "had transparent parts, which {were} laid over white",
    "cmyk": "{were} in another colour space (CMYK, YCbCr) and {were} converted to RGB",
    "sixteen": "had 16 bits per channel, of which the upper 8 were kept",
    "frames": "had several frames, of which the first was read",
    "cropped": "{were} not square and lost their margins to a square in the middle",
    "enlarged": "{were} smaller than that and {were} enlarged",
}


class Finding(NamedTuple):
    """One thing found: where, as the user would write it from the folder's root, and what else."""

    path: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{printable(self.path)}{f' ({printable(self.detail)})' if self.detail else ''}"


@dataclass
class Findings:
    """All that a check found of one folder or file, and what it says of how that is read.

    `refusal` says why nothing can be made of it even without the bad images, or is empty.
    `on_splits` are those of the `sentences` that are not true of folds.
    """

    found: dict[str, list[Finding]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    sentences: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    refusal: str = ""
    on_splits: list[str] = field(default_factory=list)

    def say_of_splits(self, sentence: str) -> None:
        """Say what is true of the splits, and so not of folds."""
        self.sentences.append(sentence)
        self.on_splits.append(sentence)

    def add(self, kind: str, path: str, detail: str = "") -> None:
        """Note that `path` has a problem of that kind."""
        self.found[kind].append(Finding(path, detail))

    def count(self, severity: Severity) -> int:
        """How many findings there are of a severity."""
        return sum(len(found) for _, found in self.of(severity))

    def of(self, severity: Severity) -> Iterable[tuple[str, list[Finding]]]:
        """The kinds of a severity of which something was found, in the order of the table."""
        return [
            (kind, self.found[kind])
            for kind in KINDS
            if KINDS[kind].severity == severity and self.found[kind]
        ]

    def stops(self, skip_bad: bool) -> bool:
        """Whether `compare` would stop."""
        return bool(self.refusal) or (self.count("error") > 0 and not skip_bad)

    def doubts(self) -> list[str]:
        """What is doubtful about results on these images, as sentences: each warning."""
        return [
            f"{len(found)} {title_of(kind)} (first: {found[0]}); `normscope data check` names all."
            for kind, found in self.of("warning")
        ]

    def said(self) -> list[str]:
        """How the images are read, as sentences."""
        return [
            *self.sentences,
            *(_done(name, self.done[name]) for name in DONE if self.done[name]),
        ]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, from which `from_dict` makes it again."""
        found = {kind: [list(each) for each in found] for kind, found in self.found.items()}
        return {
            "found": {kind: each for kind, each in found.items() if each},
            "sentences": self.sentences,
            "done": dict(self.done),
            "refusal": self.refusal,
            "on_splits": self.on_splits,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Findings":
        """The findings that `as_dict` made plain."""
        findings = cls(
            sentences=values["sentences"],
            done=Counter(values["done"]),
            refusal=values["refusal"],
            on_splits=values["on_splits"],
        )
        for kind, found in values["found"].items():
            findings.found[kind] = [Finding(*each) for each in found]
        return findings


def title_of(kind: str) -> str:
    """What is wrong, within a sentence."""
    title = KINDS[kind].title
    return title.lower() if title.isupper() else title


def _done(name: str, count: int) -> str:
    words = DONE[name].format(were="was" if count == 1 else "were")
    return f"{counted(count, 'image')} {words}."


def printable(text: str) -> str:
    """A file's name without what would upset a terminal: control characters, broken encodings."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )
