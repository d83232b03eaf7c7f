"""The report in Markdown: what fits into a message or a repository."""

import re

from normscope.analysis import Analysis
from normscope.analysis.answers import counted
from normscope.report.figures import ReportFigure
from normscope.report.result_table import SECONDS_NOTE, headings, one_seed, result_row, title
from normscope.report.tables import evidence_tables


def render_markdown(analysis: Analysis, figures: list[ReportFigure]) -> str:
    """Answers, result table, findings, limits, the command to repeat it, links to the figures."""
    experiment = analysis.experiment
    parts = [
        f"# {_escape(title(analysis))}",
        "**Synthetic data.**" if analysis.facts.synthetic else "",
        f"**Take care:** {warning}." if (warning := one_seed(analysis)) else "",
        f"Model {experiment.model}, recipe {experiment.recipe.name}, "
        f"{counted(experiment.recipe.epochs, 'epoch')}, {counted(experiment.seeds, 'seed')}. "
        f"{_escape(analysis.facts.description)}.",
        _bullets(analysis.answers),
        _escape(analysis.method),
        _table(
            [
                headings(analysis),
                *[[str(cell) for cell in result_row(norm)] for norm in analysis.norms],
            ]
        ),
        SECONDS_NOTE,
        "## Findings\n\n" + _bullets(analysis.findings) if analysis.findings else "",
        "## Limits\n\n" + _bullets(analysis.caveats) if analysis.caveats else "",
        *(
            f"## {table.title}\n\n{_escape(table.caption)}\n\n"
            + _table([table.headings, *[[str(cell) for cell in row] for row in table.rows]])
            for table in evidence_tables(analysis)
        ),
        "## Figures\n\n"
        + "\n\n".join(f"![{_escape(f.alt)}](figures/{f.name}.png)" for f in figures)
        if figures
        else "",
        "## Repeat it\n\n" + "\n\n".join(_code(r.command) for r in analysis.requests),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _bullets(sentences: tuple[str, ...]) -> str:
    return "\n".join(f"- {_escape(sentence)}" for sentence in sentences)


def _code(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _escape(text: str) -> str:
    """Text from data stays text: no markup of Markdown or HTML in it takes effect."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|$])", r"\\\1", " ".join(text.split()))
