"""The report in Markdown: its sections, and the summary of them that fits into a repository."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from normscope.analysis import Analysis
from normscope.report.figures import FILES_ONLY, ReportFigure
from normscope.report.result_table import Cell, full_names, setting, title
from normscope.report.tables import (
    Table,
    agreement_tables,
    class_tables,
    cost_tables,
    evidence_tables,
    inside_tables,
    network_tables,
    result_tables,
)
from normscope.words import visible


def render_markdown(analysis: Analysis, figures: Sequence[ReportFigure]) -> str:
    """The sections of the page in short, the figures as links, and the command to repeat it."""
    others = [figure for figure in figures if figure not in of_mistakes(figures)]
    return joined(
        [
            *heading(analysis),
            "## Answer",
            *answer(analysis),
            *caveats(analysis, "###"),
            "### Results",
            *results(analysis),
            escape(analysis.method),
            *tables("## Evidence", evidence_tables(analysis)),
            *findings(analysis),
            *tables("## Classes", class_tables(analysis)),
            *mistakes(analysis, figures),
            *why(analysis),
            *network(analysis),
            "## Figures" if others else "",
            *map(image, others),
            "## Repeat it",
            *commands(analysis),
        ]
    )


def joined(parts: Sequence[str]) -> str:
    """A file of these paragraphs; empty ones are left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


# -- the sections, which the summary and the write-up share; each a list of paragraphs -------------


def heading(analysis: Analysis) -> list[str]:
    return [
        f"# {escape(title(analysis))}",
        "**Synthetic data.**" if analysis.facts.synthetic else "",
        escape(f"{setting(analysis)} {analysis.facts.description}."),
        escape(full_names(analysis)),
    ]


def answer(analysis: Analysis) -> list[str]:
    return [
        f"**{escape(str(analysis.recommendation))}**",
        bullets(analysis.leading_answers),
        escape(analysis.undecided_in_short),
    ]


def caveats(analysis: Analysis, level: str) -> list[str]:
    """Below a heading of this `level`, such as ``##``."""
    return [f"{level} Caveats", bullets(analysis.caveats)] if analysis.caveats else []


def results(analysis: Analysis) -> list[str]:
    """The result table in two, each with its caption."""
    main, beside = result_tables(analysis)
    return [
        drawn(main),
        escape(main.caption),
        f"### {beside.title}",
        escape(beside.caption),
        drawn(beside),
    ]


def results_table(analysis: Analysis) -> str:
    """A row per norm: what its verdict rests on; below, the other metrics."""
    return "\n\n".join(map(drawn, result_tables(analysis)))


def findings(analysis: Analysis) -> list[str]:
    return ["## Findings", bullets(analysis.findings)] if analysis.findings else []


def of_mistakes(figures: Sequence[ReportFigure]) -> list[ReportFigure]:
    """Those that show misclassified images."""
    return [figure for figure in figures if re.fullmatch("|".join(FILES_ONLY), figure.name)]


def mistakes(analysis: Analysis, figures: Sequence[ReportFigure]) -> list[str]:
    """What is known of them, and those of the figures that show some."""
    agreement, shown = analysis.agreement, of_mistakes(figures)
    parts = ["## Mistakes"] if agreement or shown else []
    if agreement:
        parts.append(escape(" ".join(agreement.sentences)))
    return [*parts, *map(captioned, shown), *tables("", agreement_tables(analysis))]


def why(analysis: Analysis) -> list[str]:
    found = inside_tables(analysis)
    parts = ["## Why"] if analysis.why or found else []
    for reading in analysis.why:
        parts += [
            f"### {escape(reading.claim)}",
            f"**{reading.outcome.capitalize()}.** {escape(reading.plain)}",
            escape(f"{reading.text} {reading.limits}"),
        ]
    return parts + tables("", found)


def network(analysis: Analysis) -> list[str]:
    return tables("## Network and cost", [*network_tables(analysis), *cost_tables(analysis)])


def commands(analysis: Analysis) -> list[str]:
    """Those that trained it; and by other rules, what shows it by these."""
    late = [analysis.promised.command] if analysis.promised else []
    return [code(each) for each in (*(r.command for r in analysis.requests), *late)]


# -- what they are made of -------------------------------------------------------------------------


def image(figure: ReportFigure, part: str = "") -> str:
    """A figure of the report beside this file, or in the folder `part`."""
    folder = f"{part}/figures" if part else "figures"
    return f"![{escape(figure.alt)}]({folder}/{figure.name}.png)"


def captioned(figure: ReportFigure, part: str = "") -> str:
    """The same with its caption below."""
    return f"{image(figure, part)}\n\n*{escape(figure.caption)}*"


def tables(heading: str, items: Sequence[Table]) -> list[str]:
    """Below a heading, if there are any: each with its title and caption."""
    parts = [heading] if items else []
    for table in items:
        parts += [f"### {escape(table.title)}", escape(table.caption), drawn(table)]
    return parts


def drawn(table: Table) -> str:
    """A row per line, what is decided in bold."""
    rows = [[_bold(cell) if cell.decided else escape(str(cell)) for cell in r] for r in table.rows]
    return _lines([[escape(heading) for heading in table.headings], *rows])


def _bold(cell: Cell) -> str:
    return f"**{escape(str(cell))}**"


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
    return _lines([[escape(cell) for cell in row] for row in rows])


def _lines(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def escape(text: str) -> str:
    """Text from data stays text: no markup of Markdown or HTML in it takes effect."""
    text = visible(" ".join(text.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|$~])", r"\\\1", text)
