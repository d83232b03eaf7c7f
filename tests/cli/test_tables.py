"""`normscope show` and `normscope table`, on a folder that was recorded."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[2] / "docs" / "results" / "cifar10-s8-s8"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(RECORDED, tmp_path / "recorded")


def everything_in(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_show_says_what_was_found_and_writes_nothing(normscope, folder):
    before = everything_in(folder)
    done = normscope("show", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Use BatchNorm: 75.9 % over 10 seeds, ahead of LayerNorm")
    assert "gn is 1.45 points worse than bn" in done.stdout
    assert done.stdout.rstrip().endswith(f"Report: {folder / 'report.html'}")
    assert everything_in(folder) == before
    assert "\nFindings\n" in normscope("show", folder, "--verbose").stdout


def test_show_as_json(normscope, folder):
    values = json.loads(normscope("show", folder, "--json").stdout)
    assert values["recommendation"]["norms"] == ["bn"]


def test_a_table_for_a_paper_for_a_repository_and_for_a_program(normscope, folder):
    latex = normscope("table", folder, "--format", "latex").stdout
    gn = (
        r"GroupNorm (4 groups) & 10 of 10 & $74.4 \pm 0.69$ & $-1.45$ [$-2.82$, $-0.08$] & worse \\"
    )
    assert gn in latex
    markdown = normscope("table", folder).stdout.splitlines()
    assert markdown[0] == "| Norm | n | Test accuracy (%) | Difference to bn (points) | Verdict |"
    assert markdown[4] == "| gn | 10 of 10 | 74.4 ± 0.69 | −1.45 (−2.82 to −0.08, n 10) | worse |"
    assert markdown[6] == "Differences are taken within seeds, with their 95 % interval."
    assert markdown[8] == "### Other metrics"
    assert markdown[10].startswith("Means over the finished trials")
    assert markdown[12].startswith("| Norm | Train accuracy (%) |")
    assert len(markdown) == 12 + 5
    rows = list(csv.DictReader(io.StringIO(normscope("table", folder, "--format", "csv").stdout)))
    assert [row["norm"] for row in rows] == ["bn", "ln", "gn"]
    assert float(rows[2]["test_accuracy_percent_mean"]) == pytest.approx(74.439)


def test_another_format_is_refused(normscope, folder):
    done = normscope("table", folder, "--format", "word")
    assert done.returncode == 2
    assert "choose one of markdown, latex, csv" in done.stderr


def test_a_folder_without_an_experiment_is_refused(normscope, tmp_path):
    done = normscope("show", tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1


def test_a_report_by_other_rules_lies_beside_the_promised_one(normscope, folder):
    before = everything_in(folder)
    done = normscope("report", folder, "--baseline", "GroupNorm", "--alpha", "0.1")
    assert done.returncode == 0, done.stderr
    page = folder / "reports/baseline-gn-alpha-0.1/report.html"
    assert f"Report: {page}" in done.stdout
    assert "Exploratory: baseline gn and alpha 10 % were chosen after seeing the results" in (
        " ".join(done.stdout.split())
    )
    after = everything_in(folder)
    assert {path: after[path] for path in before} == before
    assert all("reports" in path.parts for path in after.keys() - before.keys())
    for name in ("report.html", "summary.md"):
        assert "Exploratory: baseline gn" in page.with_name(name).read_text(encoding="utf-8")
    shown = normscope("show", folder, "--baseline", "gn", "--alpha", "0.1").stdout
    assert str(page) in shown
    assert normscope("doctor", folder).returncode == 0


def test_the_promised_report_is_not_replaced_by_one_of_other_rules(normscope, folder):
    done = normscope("report", folder, "--margin", "2", "--out", folder)
    assert done.returncode == 2
    assert "name another folder" in done.stderr


def test_rules_as_they_were_asked_for_are_no_other_rules(normscope, folder):
    options = ("--baseline", "bn", "--alpha", "0.05", "--margin", "0.5")
    assert normscope("show", folder, *options).stdout == normscope("show", folder).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--baseline", "in"), "has no norm 'in'; it has bn, gn, ln"),
        (("--baseline", "xn"), "it has bn, gn, ln"),
        (("--alpha", "0.7"), "alpha"),
        (("--margin", "-1"), "margin"),
    ],
)
def test_rules_that_cannot_be_are_refused(normscope, folder, options, words):
    done = normscope("show", folder, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_tables_by_other_rules_say_so(normscope, folder):
    rows = normscope("table", folder, "--format", "csv", "--alpha", "0.01").stdout.splitlines()
    assert rows[0].endswith(",verdict,rules")
    assert all(row.endswith(",chosen after seeing the results") for row in rows[1:])
    assert "Exploratory: alpha 1 %" in normscope("table", folder, "--alpha", "0.01").stdout
