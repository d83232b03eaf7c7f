"""Runs that were judged -> files: page, Markdown, two CSV files, the figures without curves."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from normscope.analysis.judged import Judged, Level, Panel
from normscope.analysis.sentences import Answer
from normscope.analysis.verdicts import Judgement
from normscope.experiment import GUESSING
from normscope.files import disk_errors, written
from normscope.report.csv_files import csv_file
from normscope.report.html import MOST_LISTED, TEMPLATES, Inline
from normscope.report.markdown import bullets, code, escape, markdown_table
from normscope.report.plots import norm_styles, to_png
from normscope.report.plots.across import across_figure
from normscope.report.plots.dots import Row, final_accuracy_figure, note_of
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.forest import forest_figure, forest_row
from normscope.report.plots.paired import paired_figure, paired_row
from normscope.report.result_table import Cell, difference, intervals_note, mean_sd
from normscope.report.suite import suite_caption, suite_table
from normscope.report.tables import Table
from normscope.words import NONE, counted, evenly, p_value

PAGE, SUMMARY = "report.html", "summary.md"
ADVICE = "choose another folder with --out"
MOST_DRAWN = 6  # settings and batch sizes that get figures of their own
FIGURE_FILE = re.compile(r"((differences|paired|final_accuracy)(_\d+)?|suite)\.(png|svg)")


@dataclass(frozen=True)
class Drawn:
    """The figures of one panel, under its heading; "" for the only one."""

    heading: str
    figures: tuple[ReportFigure, ...]


def write_judged(judged: Judged, out: Path, command: str, files: Sequence[str]) -> Path:
    """Write the whole report into the folder `out`; return the path of its page.

    `files` are those that were read. Every file is replaced at once, and figures of an earlier
    report that this one lacks are removed. Raises `RunError` if `out` cannot be written.
    """
    drawn = figures_of(judged)
    contents: dict[str, bytes] = {}
    for figure in (figure for part in drawn for figure in part.figures):
        contents[f"figures/{figure.name}.png"] = to_png(figure.drawing)
        contents[f"figures/{figure.name}.svg"] = figure.svg.encode()
    contents["verdicts.csv"] = csv_file(verdicts_frame(judged))
    contents["runs.csv"] = csv_file(runs_frame(judged))
    contents[SUMMARY] = render_judged_markdown(judged, drawn, command, files).encode()
    contents[PAGE] = render_judged_page(judged, drawn, command, files).encode()
    with disk_errors(out / "figures", ADVICE):
        (out / "figures").mkdir(parents=True, exist_ok=True)
        _remove_old_figures(out, contents.keys())
    for name, content in contents.items():
        with written(out / name, ADVICE) as partial:
            partial.write_bytes(content)
    return out / PAGE


def _remove_old_figures(out: Path, contents: Collection[str]) -> None:
    for path in out.glob("figures/*"):
        ours = FIGURE_FILE.fullmatch(path.name) and path.is_file()
        if ours and f"figures/{path.name}" not in contents:
            path.unlink()


# -- words and tables ------------------------------------------------------------------------------


def title_of(judged: Judged) -> str:
    """``gn and ln against bn``; of many, how many they are."""
    others = judged.levels[1:]
    named = others[0] if len(others) == 1 else f"{', '.join(others[:-1])} and {others[-1]}"
    if len(others) > 6:
        named = f"{len(others)} others"
    settings = counted(len(judged.settings), "setting")
    return f"{named} against {judged.baseline}" + (
        f" in {settings}" if len(judged.settings) > 1 else ""
    )


def about(judged: Judged, files: Sequence[str]) -> str:
    """Where the runs come from, what they are of, and that somebody else trained them."""
    named = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    single = {column: value for column, value in judged.runs[0].setting if value}
    sizes = {run.batch_size for run in judged.runs}
    if len(judged.settings) > 1:
        single = {}
    words = [f"{column} {value}" for column, value in single.items()]
    words += [f"batch size {size:,}" for size in sizes if size] if len(sizes) == 1 else []
    of = f" ({', '.join(words)})" if words else ""
    runs = counted(len(judged.runs), "run")
    return (
        f"{runs} from {named}{of}: test accuracy by {judged.factor}. normscope read their results "
        "and did not see their training."
    )


def panel_tables(judged: Judged) -> list[Table]:
    """A table for each panel, the caption above the first."""
    first, *others = (_panel_table(panel, judged) for panel in judged.panels)
    return [first, *(replace(table, caption="") for table in others)]


def _panel_table(panel: Panel, judged: Judged) -> Table:
    """A row per level: accuracy, difference to the baseline, p, verdict."""
    rows = [
        [
            Cell(level.name),
            Cell(count(level), level.guessing.counts),
            mean_sd(level.accuracy, 2),
            difference(level.verdict),
            Cell(p_of(level)),
            Cell(level.verdict.outcome if level.verdict else "baseline"),
        ]
        for level in panel.levels
    ]
    return Table(
        panel.heading,
        "Means over the n runs of each that finished, with the standard deviation (sd) over seeds. "
        f"{intervals_note(judged.verdicts, judged.rules)} The p values are corrected by Holm.",
        [judged.factor.replace("_", " ").capitalize(), "n", "Test accuracy (%)",
         f"Difference to {judged.baseline} (points)", "p (Holm)", "Verdict"],
        rows,
        [level.name for level in panel.levels],
    )  # fmt: skip


def count(level: Level) -> str:
    """``3``, or ``2/3`` where a run did not finish."""
    finished, runs = len(level.percent), len(level.statuses)
    return f"{finished}" if finished == runs else f"{finished}/{runs}"


def p_of(level: Level) -> str:
    """The p value by Holm; "" for the baseline, and a dash where nothing was tested."""
    return "" if level.verdict is None else p_tested(level.verdict.judgement)


def p_tested(judgement: Judgement) -> str:
    """The p value by Holm; a dash where nothing was tested."""
    tested = judgement.difference.n > 1 and judgement.spread
    unfinished = not judgement.pairs.complete and judgement.p_value == 1
    return p_value(judgement.p_value) if tested and not unfinished else NONE


def across_table(judged: Judged) -> Table | None:
    """What each setting says of each level, and all of them together; None with one setting."""
    if not judged.across:
        return None
    headings, *rows = suite_table(judged.across)
    return Table(
        "Over all settings",
        suite_caption(judged.across),
        headings,
        [[Cell(cell) for cell in row] for row in rows],
        [None] * len(rows),
    )


# -- figures ---------------------------------------------------------------------------------------


def figures_of(judged: Judged) -> list[Drawn]:
    """That over all settings, then those of the first panels; a figure only of what there is."""
    drawn = []
    if judged.across:
        drawn.append(Drawn("Over all settings", (across_figure(judged.across),)))
    panels = judged.panels[:MOST_DRAWN]
    for number, panel in enumerate(panels):
        ending = f"_{number + 1}" if len(judged.panels) > 1 else ""
        drawn.append(Drawn(panel.heading, tuple(_panel_figures(panel, judged, ending))))
    return drawn


def _panel_figures(panel: Panel, judged: Judged, ending: str) -> list[ReportFigure]:
    norms, rules = judged.levels, judged.rules
    figures = []
    compared = [(v.norm, v) for v in panel.verdicts if v.difference.n]
    forest = [forest_row(norm, verdict) for norm, verdict in compared]
    if any(row.mean is not None for row in forest):
        figures.append(forest_figure(forest, norms, judged.baseline, rules, f"differences{ending}"))
    if all(verdict.difference.n < 2 for verdict in panel.verdicts):
        return figures  # the others join runs by seed
    baseline = _guessing(panel.levels[0])
    paired = [
        paired_row(level.name, level.verdict, _guessing(level) | baseline)
        for level in panel.levels
        if level.verdict and level.verdict.difference.n
    ]
    if paired:
        figures.append(paired_figure(paired, norms, judged.baseline, rules, f"paired{ending}"))
    dots = [
        Row(level.name, {**level.percent}, level.accuracy.mean,
            note_of(level.accuracy, len(level.percent)))
        for level in panel.levels
    ]  # fmt: skip
    if any(level.percent for level in panel.levels):
        figures.append(
            final_accuracy_figure(dots, norms, "Test accuracy", f"final_accuracy{ending}")
        )
    return figures


def _guessing(level: Level) -> set[int]:
    return {seed for seed, status in level.statuses.items() if status in GUESSING}


# -- files -----------------------------------------------------------------------------------------


def verdicts_frame(judged: Judged) -> pd.DataFrame:
    """A row per level and panel: its accuracy, and its verdict with all numbers."""
    rows = []
    for panel in judged.panels:
        for level in panel.levels:
            found = level.verdict
            together = found.judgement.simultaneous if found else None
            rows.append(
                {
                    "setting": panel.setting,
                    "batch_size": panel.batch_size or None,
                    "level": level.name,
                    "baseline": judged.baseline,
                    "runs": len(level.statuses),
                    "finished": len(level.percent),
                    "diverged": level.guessing.diverged,
                    "collapsed": level.guessing.collapsed,
                    "test_accuracy_percent_mean": level.accuracy.mean,
                    "test_accuracy_percent_sd": level.accuracy.sd,
                    "difference_points_n": found and found.difference.n,
                    "difference_points_mean": found and found.difference.mean,
                    "difference_points_sd": found and found.difference.sd,
                    "difference_points_low": found and found.difference.low,
                    "difference_points_high": found and found.difference.high,
                    "simultaneous_low": together and together[0],
                    "simultaneous_high": together and together[1],
                    "p_holm": found and found.judgement.p_value,
                    "family": found and found.judgement.family,
                    "verdict": found.outcome if found else "baseline",
                }
            )
    whole = ["batch_size", "difference_points_n", "family"]
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def runs_frame(judged: Judged) -> pd.DataFrame:
    """A row per run, as it was read."""
    columns = list(dict.fromkeys(name for run in judged.runs for name, _ in run.setting))
    rows = [
        {
            **{column: dict(run.setting).get(column, "") for column in columns},
            "batch_size": run.batch_size or None,
            "level": run.level,
            "seed": run.seed,
            "status": run.status,
            "test_accuracy_percent": run.accuracy_percent,
            "epoch": run.epoch,
            "where": run.where,
        }
        for run in judged.runs
    ]
    return pd.DataFrame(rows).astype({"batch_size": "Int64"})


def render_judged_markdown(
    judged: Judged, drawn: Sequence[Drawn], command: str, files: Sequence[str]
) -> str:
    """What the page says, in short."""
    parts = [
        f"# {escape(title_of(judged))}",
        escape(about(judged, files)),
        "## Answer",
        bullets(answers_of(judged)),
        "### In each setting" if has_many(judged) else "",
        bullets(answers_below(judged)),
        "### Caveats" if judged.caveats else "",
        bullets(judged.caveats),
        "### Results",
    ]
    over_all = across_table(judged)
    tables = [*([over_all] if over_all else []), *panel_tables(judged)]
    for table in tables:
        cells = [[str(cell) for cell in row] for row in table.rows]
        parts += [f"#### {escape(table.title)}" if table.title else "", escape(table.caption)]
        parts.append(markdown_table([table.headings, *cells]))
    parts.append(escape(judged.method))
    parts.append("## Figures")
    for part in drawn:
        parts += [f"### {escape(part.heading)}" if part.heading else ""]
        parts += [f"![{escape(f.alt)}](figures/{f.name}.png)" for f in part.figures]
    parts += ["## How the files were read", bullets(judged.notes), "## Repeat it", code(command)]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_judged_page(
    judged: Judged, drawn: Sequence[Drawn], command: str, files: Sequence[str]
) -> str:
    """The whole page as a string; all text from files is escaped by the template engine."""
    styles = norm_styles(judged.levels)
    over_all = across_table(judged)
    return TEMPLATES.get_template("judged.html.j2").render(
        judged=judged,
        title=title_of(judged),
        lead=about(judged, files),
        answers=answers_of(judged),
        below=answers_below(judged),
        sections={"answer": "Answer", "evidence": "Evidence", "provenance": "Provenance"},
        colors={
            level: (f"norm-{place}", styles[level].color)
            for place, level in enumerate(judged.levels)
        },
        over_all=over_all,
        tables=panel_tables(judged),
        drawn=[(part.heading, list(map(Inline.of, part.figures))) for part in drawn],
        undrawn=max(0, len(judged.panels) - MOST_DRAWN),
        listed=evenly(judged.runs, MOST_LISTED),
        setting_columns=list(dict.fromkeys(n for run in judged.runs for n, _ in run.setting)),
        command=command,
    )


def answers_of(judged: Judged) -> list[Answer]:
    """What is said of each level: over all settings first, then one for each verdict.

    Of many settings only what is said over all; then `answers_below` has the others.
    """
    over_all = [
        Answer(each.norm, f"{each.sentence} {each.of_another}".rstrip(), each.outcome)
        for each in judged.across
    ]
    return over_all if has_many(judged) else [*over_all, *judged.answers]


def answers_below(judged: Judged) -> list[Answer]:
    """What is said in each of many settings; nothing if `answers_of` has it."""
    return list(judged.answers) if has_many(judged) else []


def has_many(judged: Judged) -> bool:
    """Whether there are so many settings that what is said of each would bury the rest."""
    return bool(judged.across) and len(judged.panels) > MOST_DRAWN
