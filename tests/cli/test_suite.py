"""The command `normscope suite`: what it foresees, runs, prints and refuses."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import SMALL, one_line
from suite_fakes import NORMS, make_four

from normscope.analysis.across import across_settings, method_across
from normscope.cli.suite_table import show_suite

TWO = ["--models", "s8-gap,s8", *SMALL, "--seeds", "2", "--out", "all"]


def test_a_suite_is_foreseen_run_and_told(normscope, tmp_path, undrawn):
    foreseen = normscope("suite", *TWO, "--dry-run")
    assert foreseen.returncode == 0, foreseen.stderr
    assert foreseen.stdout.count("4 of 4 trials to run in all/shapes-s8") == 2
    assert not (tmp_path / "all").exists()
    ran = normscope("suite", *TWO)
    assert ran.returncode == 0, ran.stderr
    assert "Setting: shapes-s8-gap." in ran.stdout
    assert "gn against bn in 2 settings." in ran.stdout
    told = ran.stdout[ran.stdout.index("gn against bn in 2") :]
    assert max(map(len, told.splitlines())) <= 80
    assert "Suite: all/suite.md\nReport: all/shapes-s8-gap/report.html\n" in told
    assert (tmp_path / "all/suite.png").exists()
    again = normscope("suite", *TWO, "--json")
    assert again.returncode == 0, again.stderr
    assert "0 trials to run, 4 stored" in again.stderr
    found = json.loads(again.stdout)
    assert found["settings"] == ["shapes-s8-gap", "shapes-s8"]
    assert found["reports"]["shapes-s8"] == "all/shapes-s8/report.html"
    (gn,) = found["norms"]
    assert (gn["norm"], gn["baseline"], gn["margin_points"]) == ("gn", "bn", 0.5)
    assert " ".join(told.split()).count(gn["answer"]) == 1
    assert [each["setting"] for each in gn["settings"]] == found["settings"]
    assert gn["another_setting_low"] is None
    if gn["low"] is not None:
        assert gn["low"] < gn["difference_points_mean"] < gn["high"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--until-decided", "--norms", "bn,gn"], "a suite takes a fixed number of seeds"),
        (["--models", "s8,s8"], "two settings are called shapes-s8"),
        (["--datasets", "shapes,foo"], "unknown data set 'foo'"),
        (["--config", "x.toml", "--models", "s8"], "leave out --datasets and --models"),
        (["--config", "x.toml"], "cannot read the suite file x.toml"),
        (["--seeds", "0"], "--seeds 0: should be greater than or equal to 1"),
    ],
)
def test_what_is_refused_is_told_in_one_line(normscope, words, message):
    assert message in one_line(normscope("suite", *words), 2)


def test_what_equivalence_rests_on_is_told_below_the_tables(capsys):
    four = make_four()
    across = across_settings(four, NORMS)
    show_suite(SimpleNamespace(across=across, path="p", comparisons={}, method="m"))
    note = "Equivalence is judged by a 90 % interval of its own."
    assert f"\n\n{note}\n\nAnswer\n" in capsys.readouterr().out
    show_suite(SimpleNamespace(across=across[:1], path="p", comparisons={}, method="m"))
    assert note not in capsys.readouterr().out


def test_the_help_names_the_tables(normscope):
    shown = " ".join(normscope("suite", "--help").stdout.replace("│", " ").split())
    assert "shapes, cifar10, cifar100" in shown
    assert "--until-decided" not in shown


@pytest.mark.parametrize("columns", [80, 40])
def test_no_number_is_cut_off(columns, capsys, monkeypatch):
    across = across_settings(make_four(), NORMS)
    found = SimpleNamespace(
        across=across, method=method_across(across), path=Path("suite.md"), comparisons={}
    )
    monkeypatch.setenv("COLUMNS", str(columns))
    show_suite(found)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    for each in across:
        for setting in each.found:
            difference = setting.verdict.difference
            for number in (difference.mean, difference.low, difference.high):
                assert f"{number + 0.0:+.2f}".replace("-0.00", "+0.00").replace("-", "−") in shown
