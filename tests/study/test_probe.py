"""Probes of an experiment: taken by `compare`, or of the networks that a folder holds."""

import shutil

import numpy as np
import pytest

import normscope as package
from normscope.errors import RunError, UsageError
from normscope.experiment import Experiment, ProbePlan
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.probe import probe

EXPERIMENT = Experiment(
    norms=("bn", "ln"),
    seeds=1,
    train_limit=64,
    test_limit=40,
    recipe={"base": "quick", "epochs": 2, "batch_size": 16},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of two processes, with probes at three moments."""
    out = tmp_path_factory.mktemp("probed") / "run"
    plan = ProbePlan(("redundancy", "eval-gap", "channels"), (0, 1.5, 2))
    compare(EXPERIMENT, out=out, workers=2, observer=Observer(), probes=plan)
    return out


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_folder_holds_what_was_measured(folder):
    store = Store(folder)
    bn, ln = (store.probes(result.trial) for result in store.records())
    assert "eval-gap.precise_percent" in bn.series
    assert "eval-gap.precise_percent" not in ln.series
    series = ln.series["channels.input_sd"]
    assert series.epochs.tolist() == [0, 1.5, 2]
    assert series.axes == ("norm", "channel")
    assert bn.seconds > 0


def test_the_frame_has_a_row_for_each_number(folder):
    frame = Comparison.read(folder).probes()
    assert list(frame.columns) == [
        "norm", "batch_size", "seed", "probe", "measure", "epoch", "layer", "position", "value",
    ]  # fmt: skip
    store = Store(folder)
    (ln,) = (store.probes(r.trial) for r in store.records() if r.trial.norm == "ln")
    series = ln.series["channels.input_sd"]
    rows = frame[(frame.norm == "ln") & (frame.measure == "input_sd") & (frame.epoch == 1.5)]
    of_layer = rows[rows.layer == series.names[0][1]]
    assert of_layer.position.tolist() == [str(channel) for channel in range(20)]
    np.testing.assert_array_equal(of_layer.value, series.readings[1, 1, :20])
    assert len(frame[frame.measure == "precise_percent"]) == 3
    assert not rows.value.isna().any()


def test_the_same_of_networks_that_were_trained_without(folder, tmp_path):
    """Before and after training; nothing is trained, and what is there stays."""
    out = tmp_path / "run"
    compare(EXPERIMENT, out=out, workers=1, observer=Observer())
    assert Comparison.read(out).probes().empty
    records = {path: path.read_bytes() for path in out.glob("trials/*/record.json")}
    probed = probe(out, ["redundancy", "eval-gap", "channels"])
    assert probed.trials == 2
    assert not probed.failures
    assert records == {path: path.read_bytes() for path in out.glob("trials/*/record.json")}
    keys = ["norm", "measure", "layer", "position", "epoch"]
    found = probed.comparison.probes().set_index(keys).value
    trained = Comparison.read(folder).probes().set_index(keys).value
    ends = trained[trained.index.get_level_values("epoch") != 1.5]
    assert found.index.sort_values().equals(ends.index.sort_values())
    np.testing.assert_allclose(found[ends.index], ends, rtol=1e-5)


def test_more_probes_join_those_there_are(copied):
    before = Comparison.read(copied).probes()
    probe(copied, ["weights", "channels"])
    after = Comparison.read(copied).probes()
    assert set(after.probe) == {"redundancy", "eval-gap", "channels", "weights"}
    keys = ["norm", "measure", "layer", "position", "epoch"]
    both = before.set_index(keys).value
    np.testing.assert_allclose(after.set_index(keys).value[both.index], both, rtol=1e-5)


def test_without_weights_there_is_nothing_to_look_into(copied):
    for weights in copied.glob("trials/*/weights.safetensors"):
        weights.unlink()
    with pytest.raises(RunError, match="holds no weights"):
        probe(copied)


def test_damage_is_named(copied):
    (weights, *_) = sorted(copied.glob("trials/bn*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(RunError, match=r"bn-seed0.*weights.safetensors is damaged"):
        probe(copied, ["dead"])
    (probes, *_) = sorted(copied.glob("trials/ln*/probes.npz"))
    probes.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"ln-seed0.*probes.npz is damaged"):
        Comparison.read(copied)


@pytest.mark.parametrize(
    ("probes", "message"),
    [(["colour"], "unknown probe 'colour'"), ([], "name a probe"), (["none"], "name a probe"),
     ("dead", "must be a list")],
)  # fmt: skip
def test_what_is_no_probe_is_refused(folder, probes, message):
    with pytest.raises(UsageError, match=message):
        probe(folder, probes)


def test_a_folder_without_an_experiment_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        probe(tmp_path)


def test_stored_trials_are_not_trained_again_for_probes(copied):
    """And a notice says how to look into them."""
    for probes in copied.glob("trials/*/probes.npz"):
        probes.unlink()
    told = []
    observer = Observer()
    observer.noticed = told.append
    compare(EXPERIMENT, out=copied, workers=1, observer=observer, probes=("dead",))
    assert any("2 stored trials without probes" in notice for notice in told)
    assert not list(copied.glob("trials/*/probes.npz"))


def test_they_are_public():
    assert package.probe is probe
    assert "redundancy" in package.PROBES
