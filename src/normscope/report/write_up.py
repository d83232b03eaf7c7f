"""An experiment as a course or a repository asks for it: one page in Markdown, with pictures."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from normscope.analysis import Analysis
from normscope.experiment import Environment
from normscope.files import disk_errors, written
from normscope.report import markdown
from normscope.report.figures import (
    ANSWER,
    BATCH,
    CONVERGENCE,
    CURVES,
    ReportFigure,
    make_figures,
)
from normscope.report.latex import bibtex, render_latex, render_method, render_network
from normscope.report.markdown import captioned, code, escape, joined
from normscope.report.method import method_paragraph
from normscope.report.plots import to_png
from normscope.report.plots.pictures import mistake_figures
from normscope.report.result_table import full_names, setting, title
from normscope.report.tables import BY_BATCH_SIZE, evidence_tables
from normscope.words import counted, listed

WRITE_UP = "write-up.md"
# The figures by section; None: all of it.
SHOWN = {ANSWER: ("differences",), BATCH: None, CURVES: None, CONVERGENCE: None}
ADVICE = "choose another folder with --out"


def write_write_up(analysis: Analysis, pictures: Path, out: Path, latex: bool = False) -> Path:
    """Write ``write-up.md`` and its figures as PNG into the folder `out`; return the page's path.

    `pictures` holds the test images to be shown as ``INDEX.png``. With `latex` also what a paper
    takes, in ``latex/``. Files of the same names are replaced, no other is touched. Raises
    `RunError` if `out` cannot be written.
    """
    figures = [*_figures(analysis), *mistake_figures(analysis, pictures)]
    files = {f"figures/{figure.name}.png": to_png(figure.drawing) for figure in figures}
    texts = {**(_for_a_paper(analysis) if latex else {}), WRITE_UP: render(analysis, figures)}
    files |= {name: text.encode() for name, text in texts.items()}
    for name, content in files.items():
        path = out / name
        with disk_errors(path.parent, ADVICE):
            path.parent.mkdir(parents=True, exist_ok=True)
        with written(path, ADVICE) as partial:
            partial.write_bytes(content)
    return out / WRITE_UP


def render(analysis: Analysis, figures: Sequence[ReportFigure]) -> str:
    """The page, from the question to how it is cited."""
    answer, batch, curves, convergence = (_of(section, figures) for section in SHOWN)
    by_size = [table for table in evidence_tables(analysis) if table.title == BY_BATCH_SIZE]
    return joined(
        [
            f"# {escape(title(analysis))}",
            "**Synthetic data.**" if analysis.facts.synthetic else "",
            "## Question",
            escape(_question(analysis)),
            escape(f"{setting(analysis)} {analysis.facts.description}."),
            escape(full_names(analysis)),
            "## Answer",
            *markdown.answer(analysis),
            "## Results",
            *markdown.results(analysis),
            *map(captioned, answer),
            *markdown.tables("", by_size),
            *map(captioned, batch),
            "## Curves" if curves else "",
            *map(captioned, curves),
            "## Convergence and smoothness" if convergence else "",
            *map(captioned, convergence),
            *markdown.mistakes(analysis, figures),
            *markdown.findings(analysis),
            *markdown.why(analysis),
            *markdown.caveats(analysis, "##"),
            *markdown.network(analysis),
            "## Method",
            escape(method_paragraph(analysis)),
            "## Repeat it",
            *markdown.commands(analysis),
            "Where it ran:",
            _environments(analysis),
            "## Cite",
            code(bibtex(analysis)),
        ]
    )


def _for_a_paper(analysis: Analysis) -> dict[str, str]:
    made = {
        "results.tex": render_latex(analysis),
        "method.tex": render_method(analysis),
        "normscope.bib": bibtex(analysis),
    }
    if analysis.models:
        made["network.tex"] = render_network(analysis)
    return {f"latex/{name}": text for name, text in made.items()}


def _figures(analysis: Analysis) -> list[ReportFigure]:
    return [
        figure
        for figure in make_figures(analysis, SHOWN)
        if SHOWN[figure.section] is None or figure.name in SHOWN[figure.section]
    ]


def _of(section: str, figures: Sequence[ReportFigure]) -> list[ReportFigure]:
    return [figure for figure in figures if figure.section == section]


def _question(analysis: Analysis) -> str:
    experiment = analysis.experiment
    norms = [analysis.titles.get(norm, norm) for norm in analysis.order]
    network = f"network {experiment.model} on {analysis.facts.name}"
    if len(norms) == 1:
        return f"How accurate is {network} with {norms[0]}?"
    return f"Which normalization layer should {network} use: {listed(norms, 'or')}?"


def _environments(analysis: Analysis) -> str:
    """A line for each kind of place, with what was installed there."""
    found = Counter(result.environment for result in analysis.all_results)
    lines = [f"{counted(count, 'trial')}: {_place(where)}" for where, count in found.items()]
    return markdown.bullets(lines or ["no trial yet."])


def _place(where: Environment) -> str:
    return (
        f"normscope {where.normscope}, Python {where.python}, torch {where.torch}, {where.platform}"
        f", {where.processor}, {where.device}, {counted(where.threads, 'thread')}, "
        f"{where.precision}."
    )
