"""The norms there are, as text, and one of them worked on a few numbers."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from normscope.norms import PACKAGED_NORMS, Norm, parse, title_of
from normscope.norms.table import ALIASES
from normscope.study.contract import Check
from normscope.study.worked import Worked
from normscope.words import number

COLUMNS = 80
NAME = 12  # columns of a short name


def show_norms() -> None:
    """Print every norm in a few lines of at most 80 columns."""
    for name, norm in PACKAGED_NORMS.items():
        _print_norm(name, norm)
    note = (
        "Options go into the name, as in gn:groups=2, and so does the place before the activation, "
        "as in bn:pre. `normscope norms gn` works one on a few numbers. A norm of your own is "
        "layers.py:MyNorm."
    )
    print(f"\n{textwrap.fill(note, COLUMNS)}")


def _print_norm(name: str, norm: Norm) -> None:
    print(f"{name:{NAME}}{norm.title}")
    for line in _about(name, norm):
        print(textwrap.fill(line, COLUMNS, initial_indent=" " * NAME, subsequent_indent=" " * NAME))


def _about(name: str, norm: Norm) -> list[str]:
    """What is told of a norm: the formula first, then a sentence for each of its facts."""
    options = [key if value is None else f"{key}={value}" for key, value in norm.options.items()]
    options += [f"{key}={words[0]} (of {', '.join(words)})" for key, words in norm.choices.items()]
    others = [alias for alias, meant in ALIASES.items() if meant == name]
    lines = [
        f"y = {norm.formula}",
        f"Statistics over: {norm.over}. Parameters per channel: {norm.parameters}.",
        f"In evaluation: {norm.evaluation}.",
    ]
    if norm.replaces_activation:
        lines.append("It replaces the activation.")
    if norm.convolution_home:
        lines.append("It standardizes the weights of all convolutions but the last.")
    if options:
        lines.append(f"Options: {', '.join(options)}.")
    if others:
        lines.append(f"Also called: {', '.join(others)}.")
    if norm.source:
        lines.append(f"Source: {norm.source}.")
    return lines


def norm_as_dict(name: str) -> dict[str, Any]:
    """A packaged norm as plain values; any other norm by its name alone."""
    if name not in PACKAGED_NORMS:
        return {"name": name}
    values = asdict(PACKAGED_NORMS[name])
    return {"name": name, **{key: value for key, value in values.items() if "home" not in key}}


def show_norm(worked: Worked) -> None:
    """Print what is known of a norm, then an image per line of channels, before and after."""
    name = parse(worked.norm).name
    if name in PACKAGED_NORMS:
        _print_norm(name, PACKAGED_NORMS[name])
    print(f"\n{title_of(worked.norm)} on two images of four channels of 2x2 pixels, in training:")
    heading = "".join(f"{f'channel {c}':16}" for c in range(1, worked.before.shape[1] + 1))
    for image, (before, after) in enumerate(zip(worked.before, worked.after, strict=True), start=1):
        print(f"\n  image {image}  {heading.rstrip()}")
        _print_rows("before", before, 0)
        _print_rows("after", after, 2)


def _print_rows(word: str, channels: np.ndarray, digits: int) -> None:
    """The rows of pixels of all channels, side by side."""
    for row in range(channels.shape[1]):
        cells = ["".join(f"{number(float(v), digits):>7}" for v in c[row]) for c in channels]
        print(f"  {word if row == 0 else '':7}" + "  ".join(cells))


def show_checks(norm: str, checks: Sequence[Check]) -> None:
    """Print a table of two columns and a word: what must hold, then what is good to know."""
    print(f"{norm}\n")
    for check in checks:
        outcome = {True: "holds", False: "FAILS", None: ""}[check.holds]
        line = f"{check.name:26}{outcome:7}{check.detail}".rstrip()
        print(textwrap.fill(line, COLUMNS, subsequent_indent=" " * 33))
