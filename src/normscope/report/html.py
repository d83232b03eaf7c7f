"""The page: one HTML file that needs no script, no network and no other file."""

import base64
from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from normscope.analysis import Analysis
from normscope.analysis.answers import MANY, confidence, verdict_sentence
from normscope.analysis.mistakes import Mistake
from normscope.analysis.summaries import NormSummary
from normscope.experiment import Environment, ModelSummary
from normscope.report.csv_files import last_line
from normscope.report.figures import (
    ANSWER,
    BATCH,
    CONVERGENCE,
    CURVES,
    MISTAKES,
    ReportFigure,
)
from normscope.report.plots import curves_data, for_page, norm_styles, seeds_as_bands
from normscope.report.result_table import SECONDS_NOTE, headings, one_seed, result_row, title
from normscope.report.tables import evidence_tables
from normscope.words import moment, number, typeset

_TEMPLATES = Templates(
    loader=PackageLoader("normscope.report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"number": number, "typeset": typeset, "moment": moment}


def render_page(analysis: Analysis, figures: list[ReportFigure], pictures: Path) -> str:
    """The whole page as a string; all text from data is escaped by the template engine."""
    trained = dict.fromkeys(result.trial.norm for result in analysis.results)
    styles = norm_styles(list(dict.fromkeys([*analysis.experiment.norms, *trained])))
    return _TEMPLATES.get_template("report.html.j2").render(
        analysis=analysis,
        experiment=analysis.experiment,
        title=title(analysis),
        one_seed=one_seed(analysis),
        answers=_answers(analysis),
        headings=headings(analysis),
        confidence=confidence(analysis.rules),
        rows=[(norm, result_row(norm)) for norm in analysis.norms],
        many=len(analysis.answers) > MANY,
        several=len(analysis.experiment.batch_sizes) > 1,
        seconds_note=SECONDS_NOTE,
        best=_best(analysis.norms),
        colors={norm: style.color for norm, style in styles.items()},
        tables=evidence_tables(analysis),
        verdicts=_inline(figures, ANSWER),
        batch_sizes=_inline(figures, BATCH),
        curves=_inline(figures, CURVES),
        bands=seeds_as_bands(curves_data(analysis, "test_accuracy_percent")),
        convergence=_inline(figures, CONVERGENCE),
        confusions=_inline(figures, MISTAKES),
        picture=lambda mistake: _picture(mistake, pictures),
        models=_distinct_models(analysis),
        environments=_distinct(result.environment for result in analysis.all_results),
        last_line=last_line,
    )


def _answers(analysis: Analysis) -> list[tuple[str | None, str]]:
    """The answers in their order, each with the norm that it speaks of (None: of no single one)."""
    several = len(analysis.experiment.batch_sizes) > 1
    norms = {
        verdict_sentence(norm.verdict, analysis.rules, several): norm.norm
        for norm in analysis.by_batch_size
        if norm.verdict
    }
    return [(norms.get(sentence), sentence) for sentence in analysis.answers]


def _inline(figures: list[ReportFigure], section: str) -> list[tuple[ReportFigure, Markup]]:
    return [(f, Markup(for_page(f.svg))) for f in figures if f.section == section]


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


def _picture(mistake: Mistake, pictures: Path) -> str | None:
    """The image as a data URI; None if the folder holds no such file that can be read."""
    try:
        png = (pictures / f"{mistake.index}.png").read_bytes()
    except OSError:
        return None
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _distinct_models(analysis: Analysis) -> list[ModelSummary]:
    return [analysis.models[norm] for norm in analysis.experiment.norms if norm in analysis.models]


def _distinct(environments: Iterable[Environment]) -> list[tuple[Environment, int]]:
    """Every environment with the number of trials that ran in it, in order of appearance."""
    counts: dict[Environment, int] = {}
    for environment in environments:
        counts[environment] = counts.get(environment, 0) + 1
    return list(counts.items())
