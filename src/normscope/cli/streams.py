"""Standard output and standard error, fit for use whatever the shell made of them."""

import codecs
import io
import os
import sys
from typing import Any

from normscope.errors import RunError

PLAIN = {"−": "-", "–": "-", "±": "+-", "→": "->", "…": "...", "µ": "u", "\u00a0": " "}


def prepare_streams() -> None:
    """Make both streams take whatever is written to them.

    Where the shell closed one, as with ``2>&-``, what is written goes to the null device. A
    character that a terminal lacks is written as `PLAIN` has it, so that any gets its verdicts.
    Where one was sent to a file whose disk is full, writing raises `RunError`, once.
    """
    codecs.register_error("normscope.plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = open(os.devnull, "w", encoding="utf-8", errors="normscope.plain")  # noqa: SIM115
            setattr(sys, name, null)  # open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="normscope.plain")
            if isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
                setattr(sys, name, _refusing_in_words(stream, name))


def _refusing_in_words(stream: io.TextIOWrapper, name: str) -> io.TextIOWrapper:
    """A stream to the same file; ``python -u`` has one without a buffer."""
    stream.flush()
    file = _File(stream.fileno(), name)
    return io.TextIOWrapper(
        file if stream.write_through else io.BufferedWriter(file),  # pyright: ignore
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _File(io.FileIO):
    """Raises `RunError` if it takes no more, and lets go what comes after that."""

    def __init__(self, descriptor: int, name: str):
        super().__init__(descriptor, "w", closefd=False)
        self.of, self.is_lost = {"stdout": "output", "stderr": "error"}[name], False

    def write(self, content: Any) -> int | None:
        if self.is_lost:
            return len(memoryview(content))
        try:
            return super().write(content)
        except BrokenPipeError:  # its reader went, which is no error
            raise
        except OSError as error:
            self.is_lost = True
            raise RunError(
                f"cannot write standard {self.of} ({error.strerror}); make room, or send it "
                "elsewhere"
            ) from error


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in characters that every encoding has."""
    assert isinstance(error, UnicodeEncodeError)  # the only direction in which streams use it
    lost = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign, "?") for sign in lost), error.end
