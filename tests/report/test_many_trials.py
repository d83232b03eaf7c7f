"""The report of more trials than a page can show: what it shows is told, and the CSV has all."""

import csv
import io
import math
from dataclasses import asdict

import pandas as pd
import pytest
from report_fakes import failed, make_analysis

from normscope.report import csv_files, html
from normscope.report.csv_files import epoch_rows, epochs_head, epochs_lines
from normscope.report.html import render_page
from normscope.report.plots import figure
from normscope.report.plots.batch_sizes import batch_figures
from normscope.report.plots.dots import final_accuracy_figures
from normscope.report.plots.paired import paired_figures


def without_seed_1(results):
    return [failed(r, "Traceback\nValueError: no") if r.trial.seed == 1 else r for r in results]


@pytest.fixture(scope="module")
def analysis():
    return make_analysis(seeds=7, epochs=3, test_size=20, change=without_seed_1)


@pytest.fixture(scope="module")
def two_sizes():
    sizes = {"batch_sizes": (32, 512)}
    return make_analysis(seeds=7, epochs=3, test_size=20, change=without_seed_1, **sizes)


def test_the_page_lists_some_of_many_trials_and_says_so(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "MOST_LISTED", 5)
    monkeypatch.setattr(html, "MOST_ERRORS", 2)
    page = render_page(analysis, [], tmp_path)
    assert "Listed: 5 of 21 trials, chosen evenly. All are in trials.csv." in page
    assert "Errors told: those of 2 of 3 trials, chosen evenly." in page
    assert page.count("ValueError: no</summary>") == 2
    shown = [result.trial.id in page for result in analysis.all_results]
    assert shown[0]
    assert shown[-1]
    assert sum(shown) < 8


def test_the_page_lists_all_of_few_trials(analysis, tmp_path):
    page = render_page(analysis, [], tmp_path)
    assert "chosen evenly" not in page
    assert all(result.trial.id in page for result in analysis.all_results)


@pytest.mark.parametrize(
    ("figures", "each", "drawn"),
    [
        (final_accuracy_figures, "norm", [4, 4, 4]),
        (paired_figures, "norm", [4, 4]),
        (batch_figures, "norm and batch size", [8, 8, 8]),
    ],
)
def test_dots_of_many_seeds_are_some_of_them_and_the_caption_says_so(
    analysis, two_sizes, monkeypatch, figures, each, drawn
):
    analysis = two_sizes if figures is batch_figures else analysis
    assert "Drawn" not in figures(analysis)[0].caption
    monkeypatch.setattr(figure, "MOST_DOTS", 4)
    (made,) = figures(analysis)
    assert f"Drawn for each {each}: 4 of 6 seeds, chosen evenly; the mean is that of all." in (
        made.caption
    )
    lines = [line for line in made.drawing.axes[0].lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in lines] == drawn


def test_the_file_of_epochs_is_what_pandas_writes(analysis, monkeypatch):
    keys = ("trial", "dataset", "model", "norm", "batch_size", "seed")
    rows = [
        {**dict(zip(keys, (r.trial.id, r.trial.dataset, r.trial.model, r.trial.norm,
                           r.trial.recipe.batch_size, r.trial.seed), strict=True)),
         **asdict(record)}
        for r in analysis.all_results for record in r.history
    ]  # fmt: skip
    monkeypatch.setattr(csv_files, "TRIALS_AT_ONCE", 5)
    parts = epoch_rows(analysis)
    assert len(parts) == math.ceil(len(analysis.all_results) / 5) > 1
    written = b"".join((epochs_head(), *map(epochs_lines, parts)))
    assert written == pd.DataFrame(rows).to_csv(index=False).encode()
    assert len([*csv.reader(io.StringIO(written.decode()))]) == len(rows) + 1
