"""The options and the command that look inside networks."""

import json

import pytest

SMALL = ["--norms", "bn,ln", "--seeds", "1", "--epochs", "1", "--train-limit", "64",
         "--test-limit", "40", "--set", "batch_size=16", "--workers", "1"]  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_probes_of_a_run_and_of_what_it_left(normscope, tmp_path):
    ran = normscope("compare", *SMALL, "--probes", "dead,eval-gap", "--probe-epochs", "1,0.5",
                    "--out", "run")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert " % of the time of the training" in ran.stdout
    assert len(list((tmp_path / "run").glob("trials/*/probes.npz"))) == 2
    again = normscope("probe", "run", "--probes", "variance")
    assert again.returncode == 0, again.stderr
    assert "Looked into 2 networks." in again.stdout


@pytest.mark.usefixtures("undrawn")
def test_without_probes_nothing_is_said_of_them(normscope, tmp_path):
    ran = normscope("compare", *SMALL, "--out", "run")
    assert ran.returncode == 0, ran.stderr
    assert "robes" not in ran.stdout
    assert not list((tmp_path / "run").glob("trials/*/probes.npz"))


def test_the_name_of_a_folder_does_not_act_on_the_terminal(normscope):
    pytest.importorskip("captum")
    folder = "run\x1b[31m\x07"
    for command in (
        ["compare", *SMALL, "--out", folder],
        ["report", folder],
        ["retry", folder],
        ["probe", folder, "--probes", "dead"],
        ["explain", folder],
        ["cost", folder],
        ["doctor", folder],
    ):
        ran = normscope(*command)
        told = ran.stdout + ran.stderr
        assert ran.returncode == 0, ran.stderr
        assert r"run\x1b[31m\x07" in told, command
        assert told.replace("\n", "").isprintable(), command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--probes", "colour"], "unknown probe 'colour'"),
        (["--probes", "none,dead"], "none is not beside other probes"),
        (["--probe-epochs", "-1"], "write epochs from 0 on"),
        (["--probe-epochs", "soon"], "write epochs from 0 on"),
    ],
)
def test_what_cannot_be_probed_is_told_in_a_line(normscope, arguments, message):
    ran = normscope("compare", *SMALL, *arguments)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_probe_that_failed_is_told_in_the_end(normscope, monkeypatch):
    def raising(moment):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("normscope.probes.static.dead", raising)
    ran = normscope("compare", *SMALL, "--probes", "dead", "--out", "run")
    assert ran.returncode == 0
    assert "2 probes failed, first dead of bn-seed0" in ran.stdout
    assert "no such luck" in ran.stdout
    again = normscope("probe", "run", "--probes", "dead")
    assert again.returncode == 3
    assert "no such luck" in again.stderr


def test_the_help_names_the_probes(process):
    for command in ("compare", "probe"):
        words = " ".join(process(command, "--help").stdout.split())
        assert "redundancy, floor, variance" in words.replace("│ │ ", "")


@pytest.mark.usefixtures("undrawn")
def test_json_is_nothing_but_json(normscope):
    ran = normscope("compare", *SMALL, "--probes", "dead", "--json", "--out", "run")
    assert json.loads(ran.stdout)
    assert "Probes took" in ran.stderr


# -- investigations --------------------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_an_investigation_is_planned_run_and_told(normscope, tmp_path):
    small = ["bump", *SMALL, "--out", "run"]
    foreseen = normscope("investigate", *small, "--dry-run")
    assert foreseen.returncode == 0, foreseen.stderr
    assert "2 of 2 trials to run" in foreseen.stdout
    assert not (tmp_path / "run").exists()
    ran = normscope("investigate", *small)
    assert ran.returncode == 0, ran.stderr
    assert "When bn's test accuracy suddenly drops" in ran.stdout
    assert "Finding: run/finding-bump.md" in ran.stdout
    assert "Report: run/report.html" in ran.stdout
    again = normscope("investigate", *small, "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert found["finding"] == "run/finding-bump.md"
    assert found["readings"][0]["outcome"] == "not decided"
    assert found["readings"][0]["part"] is None
    parts = normscope(
        "investigate", "regularization", *SMALL, "--out", "two", "--dry-run", "--json"
    )
    assert {*json.loads(parts.stdout)} == {"as-it-is", "without-dropout"}


def test_the_questions_are_in_the_help(normscope):
    shown = " ".join(normscope("investigate", "--help").stdout.split())
    assert "bump: When bn's test accuracy suddenly drops" in shown
    wrong = normscope("investigate", "colour")
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "normscope: unknown investigation 'colour'; known: channels, bump, batch-size, smoothness, "
        "init, regularization\n"
    )


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_explained_afterwards(normscope, tmp_path):
    pytest.importorskip("captum")
    ran = normscope("compare", *SMALL, "--out", "run")
    assert ran.returncode == 0, ran.stderr
    explained = normscope("explain", "run", "--method", "occlusion", "--seed", "0")
    assert explained.returncode == 0, explained.stderr
    assert "by occlusion, with the networks of bn, ln of seed 0." in explained.stdout
    assert (tmp_path / "run/heat_maps/occlusion.npz").exists()
    refused = normscope("explain", "run", "--seed", "7")
    assert refused.returncode == 2
    assert refused.stderr == ("normscope: there are no weights with seed 7, but with 0\n")
