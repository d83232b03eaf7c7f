"""Trials that meet a fault are told as what they are, and no other one notices."""

from dataclasses import replace
from functools import partial

import pytest
from faulty_work import Faulty

import normscope
from normscope.experiment.reading import read_experiment
from normscope.observers import Observer
from normscope.store import Store
from normscope.study import placement

SIZES = {"epochs": 1, "batch_size": 32, "train_limit": 96, "test_limit": 50}


def asked(seeds):
    return read_experiment(norms=["bn", "gn"], seeds=seeds, dataset="shapes", **SIZES)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """Then a worker has one thread, as this process has."""
    monkeypatch.setattr(placement, "available_cores", lambda: 2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The outcomes of all trials that are trained here, by norm and seed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "e"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normscope.study.comparison.write_report", lambda *arguments: None)
        normscope.compare(asked(7), out=folder, executor="inline", observer=Observer())
    return outcomes(folder)


@pytest.fixture
def with_faults(monkeypatch, tmp_path):
    """Let trials meet faults, by norm and seed; gives how often each was tried."""
    (tmp_path / "notes").mkdir()
    usual = placement.Knowing.of

    def of(faults, trials, work):
        named = {t.id: faults[t.norm, t.seed] for t in trials if (t.norm, t.seed) in faults}
        return Faulty.of(usual(trials, work), named, tmp_path / "notes")

    def use(faults):
        monkeypatch.setattr(placement.Knowing, "of", partial(of, faults))

    def tries(trial):
        return len(list((tmp_path / "notes").glob(f"{trial.id}-*")))

    use.tries = tries
    return use


def outcomes(folder):
    store = Store(folder)
    return {
        (result.trial.norm, result.trial.seed): (
            [replace(each, train_seconds=0, test_seconds=0) for each in result.history],
            result.predictions.logits.tobytes(),
            {name: each.tobytes() for name, each in store.weights(result.trial).items()},
        )
        for result in store.results(each.trial for each in store.records())
        if result.status == "finished"
    }


def unfinished(folder):
    """The results of those that did not finish, by norm and seed."""
    records = [each for each in Store(folder).records() if each.status != "finished"]
    return {(each.trial.norm, each.trial.seed): each for each in records}


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_faults_in_3_of_12_trials(executor, undisturbed, with_faults, tmp_path, undrawn):
    faults = {("bn", 1): "not_a_number", ("gn", 2): "out_of_memory", ("gn", 5): "not_a_number"}
    with_faults(faults)
    folder = tmp_path / "e"
    compared = normscope.compare(asked(6), out=folder, executor=executor, observer=Observer())
    assert compared.table()["finished"].tolist() == [5, 4]

    found = unfinished(folder)
    assert {key: found[key].status for key in found} == {
        ("bn", 1): "diverged", ("gn", 5): "diverged", ("gn", 2): "failed",
    }  # fmt: skip
    for key in (("bn", 1), ("gn", 5)):
        assert found[key].error == "the loss was not finite in epoch 1, by step 3 of 3"
    line = found["gn", 2].error.splitlines()[0]
    assert line.startswith("gn, batch size 32, images 3x32x32: RuntimeError: ")
    assert "can't allocate memory" in line
    assert line.endswith("or ask for a smaller batch, which is another experiment")

    right = {key: undisturbed[key] for key in undisturbed if key[1] < 6 and key not in faults}
    assert len(right) == 9
    assert outcomes(folder) == right
    tried = [with_faults.tries(result.trial) for result in Store(folder).records()]
    assert tried == [1] * 12


# Those that die midway have imported torch before, three times each.
@pytest.mark.parametrize("midway", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_ten_trials_that_kill_their_worker(
    midway, undisturbed, with_faults, normscope, tmp_path, undrawn
):
    """Each is tried three times; once the cause is gone, `retry` runs them, and no others."""
    dying = [(norm, seed) for seed in range(5) for norm in ("bn", "gn")]
    faults = dict.fromkeys(dying, "killed") | dict.fromkeys(dying[:midway], "killed_midway")
    with_faults(faults)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SIZES.items()]
    command = ["compare", "--norms", "bn,gn", "--seeds", "7", *options, "--out", "e"]
    done = normscope(*command, "--executor", "processes", "--workers", "2")
    assert done.returncode == 3
    assert done.stderr.startswith("normscope: 10 trials failed (")
    assert len(done.stderr.splitlines()) == 1

    found, folder = unfinished(tmp_path / "e"), tmp_path / "e"
    assert sorted(found) == sorted(dying)
    for result in found.values():
        assert result.status == "failed"
        assert result.error == (
            "the worker process ended with signal 9 (SIGKILL; if memory ran out, fewer --workers "
            "need less), 3 times in a row"
        )
    right = {key: undisturbed[key] for key in undisturbed if key not in faults}
    assert len(right) == 4
    assert outcomes(folder) == right
    tries = {
        (r.trial.norm, r.trial.seed): with_faults.tries(r.trial) for r in Store(folder).records()
    }
    assert tries == {key: 3 if key in faults else 1 for key in undisturbed}

    with_faults({})
    again = normscope("retry", "e", "--workers", "2")
    assert (again.returncode, again.stderr) == (0, "")
    assert "10 trials to run, 4 stored" in again.stdout
    assert outcomes(folder) == undisturbed
