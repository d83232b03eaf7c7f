"""An `Analysis` -> files that a person reads: one HTML page, two CSV files, Markdown, figures."""

from collections.abc import Collection
from pathlib import Path

from normscope.analysis import Analysis
from normscope.files import disk_errors, written
from normscope.parallel import meanwhile
from normscope.report.csv_files import csv_file, epoch_rows, epochs_head, epochs_lines, trials_table
from normscope.report.figures import FIGURE_FILE, make_figures
from normscope.report.html import FILES, render_page
from normscope.report.markdown import render_markdown
from normscope.report.plots import to_png
from normscope.report.plots.pictures import mistake_figures

__all__ = ["PAGE", "write_report"]

PAGE = "report.html"
ADVICE = "choose another folder for the report"
MANY_ROWS = 20  # thousands of trials, whose rows of results.csv take 2 s


def write_report(analysis: Analysis, pictures: Path, out: Path, how_far: str = "") -> Path:
    """Write the whole report into the folder `out`; return the path of ``report.html``.

    `pictures` holds the test images to be shown as ``INDEX.png``; `how_far` is said first on the
    page. Every file is replaced at once,
    so a reader never meets half of one. Figures of an earlier report that this one lacks are
    removed. Raises `RunError` if `out` cannot be written.
    """
    files: dict[str, list[bytes]] = {}  # in parts
    rows = epoch_rows(analysis)
    with meanwhile(epochs_lines, rows, worth_it=len(rows) >= MANY_ROWS) as lines:
        figures = make_figures(analysis)
        drawn = [*figures, *mistake_figures(analysis, pictures)]
        for figure in drawn:
            files[f"figures/{figure.name}.png"] = [to_png(figure.drawing)]
            files[f"figures/{figure.name}.svg"] = [figure.svg.encode()]
        files["results.csv"] = [epochs_head(), *lines()]
    del rows, lines  # of many trials they take hundreds of megabytes
    files["trials.csv"] = [csv_file(trials_table(analysis))]
    files["summary.md"] = [render_markdown(analysis, drawn).encode()]
    files[PAGE] = [render_page(analysis, figures, pictures, FILES, how_far).encode()]
    with disk_errors(out / "figures", ADVICE):
        (out / "figures").mkdir(parents=True, exist_ok=True)
        _remove_old_figures(out, files.keys())
    for name, parts in files.items():
        with written(out / name, ADVICE) as partial, partial.open("wb") as file:
            file.writelines(parts)
    return out / PAGE


def _remove_old_figures(out: Path, written: Collection[str]) -> None:
    """Remove the figures that are not of this report; files under any other name are the user's."""
    for path in out.glob("figures/*"):
        ours = FIGURE_FILE.fullmatch(path.name) and path.is_file()
        if ours and f"figures/{path.name}" not in written:
            path.unlink()
