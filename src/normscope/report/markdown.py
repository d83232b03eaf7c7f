"""The report in Markdown: what fits into a message or a repository."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from normscope.analysis import Analysis
from normscope.report.figures import ReportFigure
from normscope.report.result_table import (
    SECONDS_NOTE,
    full_names,
    headings,
    intervals_note,
    result_row,
    setting,
    title,
)
from normscope.report.tables import (
    Table,
    agreement_tables,
    class_tables,
    cost_tables,
    evidence_tables,
    inside_tables,
)
from normscope.words import visible


def render_markdown(analysis: Analysis, figures: Sequence[ReportFigure]) -> str:
    """The sections of the page in short, the figures as links, and the command to repeat it."""
    parts = [
        f"# {escape(title(analysis))}",
        "**Synthetic data.**" if analysis.facts.synthetic else "",
        escape(f"{setting(analysis)} {analysis.facts.description}."),
        escape(full_names(analysis)),
        "## Answer",
        f"**{escape(str(analysis.recommendation))}**",
        bullets(analysis.leading_answers),
        escape(analysis.undecided_in_short),
        "### Caveats" if analysis.caveats else "",
        bullets(analysis.caveats),
        "### Results",
        results_table(analysis),
        escape(intervals_note(analysis.verdicts, analysis.rules)),
        SECONDS_NOTE,
        escape(analysis.method),
        *_tables("## Evidence", evidence_tables(analysis)),
        "## Findings" if analysis.findings else "",
        bullets(analysis.findings),
        *_tables("## Classes", class_tables(analysis)),
        *_mistakes(analysis),
        *_why(analysis),
        *_tables("## Network and cost", cost_tables(analysis)),
        "## Figures" if figures else "",
        *(f"![{escape(figure.alt)}](figures/{figure.name}.png)" for figure in figures),
        "## Repeat it",
        *(code(request.command) for request in analysis.requests),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def results_table(analysis: Analysis) -> str:
    """A row per norm."""
    rows = [[str(c) for c in result_row(norm, analysis)] for norm in analysis.norms]
    return markdown_table([headings(analysis), *rows])


def _mistakes(analysis: Analysis) -> list[str]:
    if analysis.agreement is None:
        return []
    sentences = " ".join(analysis.agreement.sentences)
    return ["## Mistakes", escape(sentences), *_tables("", agreement_tables(analysis))]


def _why(analysis: Analysis) -> list[str]:
    tables = inside_tables(analysis)
    parts = ["## Why"] if analysis.why or tables else []
    for reading in analysis.why:
        parts += [
            f"### {escape(reading.claim)}",
            f"**{reading.outcome.capitalize()}.** {escape(reading.plain)}",
            escape(f"{reading.text} {reading.limits}"),
        ]
    return parts + _tables("", tables)


def _tables(heading: str, tables: Sequence[Table]) -> list[str]:
    parts = [heading] if tables else []
    for table in tables:
        rows = [[str(cell) for cell in row] for row in table.rows]
        drawn = markdown_table([table.headings, *rows])
        parts += [f"### {escape(table.title)}", escape(table.caption), drawn]
    return parts


def bullets(sentences: Sequence[object]) -> str:
    """A list, an item for each."""
    return "\n".join(f"- {escape(str(sentence))}" for sentence in sentences)


def code(text: str) -> str:
    """A block of code."""
    return "\n".join(f"    {visible(line)}" for line in text.splitlines())


def link(path: str) -> str:
    """A link to a file beside this one, shown by its path."""
    return f"[{escape(path)}]({quote(path)})"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row holds the headings."""
    lines = ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def escape(text: str) -> str:
    """Text from data stays text: no markup of Markdown or HTML in it takes effect."""
    text = visible(" ".join(text.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|$~])", r"\\\1", text)
