"""The figures of a report: what each is called, what it shows, and the words that go with it."""

import re
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from normscope.analysis import Analysis
from normscope.plots import (
    METRICS,
    NormCurves,
    confusion_data,
    curves_data,
    draw_confusion,
    draw_curves,
    draw_dots,
    draw_drops,
    drops_data,
    epochs_to_level_data,
    final_accuracy_data,
    last_third,
    seeds_joined,
    to_svg,
)

CURVES = "curves"
CONVERGENCE = "convergence"
MISTAKES = "mistakes"

# The names of all files that reports put into their folder of figures.
FIGURE_FILE = re.compile(
    rf"({'|'.join(METRICS)}|test_accuracy_late|final_accuracy|epochs_to_level|drops|confusion_\d+)"
    r"\.(png|svg)"
)

MAX_NORMS_IN_WORDS = 6  # of more norms, a caption names the lowest and the highest


@dataclass(frozen=True)
class ReportFigure:
    """One figure: `alt` says its main numbers, `caption` what to see in it."""

    name: str
    section: str
    drawing: Figure
    alt: str
    caption: str

    @cached_property
    def svg(self) -> str:
        return to_svg(self.drawing, self.name, self.alt)


def make_figures(analysis: Analysis) -> list[ReportFigure]:
    """Every figure for which there is something to draw, in the order of the page."""
    figures = _curve_figures(analysis)
    if any(norm.finished for norm in analysis.norms):
        figures += _dot_figures(analysis)
        if analysis.experiment.recipe.epochs > 1:
            figures.append(_drop_figure(analysis))
        figures += _confusion_figures(analysis)
    return figures


def _curve_figures(analysis: Analysis) -> list[ReportFigure]:
    norms, figures = analysis.experiment.norms, []
    for metric, title in METRICS.items():
        curves = curves_data(analysis, metric)
        if curves:
            alt = f"{title} by epoch, every seed and the mean. {_ends(curves)}"
            drawing = draw_curves(curves, title, norms)
            figures.append(ReportFigure(metric, CURVES, drawing, alt, _ends(curves)))
    epochs = analysis.experiment.recipe.epochs
    late = last_third(curves_data(analysis, "test_accuracy_percent"), epochs)
    if late and epochs >= 3:
        title = "Test accuracy (%), the last third"
        alt = f"{title} of the epochs, enlarged. {_ends(late)}"
        caption = "The same test accuracy, enlarged: where the curves separate, if they do."
        drawing = draw_curves(late, title, norms)
        figures.append(ReportFigure("test_accuracy_late", CURVES, drawing, alt, caption))
    return figures


def _ends(curves: tuple[NormCurves, ...]) -> str:
    """The mean of every norm at the end of its curve, in words; of many norms, the extremes."""
    ends = [(norm.mean.values[-1], norm) for norm in curves if norm.mean]
    if not ends:
        return "No trial finished."
    joined = ", "
    if len(ends) > MAX_NORMS_IN_WORDS:
        ends.sort(key=lambda end: end[0])
        ends, joined = [ends[0], ends[-1]], " to "
    words = [f"{norm.norm} {value:.2f} (n {norm.finished})" for value, norm in ends]
    return f"Mean after the last epoch: {joined.join(words)}."


def _dot_figures(analysis: Analysis) -> list[ReportFigure]:
    final, speed = final_accuracy_data(analysis), epochs_to_level_data(analysis)
    level = f"{analysis.level_percent:g} %"
    return [
        ReportFigure(
            "final_accuracy",
            CURVES,
            draw_dots(final, "Test accuracy after the last epoch", "Test accuracy (%)"),
            "Final test accuracy: " + "; ".join(f"{r.norm} {r.note}" for r in final) + ".",
            "One dot per seed, the mean as a bar."
            + (" A thin line joins the trials of one seed." if seeds_joined(final) else ""),
        ),
        ReportFigure(
            "epochs_to_level",
            CONVERGENCE,
            draw_dots(
                speed,
                f"Epochs until test accuracy reached {level}",
                "Epochs",
                never_after=float(analysis.experiment.recipe.epochs),
            ),
            f"Epochs to {level}: " + "; ".join(f"{r.norm} {r.note}" for r in speed) + ".",
            f"Interpolated between evaluations; further left means {level} was reached earlier.",
        ),
    ]


def _drop_figure(analysis: Analysis) -> ReportFigure:
    rows = drops_data(analysis)
    return ReportFigure(
        "drops",
        CONVERGENCE,
        draw_drops(rows, analysis.experiment.norms),
        "Falls of test accuracy: " + "; ".join(f"{r.norm} {r.note}" for r in rows) + ".",
        "Every fall of a trial's test accuracy hangs down at its epoch: fewer and shorter is "
        "smoother.",
    )


def _confusion_figures(analysis: Analysis) -> list[ReportFigure]:
    figures = []
    for number, confusion in enumerate(confusion_data(analysis)):
        mistakes = confusion.mistakes
        true, predicted = divmod(int(mistakes.argmax()), len(mistakes))
        names = confusion.class_names
        caption = (
            f"{confusion.norm} most often took {names[true]} for {names[predicted]}: "
            f"{mistakes.max():.1f} images per trial."
        )
        if not mistakes.any():
            caption = f"{confusion.norm} made no mistake."
        alt = f"Confusion matrix of {confusion.norm}, n {confusion.n}. {caption}"
        drawing = draw_confusion(confusion)
        figures.append(ReportFigure(f"confusion_{number}", MISTAKES, drawing, alt, caption))
    return figures
