"""The figures of a report: what each is called, what it shows, and the words that go with it."""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.figure import Figure

from normscope.analysis import Analysis
from normscope.report.plots import (
    METRICS,
    ForestRow,
    NormCurves,
    NormErrors,
    NormRace,
    batch_data,
    confusion_data,
    curves_data,
    draw_batch,
    draw_confusion,
    draw_curves,
    draw_dots,
    draw_drops,
    draw_forest,
    draw_paired,
    draw_race,
    drops_data,
    epochs_to_level_data,
    final_accuracy_data,
    forest_data,
    last_third,
    paired_data,
    race_data,
    seeds_joined,
    to_svg,
)
from normscope.words import confidence, number

ANSWER = "answer"
BATCH = "batch"
CURVES = "curves"
CONVERGENCE = "convergence"
MISTAKES = "mistakes"

# The names of all files that reports put into their folder of figures.
FIGURE_FILE = re.compile(
    rf"({'|'.join(METRICS)}|differences|race|paired|batch_sizes|test_accuracy_late|final_accuracy"
    r"|epochs_to_level|drops|confusion_\d+)\.(png|svg)"
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
    figures = [*answer_figures(analysis), *batch_figures(analysis), *_curve_figures(analysis)]
    if any(norm.finished for norm in analysis.norms):
        figures += _dot_figures(analysis)
        if analysis.experiment.recipe.epochs > 1:
            figures.append(_drop_figure(analysis))
        figures += _confusion_figures(analysis)
    return figures


def answer_figures(analysis: Analysis) -> list[ReportFigure]:
    """The differences to the baseline: their verdicts, how these came about, and every seed."""
    norms, rules = analysis.experiment.norms, analysis.rules
    rows, races, pairs = forest_data(analysis), race_data(analysis), paired_data(analysis)
    figures = []
    if rows:
        alt = f"Difference to {norms[0]} in test accuracy: {'; '.join(map(_standing, rows))}."
        caption = _how_to_judge(rows, analysis)
        drawing = draw_forest(rows, norms, rules)
        figures.append(ReportFigure("differences", ANSWER, drawing, alt, caption))
    if races:
        alt = (
            f"Mean difference to {norms[0]} and its {confidence(rules.alpha)} interval after every "
            f"seed. {_decided(races)}"
        )
        caption = _how_it_went(races, analysis)
        drawing = draw_race(races, norms, rules)
        figures.append(ReportFigure("race", ANSWER, drawing, alt, caption))
    if pairs:
        ahead = "; ".join(f"{row.norm} ahead in {row.ahead}" for row in pairs)
        alt = f"Difference to {norms[0]} in test accuracy, seed by seed: {ahead}."
        caption = (
            f"One mark per seed, in order from above, and their mean as a bar. Right of the line "
            f"the norm was better than {norms[0]} with the same seed."
        )
        if any(row.signs for row in pairs):
            caption += " Open marks: a trial diverged, which counts as guessing."
        drawing = draw_paired(pairs, norms, rules)
        figures.append(ReportFigure("paired", ANSWER, drawing, alt, caption))
    return figures


def _standing(row: ForestRow) -> str:
    """``gn +0.79 points (+0.13 to +1.45), n 9, better``."""
    if row.mean is None:
        return f"{row.norm} {row.outcome}, n {row.n}, trials diverged"
    interval = ""
    if row.interval:
        interval = " ({} to {})".format(*(number(end, 2, signed=True) for end in row.interval))
    mean = number(row.mean, 2, signed=True)
    return f"{row.norm} {mean} points{interval}, n {row.n}, {row.outcome}"


def _how_to_judge(rows: tuple[ForestRow, ...], analysis: Analysis) -> str:
    sentences = [f"Right of the line is better than {analysis.experiment.baseline}."]
    if any(row.interval for row in rows):
        thin = any(row.simultaneous != row.interval for row in rows)
        inside = f", {'a thin one' if thin else 'one'} within the shaded band equivalence"
        equal = inside if analysis.rules.margin else ""
        sentences.append(f"A thick line clear of 0 is a decided difference{equal}.")
    decided = sum(row.outcome != "undecided" for row in rows)
    sentences.append(f"Decided: {decided or 'none'} of {len(rows)}.")
    if any(row.mean is not None and row.interval is None for row in rows):
        sentences.append("A mark without a line has no interval.")
    return " ".join(sentences)


def _decided(races: tuple[NormRace, ...]) -> str:
    """Where the races were decided, in words; of many, how many and when the first was."""
    ended = [race for race in races if race.decided]
    if len(races) <= MAX_NORMS_IN_WORDS:
        return "; ".join(f"{race.norm} {race.note}" for race in races) + "."
    words = f"{len(ended)} of {len(races)} norms were decided on the way"
    if not ended:
        return f"{words}."
    first = min(ended, key=lambda race: race.decided or 0)
    return f"{words}, the first {first.norm}: {first.note}."


def _how_it_went(races: tuple[NormRace, ...], analysis: Analysis) -> str:
    margin = ", or lies within the shaded margin" if analysis.rules.margin else ""
    sentences = [
        f"The interval narrows with every seed, and decides once it leaves 0{margin}. "
        f"{_decided(races)}"
    ]
    late = [race.norm for race in races if race.outcome != "undecided" and not race.decided]
    if late:
        sentences.append(
            f"Decided without a mark ({', '.join(late)}): by Holm's procedure, which narrows the "
            "intervals of the rest when it has decided one."
        )
    torn = [race.norm for race in races if race.lows[-1] > race.highs[-1]]
    if torn:
        sentences.append(f"It ends where looks contradict each other: {', '.join(torn)}.")
    drawn = {race.norm for race in races}
    absent = [row.norm for row in paired_data(analysis) if row.norm not in drawn]
    if absent:
        sentences.append(f"Without an interval, as trials diverged: {', '.join(absent)}.")
    return " ".join(sentences)


def batch_figures(analysis: Analysis) -> list[ReportFigure]:
    """Test error by batch size, where there are several."""
    lines = batch_data(analysis)
    if not lines:
        return []
    words = "; ".join(map(_errors, lines))
    if len(lines) > MAX_NORMS_IN_WORDS:
        words = _extremes(lines)
    caption = (
        f"Lower is better. Lines join the means over the finished trials (n {_counts(lines)}), "
        f"which are dots.{_rise(lines)}"
    )
    if any(line.diverged for line in lines):
        caption += " There is no mean where a trial diverged."
    drawing = draw_batch(lines, analysis.experiment.norms)
    alt = f"Mean test error in percent by batch size: {words}."
    return [ReportFigure("batch_sizes", BATCH, drawing, alt, caption)]


def _errors(line: NormErrors) -> str:
    """``bn 35.8 at 2, 24.1 at 512``."""
    means = [
        f"{mean:.1f} at {size}" if np.isfinite(mean) else f"none at {size}"
        for size, mean in zip(line.sizes, line.means, strict=True)
    ]
    return f"{line.norm} {', '.join(means)}"


def _extremes(lines: tuple[NormErrors, ...]) -> str:
    """The lowest and the highest mean at every batch size."""
    words = []
    for place, size in enumerate(lines[0].sizes):
        means = sorted((line.means[place], line.norm) for line in lines)
        known = [f"{norm} {mean:.1f}" for mean, norm in means if np.isfinite(mean)]
        words.append(f"at {size} from {known[0]} to {known[-1]}" if known else f"at {size} none")
    return "; ".join(words)


def _counts(lines: tuple[NormErrors, ...]) -> str:
    """How many trials finished of a norm at a batch size: ``9``, or ``2 to 9``."""
    counts = [[size for size, _ in line.seeds].count(one) for line in lines for one in line.sizes]
    least, most = min(counts), max(counts)
    return f"{least}" if least == most else f"{least} to {most}"


def _rise(lines: tuple[NormErrors, ...]) -> str:
    """By how much the error at the smallest batch size exceeds that at the largest."""
    rises = sorted((line.means[0] - line.means[-1], line.norm) for line in lines)
    known = [f"{norm} {number(rise, 1, signed=True)}" for rise, norm in rises if np.isfinite(rise)]
    if not known:
        return ""
    words = ", ".join(known)
    if len(known) > MAX_NORMS_IN_WORDS:
        words = f"from {known[0]} to {known[-1]}"
    large, small = lines[0].sizes[-1], lines[0].sizes[0]
    return f" Change of the mean from batch size {large} to {small}, in points: {words}."


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
    for index, confusion in enumerate(confusion_data(analysis)):
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
        figures.append(ReportFigure(f"confusion_{index}", MISTAKES, drawing, alt, caption))
    return figures
