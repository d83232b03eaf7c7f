"""The page: one HTML file that needs no script, no network and no other file."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from normscope.analysis import Analysis
from normscope.analysis.answers import MANY
from normscope.analysis.mistakes import Mistake
from normscope.analysis.summaries import NormSummary
from normscope.report.figures import (
    ANSWER,
    BATCH,
    CALIBRATION,
    CLASSES,
    CONVERGENCE,
    CURVES,
    MISTAKES,
    SECTIONS,
    STATISTICS,
    WHY,
    ReportFigure,
)
from normscope.report.gallery import data_uri, heat_key, heat_notes, make_card
from normscope.report.plots import (
    curves_data,
    for_page,
    never_fell,
    norm_styles,
    seeds_as_bands,
)
from normscope.report.plots.pictures import png_of, read_picture
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
    BY_BATCH_SIZE,
    BY_STATISTICS_BATCH,
    agreement_tables,
    class_tables,
    cost_tables,
    evidence_tables,
    inside_tables,
)
from normscope.words import (
    chosen_of,
    counted,
    evenly,
    moment,
    number,
    typeset,
    visible,
    what_went_wrong,
)

BESIDE = 8  # norms of which the figure of differences is as tall as the answers beside it
MOST_LISTED, MOST_ERRORS = 1000, 100  # of trials, in the page; the CSV files have all
MOST_OPEN = 30  # trials that are listed where nobody has asked for them

SCRIPT = resources.files("normscope.report").joinpath("templates/report.js").read_text("utf-8")

# Nothing is loaded or run but this script, whatever a name contains: the page holds all it shows.
_DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; script-src 'sha256-{_DIGEST}'; img-src data:; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)

# What may lie beside a page, and what it is.
FILES = {
    "results.csv": "every trial after every epoch",
    "trials.csv": "every trial, its last accuracy and what it took",
    "summary.md": "this report in short, in Markdown",
    "figures/": "every figure as PNG and SVG",
}


def _seen(value: object) -> object:
    """Text from data without characters that act and are not seen; markup of our own as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value, keep="\n\t")


TEMPLATES = Templates(
    loader=PackageLoader("normscope.report", "templates"),
    autoescape=True,
    finalize=_seen,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "counted": counted,
    "chosen_of": chosen_of,
    "number": number,
    "typeset": lambda sentence: typeset(str(sentence)),
    "moment": moment,
    "what_went_wrong": what_went_wrong,
}
TEMPLATES.globals |= {"policy": POLICY, "script": Markup(SCRIPT)}


@dataclass(frozen=True)
class Inline:
    """A figure on the page, as SVG for a wide screen and for a narrow one."""

    figure: ReportFigure
    wide: Markup
    narrow: Markup

    @classmethod
    def of(cls, figure: ReportFigure) -> "Inline":
        return cls(figure, Markup(for_page(figure.svg)), Markup(for_page(figure.narrow_svg)))

    @property
    def curves(self) -> str:
        """What the script tells of the curves, as JSON."""
        curves = {
            norm: [[x, round(y, 2)] for x, y in points]
            for norm, points in self.figure.curves.items()
        }
        return json.dumps(curves, separators=(",", ":"))


def render_page(
    analysis: Analysis,
    figures: Sequence[ReportFigure],
    pictures: Path,
    beside: Collection[str] = (),
    how_far: str = "",
) -> str:
    """The whole page as a string; all text from data is escaped by the template engine.

    `beside` are those of `FILES` that lie beside the page, which links to them; `how_far` is a
    sentence on a training that goes on, which the page says first.
    """
    tables = evidence_tables(analysis)
    errors = [result for result in analysis.all_results if result.error is not None]
    inline = {
        section: [Inline.of(figure) for figure in figures if figure.section == section]
        for section in SECTIONS
    }
    few = len(analysis.norms) <= BESIDE
    first = [each for each in inline[ANSWER] if few and each.figure.name == "differences"]
    return TEMPLATES.get_template("report.html.j2").render(
        how_far=how_far,
        analysis=analysis,
        experiment=analysis.experiment,
        title=title(analysis),
        setting=setting(analysis),
        full_names=full_names(analysis),
        recipe=analysis.experiment.recipe.describe(),
        sections=_sections(
            analysis, evidence=bool(tables or inline[ANSWER] != first), why=bool(inline[WHY])
        ),
        headings=headings(analysis),
        intervals_note=intervals_note(analysis.verdicts, analysis.rules),
        rows=[(norm, result_row(norm, analysis)) for norm in analysis.norms],
        many=len(analysis.leading_answers) > MANY,
        seconds_note=SECONDS_NOTE,
        best=_best(analysis.norms),
        colors=_colors(analysis),
        tables=tables,
        inside=inside_tables(analysis),
        costs=cost_tables(analysis),
        first=first,
        verdicts=[each for each in inline[ANSWER] if each not in first],
        illustrated={BY_BATCH_SIZE: inline[BATCH], BY_STATISTICS_BATCH: inline[STATISTICS]},
        curves=inline[CURVES],
        bands=seeds_as_bands(curves_data(analysis, "test_accuracy_percent")),
        convergence=inline[CONVERGENCE],
        never_fell=never_fell(analysis),
        class_counts=inline[CLASSES],
        recalls=class_tables(analysis),
        confusions=inline[MISTAKES],
        calibrations=inline[CALIBRATION],
        insides=inline[WHY],
        files={name: what for name, what in FILES.items() if name in beside},
        erring=lambda mistake: _erring(analysis, mistake.index),
        picture=lambda mistake: _picture(mistake, pictures),
        agreement=agreement_tables(analysis),
        card=lambda mistake: make_card(analysis, mistake.index, pictures),
        heat_notes=heat_notes(analysis),
        heat_key=heat_key(),
        models=list(analysis.models.values()),
        listed=evenly(analysis.all_results, MOST_LISTED),
        folded=len(analysis.all_results) > MOST_OPEN,
        errors=evenly(errors, MOST_ERRORS),
        errors_in_all=len(errors),
        environments=list(Counter(r.environment for r in analysis.all_results).items()),
    )


def _sections(analysis: Analysis, evidence: bool, why: bool) -> dict[str, str]:
    """The sections that there are: the id of each, and its heading, also in the navigation."""
    sections = {
        "answer": "Answer",
        "evidence": "Evidence",
        "findings": "Findings",
        "curves": "Curves",
        "convergence": "Convergence and smoothness",
        "classes": "Classes",
        "mistakes": "Mistakes",
        "why": "Why",
        "network": "Network and cost",
        "provenance": "Provenance",
    }
    absent = {"evidence"} if not evidence else set()
    absent |= {"findings"} if not analysis.findings else set()
    absent |= {"classes"} if not analysis.classes.imbalanced else set()
    absent |= {"why"} if not (why or analysis.why or analysis.inside) else set()
    return {key: heading for key, heading in sections.items() if key not in absent}


def _colors(analysis: Analysis) -> dict[str, tuple[str, str]]:
    """By norm, of all that were trained: the class of its swatch, and the class's colour."""
    trained = [result.trial.norm for result in analysis.all_results]
    norms = list(dict.fromkeys([*analysis.asked, *trained]))
    styles = norm_styles(norms)
    return {norm: (f"norm-{place}", styles[norm].color) for place, norm in enumerate(norms)}


def _best(norms: Iterable[NormSummary]) -> str | None:
    """The norm with the best accuracy, if every comparison with the baseline is decided.

    Only the baseline or the one norm that is better than it can be marked: the intervals compare
    with the baseline, not among the others.
    """
    verdicts = {norm.norm: norm.verdict for norm in norms}
    outcomes = {name: verdict.outcome for name, verdict in verdicts.items() if verdict}
    if not outcomes or not set(outcomes.values()) <= {"better", "worse"}:
        return None
    better = [name for name, outcome in outcomes.items() if outcome == "better"]
    if not better:
        return next(name for name, verdict in verdicts.items() if verdict is None)
    return better[0] if len(better) == 1 else None


def _erring(analysis: Analysis, index: int) -> str:
    """The places of the norms that misclassify a test image in most of their trials: ``0 2``."""
    answers = analysis.images[index].norms
    return " ".join(str(i) for i, each in enumerate(answers) if 2 * each.wrong > each.trials)


def _picture(mistake: Mistake, pictures: Path) -> str | None:
    """The image as a data URI; None if the folder holds no such picture that is whole."""
    image = read_picture(pictures, mistake.index)
    return None if image is None else data_uri(png_of(image))
