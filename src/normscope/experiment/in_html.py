"""A value as a notebook shows it: a table of two columns, in the notebook's own colours."""

from collections.abc import Mapping
from html import escape

CELL = "text-align:left;vertical-align:top;padding:.15em 1em .15em 0;background:none"


def as_table(title: str, rows: Mapping[str, str]) -> str:
    """A row for each name and what is said of it; all text is escaped."""
    cells = "".join(
        f'<tr style="background:none"><th scope="row" style="{CELL};font-weight:normal;'
        f'opacity:.7">{escape(name)}</th><td style="{CELL}">{escape(words)}</td></tr>'
        for name, words in rows.items()
    )
    return f'<div><b>{escape(title)}</b><table style="border:0;margin:.3em 0">{cells}</table></div>'
