"""Designs, levels, batch sizes and plans as a user types them: real trainings."""

import json
from pathlib import Path

import pytest
from command_line import SMALL, one_line

from normscope.experiment.reading import read_experiment
from normscope.study.power import TYPICAL, pilot_in, typical

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_seeds_are_added_until_decided_and_the_verdicts_move(normscope, tmp_path, undrawn):
    # Networks at chance differ by several points, so a margin of 60 makes them equivalent.
    done = normscope("compare", *SMALL, "--until-decided", "--max-seeds", 20, "--margin", 60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    moving = [line for line in lines if line.startswith("after ")]
    assert [line.split()[1] for line in moving] == ["1", "2", "3", "4", "5", "6"]
    assert "undecided" in moving[0]
    assert moving[-1].endswith(" equivalent")
    assert "Stopped after 6 seeds: every comparison is decided." in lines
    assert "gn is equivalent to bn" in done.stdout
    assert "Sequential design, seeds added until decided" in " ".join(done.stdout.split())

    again = normscope("compare", *SMALL, "--until-decided", "--margin", 60, "--json")
    values = json.loads(again.stdout)
    (verdict,) = values["verdicts"]
    assert (verdict["outcome"], verdict["difference_points_n"]) == ("equivalent", 6)
    assert values["design"]["sequential"] is True
    assert values["design"]["comparisons"] == 1

    narrower = normscope("compare", *SMALL, "--until-decided", "--max-seeds", 6, "--margin", 0.01)
    assert "Stopped after 6 seeds: that is the most allowed (6)." in narrower.stdout
    assert "The margin was changed after a look at results." in narrower.stdout


def test_a_fixed_design_that_is_extended_becomes_sequential_and_says_so(normscope, undrawn):
    first = normscope("compare", *SMALL, "--seeds", 2)
    assert "Fixed design, n = 2" in first.stdout
    second = normscope("compare", *SMALL, "--seeds", 3, "--baseline", "bn")
    words = " ".join(second.stdout.split())
    assert "Sequential design, since seeds were added after a look at results" in words


def test_batch_sizes_and_levels(normscope, tmp_path, undrawn):
    sizes, levels = ("--batch-sizes", "64,32"), ("--level", "0.05,0.9")
    done = normscope("compare", *SMALL, "--seeds", 1, *sizes, *levels, "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert [(n["norm"], n["batch_size"]) for n in values["norms"]] == [
        ("bn", 32), ("gn", 32), ("bn", 64), ("gn", 64),
    ]  # fmt: skip
    assert "epochs_to_5_percent_mean" in values["norms"][0]
    assert {"epochs_to_5_percent", "epochs_to_90_percent"} <= {
        found["metric"] for found in values["secondary"]
    }
    folder = next((tmp_path / "runs").glob("shapes-*"))
    again = normscope("report", folder, "--json")
    assert json.loads(again.stdout)["levels_percent"] == [5.0, 90.0]
    report = normscope("report", folder, "--level", "0.08")
    assert "to 8 %" in report.stdout
    assert "batch size" in report.stdout


def test_a_plan_says_how_many_seeds_and_how_long(normscope):
    done = normscope("plan", "--difference", 0.5, "--sd", 0.3, "--norms", 5)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if "in 80 % of exp" in line]
    assert [(row[5], row[-3]) for row in rows] == [("8", "11"), ("8", "11")]
    said = " ".join(done.stdout.split())
    assert "5 norms, so 4 comparisons" in said
    assert "trains what is decided no further: 40 trials in all" in said
    assert "s per trial" in said
    assert max(map(len, done.stdout.splitlines())) <= 80
    values = json.loads(
        normscope("plan", "--difference", 0.5, "--sd", 0.3, "--norms", 5, "--json").stdout
    )
    assert values["fixed"]["0.8"] == 8
    assert values["sequential"]["0.8"] == 11
    assert values["course"]["decided"] == 1.0
    assert values["seconds_per_trial"] > 0


def test_a_plan_takes_sd_norms_and_time_from_an_experiment_that_is_there(normscope):
    folder = RESULTS / "cifar10-s8-s8"
    planned = ("plan", "--difference", 1.3, "--from", folder)
    done = normscope(*planned)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "pooled over ln 0.94 (10 seeds), gn 0.98 (10 seeds)." in said
    assert "an sd of 0.956 points" in said
    assert "2 comparisons" in said
    assert f"Times are for trials as in {folder}, at 369 s per trial." in said
    values = json.loads(normscope(*planned, "--norms", 5, "--sd", 0.5, "--json").stdout)
    assert (values["norms"], values["sd_points"]) == (5, 0.5)
    assert values["seconds_per_trial"] == pytest.approx(369, abs=1)


@pytest.mark.parametrize("what", TYPICAL, ids=str)
def test_a_plan_knows_what_is_typical_where_it_was_measured(what):
    dataset, model, recipe = what
    known = typical(read_experiment(dataset=dataset, model=model, recipe=recipe))
    _, source, seeds = TYPICAL[what]
    recorded = pilot_in(RESULTS / source)
    assert known.sd == pytest.approx(recorded.sd, abs=0.005)
    assert f"{dataset} with {model} and recipe {recipe} in docs/results/{source}" in known.words
    assert (recorded.experiment.dataset, recorded.experiment.model) == (dataset, model)
    assert (recorded.experiment.recipe.name, recorded.experiment.seeds) == (recipe, seeds)


def test_a_plan_of_what_was_not_measured_has_no_typical_sd():
    assert typical(read_experiment(dataset="cifar10", model="resnet20")).sd is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no sd is known of shapes with s8 and recipe quick; name it with --sd, or a folder"),
        (["--from", "nowhere"], "nowhere holds no normscope experiment"),
        (["--from", "x", "--dataset", "shapes"], "--from has its own data set, model and recipe"),
        (["--from", "x", "--recipe", "fast"], "--from has its own data set, model and recipe"),
        (["--sd", "1", "--batch-sizes", "0"], "one batch size or more, not 0"),
        (["--sd", "1", "--alpha", "0.7"], "--alpha 0.7: should be less than 0.5"),
        (["--from", RESULTS / "cifar10-resnet9-page"], "no sd is known of the paired differences"),
        (["--sd", "0"], "the sd must be above 0 points"),
    ],
)
def test_a_plan_without_a_spread_says_what_to_do(normscope, arguments, words):
    refused = normscope("plan", "--difference", 0.5, *arguments)
    assert refused.returncode == 2
    assert words in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--until-decided", "--seeds", "4"], "the experiment fixes its seeds (--seeds"),
        (["--max-seeds", "4"], "needs --until-decided or --budget"),
        (["--budget", "2h", "--seeds", "4", "--max-seeds", "4"], "the experiment fixes its seeds"),
        (["--budget", "0m"], "a budget of 0 s is no time"),
        (["--until-decided", "--norms", "bn"], "nothing to decide"),
        (["--baseline", "ln"], "'ln' is not among the norms (bn, gn)"),
        (["--margin", "-1"], "--margin -1.0: should be greater than or equal to 0"),
        (["--alpha", "0.7"], "--alpha 0.7: should be less than 0.5"),
        (["--protocol", "loose"], "--protocol 'loose'"),
        (["--batch-sizes", "8,8"], "names a batch size twice"),
        (["--batch-sizes", "8,0"], "--batch-sizes 0: "),
        (["--batch-sizes", "16,500"], "a batch of 500 is larger than the training set of 192"),
    ],
    ids=str,
)
def test_designs_that_cannot_be(normscope, arguments, words):
    assert words in one_line(normscope("compare", *SMALL, *arguments), 2)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--budget", "soon"), ("--budget", ""), ("--level", "60"), ("--level", "0.5,0.5"),
     ("--level", "x"), ("--batch-sizes", "8;16")],
)  # fmt: skip
def test_values_that_cannot_be_read(normscope, option, value):
    done = normscope("compare", *SMALL, "--until-decided", option, value)
    assert done.returncode == 2
    assert done.stderr.startswith("normscope: Invalid value")
    assert "Traceback" not in done.stderr
