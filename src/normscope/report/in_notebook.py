"""What a notebook shows of a comparison: the recommendation, the narrow table, a figure."""

from pathlib import Path
from typing import TYPE_CHECKING

from normscope.analysis import Analysis
from normscope.report.html import TEMPLATES
from normscope.report.plots import norm_styles, to_png
from normscope.report.result_table import headings, intervals_note, result_row, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 110  # of a notebook's page; the picture has about twice as many dots

# A word and a mark, as on the page, but no colour: a notebook may be light or dark.
MARKS = {"better": "▲", "worse": "▼", "equivalent": "≈", "undecided": "?"}


def render_in_notebook(analysis: Analysis, page: Path | None) -> str:
    """HTML for the output of a cell, with nothing but inline styles; all text is escaped.

    `page` is the report's, None before it is written.
    """
    named = headings(analysis)
    columns = named.index("Verdict") + 1
    styles = norm_styles(analysis.asked)
    return TEMPLATES.get_template("notebook.html.j2").render(
        analysis=analysis,
        title=title(analysis),
        headings=named[:columns],
        rows=[(norm, result_row(norm, analysis)[:columns]) for norm in analysis.norms],
        note=intervals_note(analysis.verdicts, analysis.rules),
        colors={norm: style.color for norm, style in styles.items()},
        marks=MARKS,
        page=None if page is None else str(page),
    )


def shown(drawing: "Figure") -> "Figure":
    """The same figure, which a notebook shows where pyplot was never imported, too.

    Without pyplot IPython knows no way to show a figure, but it asks every object for this one.
    """
    width, height = (round(PIXELS_PER_INCH * inches) for inches in drawing.get_size_inches())
    size = {"width": width, "height": height}
    setattr(drawing, "_repr_png_", lambda: (to_png(drawing), size))  # noqa: B010
    return drawing
