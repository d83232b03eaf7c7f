"""Examples in docstrings as code: an extension of griffe, which reads the docstrings."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^>>> .*\n?)(?:^.+\n?)*", re.MULTILINE)

SKIPPED = re.compile(r" +# doctest: \+SKIP")  # what tests leave out says nothing to a reader


class Examples(griffe.Extension):
    """Fences every block that begins with ``>>>``, which Markdown would take for a quotation."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(block: re.Match[str]) -> str:
    return f"```pycon\n{SKIPPED.sub('', block[0]).rstrip()}\n```\n"
