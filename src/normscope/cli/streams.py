"""Standard output and standard error, fit for use whatever the shell made of them."""

import codecs
import io
import os
import sys

PLAIN = {"−": "-", "–": "-", "±": "+-", "→": "->", "…": "...", "µ": "u", "\u00a0": " "}


def prepare_streams() -> None:
    """Make both streams take whatever is written to them.

    Where the shell closed one, as with ``2>&-``, what is written goes to the null device. A
    character that a terminal lacks is written as `PLAIN` has it, so that any gets its verdicts.
    """
    codecs.register_error("normscope.plain", _plain)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open to the end
            setattr(sys, name, null)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="normscope.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in characters that every encoding has."""
    assert isinstance(error, UnicodeEncodeError)  # the only direction in which streams use it
    lost = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign, "?") for sign in lost), error.end
