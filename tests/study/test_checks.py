"""What is refused before any work, and what a user is told of it."""

import pytest
from report_fakes import make_experiment, make_labels, make_model, make_result
from torch import nn

import normscope
from normscope.errors import RunError, UsageError
from normscope.experiment import Design, Experiment, Request
from normscope.experiment.plan import make_trial
from normscope.experiment.reading import read_experiment
from normscope.norms import NORMS
from normscope.norms.group import group_norm
from normscope.store import Store
from normscope.study.checks import (
    check,
    check_baseline,
    check_design,
    folder_of,
    kept_design,
    kept_header,
    machine_for,
    merge,
    with_first_seeds,
)
from normscope.study.forecast import forecast
from normscope.study.stored import results_stored

UNTIL = Design(until_decided=True, max_seeds=20)


def small(**changes):
    values = {"epochs": 1, "train_limit": 128, "test_limit": 100, "norms": ["bn", "gn"]}
    return read_experiment(**{**values, **changes})


def stored(folder, experiment, design=Design()):  # noqa: B008 - a frozen value
    request = Request(date="", command="", norms=experiment.norms, seeds=1, design=design)
    return Store.create(folder, experiment, request)


def merged(folder, asked):
    return merge(folder, kept_header(folder), asked)


def checked(experiment, folder, **changes):
    return check(experiment, out=folder, **{"workers": 1, **changes})


# -- a folder and what is asked of it --------------------------------------------------------------


def test_a_new_folder_holds_what_is_asked_and_is_not_made(tmp_path):
    asked = make_experiment(norms=("bn", "gn"))
    assert merged(tmp_path / "new", asked) == asked
    assert not (tmp_path / "new").exists()


def test_extending_keeps_what_is_there(tmp_path):
    stored(tmp_path, make_experiment(norms=("bn", "gn"), seeds=2, epochs=3))
    wider = merged(tmp_path, make_experiment(norms=("ln", "bn"), seeds=1, epochs=3))
    assert wider.norms == ("bn", "gn", "ln")
    assert wider.seeds == 2


def test_another_experiment_in_the_folder_is_refused(tmp_path):
    stored(tmp_path, make_experiment(norms=("bn", "gn"), seeds=2, epochs=3))
    other = make_experiment(norms=("bn", "gn"), seeds=2, epochs=4)
    with pytest.raises(UsageError, match=r"recipe.epochs 3, not 4.*--out"):
        merged(tmp_path, other)


def test_another_baseline_in_the_folder_is_refused(tmp_path):
    stored(tmp_path, make_experiment(norms=("bn", "gn"), seeds=2, epochs=3))
    with pytest.raises(UsageError, match="compares with bn, not gn: name bn first"):
        merged(tmp_path, make_experiment(norms=("gn", "bn"), seeds=2, epochs=3))


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file; --out needs a folder"):
        kept_header(tmp_path / "out")


def test_sizes_that_nobody_named_are_those_of_the_folder(tmp_path):
    sizes = make_experiment(seeds=1, epochs=2, batch_sizes=(16, 32))
    stored(tmp_path, sizes)
    plain = Experiment(dataset="cifar10", recipe=sizes.recipe, seeds=2)
    assert merged(tmp_path, plain).batch_sizes == (16, 32)
    named = plain.model_copy(update={"batch_sizes": (64,)})
    assert merged(tmp_path, named).batch_sizes == (16, 32, 64)


def test_a_folder_keeps_its_rules_and_its_baseline(tmp_path):
    rules = {"alpha": 0.01, "margin_points": 2.0, "levels_percent": (50.0, 70.0)}
    stored(tmp_path, make_experiment(), Design(**rules, until_decided=True))
    assert kept_design(tmp_path) == Design(**rules)
    assert kept_design(tmp_path / "none") == Design()
    check_baseline(tmp_path, "bn")
    check_baseline(tmp_path / "none", "ln")
    with pytest.raises(UsageError, match="compares with bn, not ln; leave out --baseline"):
        check_baseline(tmp_path, "ln")


def test_a_copied_trial_is_refused_by_all(tmp_path):
    """The forecast, `compare` and the report know one truth."""
    experiment = small(seeds=1)
    store = stored(tmp_path / "e", experiment)
    other = small(seeds=1, epochs=2)  # a trial of another experiment, copied into this folder
    trial = make_trial(other, "bn", other.recipe, 0)
    store.add(make_result(other, trial, make_labels(100)))
    for use in (
        lambda: forecast(check(experiment, out=tmp_path / "e")),
        lambda: normscope.compare(experiment, out=tmp_path / "e"),
        lambda: results_stored(Store(tmp_path / "e")),
    ):
        with pytest.raises(RunError, match=r"bn-seed0-\w+ holds no trial of the experiment"):
            use()


# -- designs ---------------------------------------------------------------------------------------


def test_designs_that_leave_nothing_to_decide():
    with pytest.raises(UsageError, match="nothing to decide"):
        check_design(make_experiment(norms=("bn",)), UNTIL, None)
    with pytest.raises(UsageError, match="--max-seeds needs --until-decided or --budget"):
        check_design(make_experiment(), Design(max_seeds=4), None)
    check_design(make_experiment(), Design(max_seeds=4), 60.0)
    with pytest.raises(UsageError, match="--winner-set needs --until-decided"):
        check_design(make_experiment(), Design(winner_set=True), None)
    check_design(make_experiment(), Design(), None)


def test_a_sequence_begins_with_six_seeds_and_fixes_none():
    assert with_first_seeds(small(), UNTIL).seeds == 6
    assert with_first_seeds(make_experiment(seeds=30), Design()).seeds == 30
    with pytest.raises(UsageError, match="and --until-decided does not"):
        with_first_seeds(make_experiment(seeds=30), UNTIL)
    with pytest.raises(UsageError, match="and --max-seeds does not"):
        with_first_seeds(make_experiment(seeds=30), Design(max_seeds=4))


# -- what was accepted without a word --------------------------------------------------------------


def test_a_data_folder_for_a_data_set_made_in_memory(tmp_path):
    with pytest.raises(UsageError, match="shapes is made in memory and reads no --data-dir; name"):
        checked(small(), tmp_path / "e", data_dir=tmp_path)


def test_one_norm_and_fewer_seeds_are_told(tmp_path):
    (alone,) = checked(small(norms=["bn"]), tmp_path / "e").notices
    assert "bn is the only norm" in alone
    stored(tmp_path, small(seeds=5))
    (fewer,) = checked(small(seeds=1), tmp_path).notices
    assert fewer == "The folder holds 5 seeds, which are all reported; 1 were asked for."
    assert checked(small(seeds=6), tmp_path).notices == ()
    assert checked(small(norms=["ln"], seeds=5), tmp_path).notices == ()


def test_a_forecast_tells_of_data_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NORMSCOPE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    small_steps = {"epochs": 1, "train_limit": 512, "batch_size": 32}  # a few of them are timed
    absent = read_experiment(dataset="cifar10", norms=["bn", "gn"], **small_steps)
    (notice,) = forecast(check(absent, out=tmp_path / "e", design=UNTIL)).notices
    assert notice == "cifar10 is not on this machine: 170 MB would be downloaded first."


# -- from Python -----------------------------------------------------------------------------------


def test_the_name_of_a_data_set_is_no_experiment():
    for use in (normscope.compare, check):
        with pytest.raises(UsageError, match=r'Experiment\(dataset="shapes"\)'):
            use("shapes")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"design": {"until_decided": True}}, r"design must be a Design, not \{'until_decided'"),
        ({"budget_s": "2h"}, "budget_s must be a number of seconds, not '2h'"),
    ],
)
def test_arguments_of_another_type_are_one_line(tmp_path, argument, message):
    with pytest.raises(UsageError, match=message):
        normscope.compare(small(), out=tmp_path / "e", **argument)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("levels", [60, ["60 %"], []])
def test_levels_of_another_type_are_one_line(tmp_path, levels):
    stored(tmp_path, small())
    with pytest.raises(UsageError, match="--level"):
        normscope.Comparison.read(tmp_path, levels)


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_of(small(), "~/e") == tmp_path / "e"


# -- code of the user's own ------------------------------------------------------------------------


def test_own_norms_and_models_need_one_worker(monkeypatch, tmp_path):
    monkeypatch.setitem(NORMS, "mine", group_norm)
    monkeypatch.setattr("normscope.study.placement.available_cores", lambda: 2)
    experiment = small(norms=["bn", "mine"])
    with pytest.raises(UsageError, match=r"mine is of your own program.*--executor inline"):
        checked(experiment, tmp_path / "e", workers=2)
    checked(experiment, tmp_path / "e")
    monkeypatch.setitem(normscope.models.MODELS, "net", normscope.models.MODELS["s8"].__call__)
    with pytest.raises(UsageError, match=r"net is of your own program.*--executor inline"):
        checked(small(model="net"), tmp_path / "e", workers=2)


def test_results_of_an_own_norm_are_not_used_again(monkeypatch, tmp_path):
    """It may have been edited since; a trial's id does not know."""
    monkeypatch.setitem(NORMS, "mine", group_norm)
    experiment = small(norms=["bn", "mine"], seeds=1)
    store = stored(tmp_path, experiment)
    store.add(make_result(experiment, make_trial(experiment, "bn", experiment.recipe, 0),
                          make_labels(100)))  # fmt: skip
    checked(experiment, tmp_path)  # only bn has results
    store.add(make_result(experiment, make_trial(experiment, "mine", experiment.recipe, 0),
                          make_labels(100)))  # fmt: skip
    with pytest.raises(UsageError, match="holds results of mine, which is of your own program"):
        checked(experiment, tmp_path)


def test_own_code_that_failed_is_tried_again(monkeypatch, tmp_path):
    class Broken(nn.Module):
        def forward(self, x):
            if self.training:
                raise RuntimeError("out of patience")
            return x

    monkeypatch.setitem(NORMS, "mine", lambda channels: Broken())
    summary = "normscope.study.opening.summarize"  # it calls the layers, too
    monkeypatch.setattr(summary, lambda model, norm, *_: make_model(norm))
    experiment = small(norms=["mine"], seeds=1)
    for _ in range(2):
        with pytest.raises(RunError, match=r"every trial failed \(mine, .*: RuntimeError: out of"):
            normscope.compare(experiment, out=tmp_path / "e", workers=1)
    assert (tmp_path / "e" / "report.html").is_file()


def test_trials_without_the_experiment_they_are_of_are_left_alone(tmp_path, undrawn):
    normscope.compare(small(seeds=1), out=tmp_path, workers=1)
    for name in ("experiment.json", "experiment.backup.json"):
        (tmp_path / name).unlink()
    before = sorted(tmp_path.rglob("*"))
    for epochs in (1, 2):
        with pytest.raises(RunError, match="which says what they are and how"):
            normscope.compare(small(seeds=1, epochs=epochs), out=tmp_path, workers=1)
    assert sorted(tmp_path.rglob("*")) == before


def test_fewer_workers_than_one_are_refused():
    for workers in (0, -1):
        with pytest.raises(UsageError, match="workers must be 1 or more"):
            machine_for("cpu", workers)


def test_until_decided_names_no_seeds_and_adds_none_of_its_own(tmp_path):
    stored(tmp_path, small(seeds=(1, 7)))
    found = checked(small(), tmp_path, design=UNTIL)
    assert found.notices == ()
    assert found.experiment.seed_numbers == (1, 7)
    foreseen = forecast(check(small(), out=tmp_path, design=UNTIL))
    assert list(dict.fromkeys(t.seed for t in foreseen.trials)) == [1, 7, 0, 2, 3, 4]


def test_a_baseline_that_the_folder_does_not_have_is_told(tmp_path):
    stored(tmp_path, small(seeds=2))
    (notice,) = checked(small(norms=["ln", "gn"], seeds=2), tmp_path).notices
    assert notice == "The folder compares with bn, not with ln."
