"""The command `normscope judge`: what it prints, writes and refuses; names from anybody's files."""

import csv
import json
import re
from pathlib import Path

import pytest
from command_line import one_line

RESULTS = Path(__file__).parents[2] / "docs" / "results"
HEAD = ("norm", "seed", "test_acc")
GOOD = [("bn", 0, 75.8), ("bn", 1, 75.9), ("bn", 2, 76.3),
        ("gn", 0, 73.9), ("gn", 1, 74.3), ("gn", 2, 74.1),
        ("ln", 0, 75.2), ("ln", 1, 76.4), ("ln", 2, 74.0)]  # fmt: skip


def saved(path, rows=GOOD, head=HEAD):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture
def unwritten(monkeypatch):
    """For tests of what is said: no report is drawn."""
    monkeypatch.setattr(
        "normscope.study.judge.write_judged", lambda j, out, *_: out / "report.html"
    )


def test_results_are_judged_told_and_written(normscope, tmp_path):
    saved(tmp_path / "mine.csv")
    done = normscope("judge", "mine.csv")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = " ".join(done.stdout.split())
    assert "gn and ln against bn. 9 runs from mine.csv: test accuracy by norm." in words
    assert "gn is 1.90 points worse than bn (95 % interval −2.97 to −0.83; 3 seeds)." in words
    assert "ln against bn is undecided: −0.80 points" in words
    assert (
        "mine.csv: accuracy is the column test_acc, and what is compared the column norm." in words
    )
    assert re.search(r"gn +3 +74.10 ± 0.20 +−1.90 \[−2.97, −0.83\] +0.016 +worse", done.stdout)
    assert done.stdout.endswith("Report: runs/judged-mine/report.html\n")
    folder = tmp_path / "runs" / "judged-mine"
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "summary.md", "verdicts.csv", "runs.csv", "figures"
    }  # fmt: skip
    assert {path.name for path in folder.glob("figures/*.svg")} == {
        "differences.svg", "paired.svg", "final_accuracy.svg"
    }  # fmt: skip
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "gn is 1.90 points worse than bn (95\u00a0% interval −2.97 to −0.83; 3 seeds)." in page
    assert page.count("<svg role=") == 2 * 3  # for a wide and for a narrow screen
    assert "normscope judge mine.csv" in page
    with (folder / "verdicts.csv").open(encoding="utf-8") as file:
        rows = {row["level"]: row for row in csv.DictReader(file)}
    assert float(rows["gn"]["difference_points_mean"]) == pytest.approx(-1.9)
    assert [row["verdict"] for row in rows.values()] == ["baseline", "worse", "undecided"]
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    assert "| gn | 3 | 74.10 (sd 0.20) | −1.90 (−2.97 to −0.83, n 3) | 0.016 | worse |" in summary


def test_json_has_the_same_numbers(normscope, tmp_path, unwritten):
    saved(tmp_path / "mine.csv")
    found = json.loads(normscope("judge", "mine.csv", "--json", "--out", "here").stdout)
    assert found["report"] == "here/report.html"
    assert (found["factor"], found["baseline"], found["runs"]) == ("norm", "bn", 9)
    (only,) = found["settings"]
    gn, ln = only["verdicts"]
    assert (gn["norm"], gn["outcome"]) == ("gn", "worse")
    assert gn["difference_points_mean"] == pytest.approx(-1.9)
    assert found["answers"][0].startswith("gn is 1.90 points worse than bn")
    assert ln["seeds_that_would_probably_decide"] is None  # of three nothing is foreseen
    assert (
        "How many more seeds would decide is foreseen from 6 seeds on."
        in (found["design"]["method"])
    )
    assert found["design"]["sequential"] is False


def test_own_results_as_report_prints_them(normscope, tmp_path, unwritten, undrawn):
    folder = RESULTS / "cifar10-s8-s8"
    report = json.loads(normscope("report", folder, "--json", "--out", tmp_path).stdout)
    judged = normscope("judge", folder / "trials.csv", "--looked", "--rules", 1, "--json").stdout
    found = json.loads(judged)  # in the order of the file, where a report has that of accuracy
    verdicts = sorted(found["settings"][0]["verdicts"], key=lambda verdict: verdict["norm"])
    assert verdicts == sorted(report["verdicts"], key=lambda verdict: verdict["norm"])
    assert sorted(found["answers"]) == sorted(report["answers"])


def test_equivalence_has_an_interval_of_its_own_beside_tables_of_others(normscope, tmp_path):
    saved(tmp_path / "r.csv", [*GOOD[:3], *(("gn", s, a + 0.01 * s) for _, s, a in GOOD[:3])])
    note = "Equivalence is judged by a 90 % interval of its own."
    done = normscope("judge", "r.csv", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert f"\n\n{note}\n\nAnswer\n" in done.stdout
    assert "all of it within ±0.5; 3 seeds" in " ".join(done.stdout.split())
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    summary = (tmp_path / "out/summary.md").read_text(encoding="utf-8")
    for text in (page, summary):
        assert text.replace("\u00a0", " ").count(f"their 95 % interval. {note} The p values") == 1
    saved(tmp_path / "r.csv")
    assert note not in normscope("judge", "r.csv", "--out", "out").stdout


def test_several_settings_have_a_table_each_and_one_over_all(normscope, tmp_path):
    moved = [(n, s, model, a + d) for model, d in (("a", 0), ("b", 1)) for n, s, a in GOOD]
    saved(tmp_path / "r.csv", moved, ("norm", "seed", "model", "acc"))
    done = normscope("judge", "r.csv", "--out", "both")
    assert done.returncode == 0, done.stderr
    assert re.search(r"gn against bn, points +\nsetting", done.stdout)
    assert "gn is worse than bn in all 2 settings; over all" in " ".join(done.stdout.split())
    names = {path.stem for path in (tmp_path / "both/figures").glob("*.svg")}
    assert names == {"suite", *(f"{n}_{i}" for n in ("differences", "paired", "final_accuracy")
                                for i in (1, 2))}  # fmt: skip
    page = (tmp_path / "both/report.html").read_text(encoding="utf-8")
    assert "<h3>Over all settings</h3>" in page
    saved(tmp_path / "r.csv")
    assert normscope("judge", "r.csv", "--out", "both").returncode == 0
    names = {path.stem for path in (tmp_path / "both/figures").glob("*.svg")}
    assert names == {"differences", "paired", "final_accuracy"}


def test_many_settings_are_told_together_and_one_by_one_in_the_report(normscope, tmp_path):
    rows = [(n, s, f"net{m}", a + m / 10) for m in range(7) for n, s, a in GOOD]
    saved(tmp_path / "r.csv", rows, ("norm", "seed", "model", "acc"))
    done = normscope("judge", "r.csv", "--out", "out")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "What is said in each of 7 settings, and their tables, are in the report." in words
    assert "worse than bn in net3" not in done.stdout
    assert "gn is worse than bn in all 7 settings" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<summary>In each of 7 settings</summary>" in page
    assert page.count("gn is 1.90 points worse than bn in net") == 7
    assert "Figures are drawn of the first 6 of 7 tables" in page
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert summary.count("gn is 1.90 points worse than bn in net") == 7


def test_one_run_each_ends_well_and_says_so(normscope, tmp_path):
    saved(tmp_path / "r.csv", [("bn", 75.77), ("gn", 74.18)], ("norm", "accuracy"))
    done = normscope("judge", "r.csv")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "gn against bn: −1.59 points in one run each: no conclusion." in words
    assert "One run each: no conclusion. The same network" in words
    assert "design" not in words
    drawn = {path.stem for path in (tmp_path / "runs/judged-r/figures").iterdir()}
    assert drawn == {"differences"}  # whose marks join no runs by seed


def test_a_run_that_failed_leaves_no_p_value(normscope, tmp_path, unwritten):
    rows = [*((*row, "ok") for row in GOOD), ("gn", 3, "", "crashed"), ("bn", 3, 75, "ok")]
    saved(tmp_path / "r.csv", rows, (*HEAD, "state"))
    shown = normscope("judge", "r.csv").stdout
    assert re.search(r"gn +3/4 +74.10 ± 0.20 +−1.90 +– +undecided", shown)
    assert "1 run of gn did not finish." in " ".join(shown.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["r.csv", "--factor", "lr"], "r.csv has no column 'lr'; its columns are norm, seed"),
        (["r.csv", "--baseline", "rms"], "the baseline 'rms' is not among bn, gn, ln"),
        (["r.csv", "--margin", "-1"], "--margin -1.0: should be greater than or equal to 0"),
        (["r.csv", "--alpha", "0.7"], "--alpha 0.7: should be less than 0.5"),
        (["r.csv", "--folds", "1"], "--folds 1: a cross-validation has 2 folds or more"),
        (["r.csv", "--folds", "3", "--looked"], "folds are not; leave --looked out"),
        (["absent.csv"], "cannot read absent.csv (No such file or directory)"),
        (["r.csv", "r.csv"], "r.csv, row 2 and r.csv, row 2 are both bn, seed 0"),
        (["."], "holds no JSON lines (*.jsonl)"),
        (["r.csv", "--chance", "200"], "--chance"),
    ],
)
def test_what_is_refused_is_told_in_one_line(normscope, tmp_path, words, message):
    saved(tmp_path / "r.csv")
    told = one_line(normscope("judge", *words), 2)
    assert message in told
    assert told.count("\n") == 1


HOSTILE = ("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "\x1b[31mred\x1b[0m",
           "a|b `c` [x](javascript:alert(1))")  # fmt: skip


@pytest.mark.parametrize("columns", [80, 40])
def test_hostile_names_are_text_everywhere(normscope, tmp_path, columns, environment):
    environment["COLUMNS"] = str(columns)
    rows = [(name, s, 70 + s + i / 3 + s * i / 7, HOSTILE[i % 4], "<img src=x onerror=alert(1)>")
            for i, name in enumerate(("bn", *HOSTILE)) for s in (0, 1)]  # fmt: skip
    rows = [(n, s, a, "=1+1", d) for n, s, a, _, d in rows]
    head = ("norm", "seed", "acc", "\x1b[2Jmodel", "dataset")
    saved(tmp_path / "r\x1b[31m.csv", rows, head)
    done = normscope("judge", "r\x1b[31m.csv", "--out", "out", "--setting", "\x1b[2Jmodel")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "<script>alert(1)</script> against bn" in " ".join(done.stdout.split())
    for path in (tmp_path / "out").rglob("*.*"):
        if path.suffix in (".html", ".md", ".csv", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert "\x1b" not in text, path
            if path.suffix != ".csv":
                assert text.count("<script") == (path.suffix == ".html"), path
                assert "<img src=x" not in text, path
    with (tmp_path / "out" / "runs.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=cmd|' /C calc'!A0" in cells
    assert "'=1+1" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert "[x](javascript" not in summary


def test_hostile_settings_are_text_in_every_table(normscope, tmp_path):
    names = ("bn", *HOSTILE)
    rows = [(name, s, model, 70 + s + s * i / 7 + s * len(model) / 10)
            for i, name in enumerate(names) for s in (0, 1) for model in HOSTILE]  # fmt: skip
    saved(tmp_path / "r.csv", rows, ("norm", "seed", "model", "acc"))
    done = normscope("judge", "r.csv", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\\x1b[31mred" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "\x1b" not in page


def test_a_header_that_is_a_formula_is_text_in_our_files(normscope, tmp_path):
    rows = [(n, s, a) for n, s, a in GOOD]
    saved(tmp_path / "r.csv", rows, ("=1+1", "seed", "acc"))
    done = normscope("judge", "r.csv", "--factor", "=1+1", "--out", "out")
    assert done.returncode == 0, done.stderr
    for name in ("runs.csv", "verdicts.csv"):
        head = (tmp_path / "out" / name).read_text(encoding="utf-8").splitlines()[0]
        assert not any(cell.startswith("=") for cell in head.split(","))


def test_the_help_says_what_a_row_is(normscope):
    shown = " ".join(normscope("judge", "--help").stdout.replace("│", " ").split())
    assert "A row is a run" in shown
    assert "shapes, cifar10, cifar100" in shown
