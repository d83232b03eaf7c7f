"""The file that a training goes on from: what it is used for, and what becomes of a damaged one."""

import json
import os
import random

import pytest
import torch
from safetensors import safe_open
from small_trials import CPU, trial

from normscope import stopping
from normscope.data import load_dataset
from normscope.experiment import Keeping, ProbePlan
from normscope.training import checkpoints
from normscope.training.checkpoints import (
    Checkpoint,
    Keeper,
    Unfit,
    discard_ended,
    read,
    write,
)
from normscope.training.environment import environment
from normscope.training.packing import Unpackable, pack, unpack
from normscope.training.trial import run_fleet, run_trial

ASKED = trial("gn", epochs=2, batch_size=16)
HERE = environment(CPU, "fp32", 1)
STATE = {
    "weights": torch.arange(6.0).reshape(2, 3).T,
    3: (None, True, 1e-300, float("inf"), -(2**70), "é"),
    "empty": [torch.zeros(0, 2), {}],
    "bf16": torch.tensor([1.5]).bfloat16(),
}


@pytest.fixture(scope="module")
def few():
    return load_dataset("shapes", train_limit=40, test_limit=20)


@pytest.fixture
def keeping(tmp_path):
    return Keeping(tmp_path / "states")


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    monkeypatch.setattr("normscope.training.trial.step_memory_mib", lambda *_: None)
    yield
    stopping.forget()


def keeper_of(keeping, trials=(ASKED,), here=HERE, probes=None):
    return Keeper.of(keeping, trials, here, probes or ProbePlan())


def kept(keeping, **of):
    """The path of a file with a state."""
    keeper = keeper_of(keeping, **of)
    keeper.keep(pack(STATE))
    assert keeper.notices == []
    return keeper.path


# -- a state as bytes ------------------------------------------------------------------------------


def test_a_state_is_read_as_it_was_written(keeping):
    kept(keeping)
    found = keeper_of(keeping).found()
    assert found[3] == STATE[3]
    assert list(found) == list(STATE)
    assert found["weights"].equal(STATE["weights"])
    assert found["weights"].stride() == STATE["weights"].stride() == (1, 3)  # and as it lay
    assert found["bf16"].dtype == torch.bfloat16
    assert found["empty"][0].shape == (0, 2)
    assert found["empty"][1] == {}


def test_what_is_packed_is_a_copy():
    values = torch.zeros(3)
    packed = pack([values])
    values += 1
    assert unpack(packed)[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [object(), {1}, b"bytes", 1j, type("List", (list,), {})()])
def test_what_would_not_come_back_as_it_was_is_not_packed(value):
    with pytest.raises(Unpackable, match=type(value).__name__):
        pack({"some": [value]})


def test_the_file_is_one_of_tensors_and_says_what_it_belongs_to(keeping):
    path = kept(keeping)
    assert path.name == f"{ASKED.id}.safetensors"
    with safe_open(path, "np") as file:
        identity = json.loads(file.metadata()["identity"])
    assert identity["trials"] == [ASKED.id]
    here = HERE.model_dump()
    assert here.keys() >= {"normscope", "torch", "device", "threads", "precision", "kernels"}
    assert {name: identity[name] for name in here} == here


# -- what does not fit -----------------------------------------------------------------------------

OTHERS = {
    "threads": {"here": HERE.model_copy(update={"threads": 7})},
    "torch": {"here": HERE.model_copy(update={"torch": "2.0"})},
    "probes": {"probes": ProbePlan(("variance",))},
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_state_of_something_else_is_left_aside_with_a_sentence(what, keeping):
    path = kept(keeping)
    keeper = keeper_of(keeping, **OTHERS[what])
    assert keeper.found() is None
    (notice,) = keeper.notices
    assert notice.startswith(
        f"{path} is left aside, and its training begins anew: it was kept with"
    )
    assert f"{what} {read(path).identity[what]}" in notice


def test_no_state_is_nothing_to_speak_of(keeping):
    keeper = keeper_of(keeping)
    assert (keeper.found(), keeper.notices) == (None, [])


def test_states_of_other_trials_are_other_files(keeping):
    trials = [trial("gn", seed) for seed in range(3)]
    groups = [trials[:1], trials[1:2], trials[:2], trials[1:], trials]
    assert len({kept(keeping, trials=group) for group in groups}) == 5


def test_whatever_is_damaged_is_noticed(keeping):
    """Any bit of it, any part of it, and what is no file at all."""
    path = kept(keeping)
    whole, drawn = path.read_bytes(), random.Random(0)
    for _ in range(200):
        bit = drawn.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(Unfit, match="it is damaged"):
            read(path)
    for length in [0, 7, 8, *drawn.sample(range(9, len(whole)), 20)]:
        path.write_bytes(whole[:length])
        with pytest.raises(Unfit, match="it is damaged"):
            read(path)
    path.unlink()
    os.mkfifo(path)  # which would be waited for
    assert keeper_of(keeping).notices[0].endswith("its training begins anew: it is no plain file.")


def test_a_trial_whose_state_is_damaged_begins_anew_and_replaces_it(few, keeping):
    whole = run_trial(ASKED, few, CPU)
    path = kept(keeping)
    path.write_bytes(path.read_bytes()[:-1])
    result = run_trial(ASKED, few, CPU, keeping=Keeping(keeping.folder, 0))
    assert result.notices == (
        f"{path} is left aside, and its training begins anew: it is damaged.",
    )
    assert result.predictions.logits.tobytes() == whole.predictions.logits.tobytes()
    assert read(path).identity["trials"] == [ASKED.id]


def without_a_tensor(state):
    """As of a layer of a user's own whose tensors depend on more than its source."""
    state["steps"]["network"]["values"].popitem()


def without_a_part(state):
    """As of another version that forgot to say so."""
    del state["steps"]["learning_rate"]


WRONG = {
    without_a_tensor: "it does not fit (ValueError: its tensors are those of another network).",
    without_a_part: "it does not fit (KeyError: 'learning_rate').",
}


@pytest.mark.parametrize("change", WRONG)
def test_a_state_of_another_training_is_left_aside(change, few, keeping):
    whole = run_trial(ASKED, few, CPU)
    run_trial(ASKED, few, CPU, keeping=Keeping(keeping.folder, 0))
    path = keeper_of(keeping).path
    checkpoint = read(path)
    state = unpack(checkpoint.state)
    change(state)
    write(path, Checkpoint(checkpoint.identity, "then", 5.0, pack(state)))
    told = []
    result = run_trial(ASKED, few, CPU, told.append, keeping=keeping)
    assert result.notices[0].endswith(WRONG[change])
    assert [record.epoch for record in told] == [1, 2]
    assert result.predictions.logits.tobytes() == whole.predictions.logits.tobytes()
    assert result.seconds < 5
    assert result.started != "then"


# -- disks -----------------------------------------------------------------------------------------


def test_a_state_that_cannot_be_written_is_gone_without(few, keeping):
    whole = run_trial(ASKED, few, CPU)
    keeping.folder.write_text("a file, where a folder should be")
    result = run_trial(ASKED, few, CPU, keeping=Keeping(keeping.folder, 0))
    (notice,) = result.notices  # once, whatever was tried after that
    assert "cannot write" in notice
    assert "until then a trial that is stopped begins anew" in notice
    assert result.predictions.logits.tobytes() == whole.predictions.logits.tobytes()


def test_a_request_to_stop_that_finds_the_disk_full_is_told_at_once(tmp_path, caplog):
    """No result will tell of it; and the name of a folder does not act on the terminal."""
    keeping = Keeping(tmp_path / "no\x1b[31mfolder")
    keeping.folder.write_text("a file, where a folder should be")
    keeper = keeper_of(keeping)
    keeper.keep(pack(STATE))
    assert caplog.messages == []
    with keeper.postponing():
        stopping.ask()
        with pytest.raises(stopping.Stopped):
            keeper.keep(pack(STATE))
    (told,) = caplog.messages
    assert r"cannot write" in told
    assert r"no\x1b[31mfolder" in told
    assert "until then a trial that is stopped begins anew" in told


def test_a_disk_that_is_full_leaves_the_state_before(keeping, monkeypatch):
    path = kept(keeping)
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    keeper = keeper_of(keeping)
    keeper.keep(pack({}))
    keeper.keep(pack({}))
    assert keeper.notices == [
        f"cannot write {path} (No space left on device); make room, or until then a trial that is "
        "stopped begins anew."
    ]
    assert path.read_bytes() == before
    assert list(keeping.folder.iterdir()) == [path]


# -- when ------------------------------------------------------------------------------------------


def test_a_state_is_kept_when_it_is_time_or_a_stop_was_asked_for(keeping, monkeypatch):
    seconds = iter([0.0, 29.0, 31.0, 32.0, 33.0, 34.0, 35.0])
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: next(seconds))
    keeper = keeper_of(keeping)
    assert [keeper.is_due(), keeper.is_due()] == [False, True]
    keeper.keep(None)
    assert not keeper.is_due()
    with keeper.postponing():
        stopping.ask()
        assert keeper.is_due()
        with pytest.raises(stopping.Stopped):
            keeper.keep(None)


# -- what becomes of them --------------------------------------------------------------------------


def test_states_go_when_all_their_trials_have_ended(keeping):
    one, two, three = (trial("gn", seed) for seed in range(3))
    alone, fleet = kept(keeping, trials=[one]), kept(keeping, trials=[two, three])
    discard_ended(keeping.folder, {two.id})
    assert {*keeping.folder.iterdir()} == {alone, fleet}
    discard_ended(keeping.folder, {one.id, two.id})
    assert [*keeping.folder.iterdir()] == [fleet]
    discard_ended(keeping.folder, {one.id, two.id, three.id})
    assert not keeping.folder.exists()
    discard_ended(keeping.folder, set())  # where nothing is kept


def test_the_last_that_ended_is_looked_at_alone_besides_fleets(keeping):
    """A folder may hold the states of thousands that train, and one of them ends every moment."""
    one, two, three, four = (trial("gn", seed) for seed in range(4))
    alone, other = kept(keeping, trials=[one]), kept(keeping, trials=[two])
    kept(keeping, trials=[three, four])
    discard_ended(keeping.folder, {one.id, two.id, three.id}, one.id)
    assert not alone.exists()
    assert other.exists()  # it ended before, and was discarded then
    discard_ended(keeping.folder, {one.id, two.id, three.id, four.id}, four.id)
    assert [*keeping.folder.iterdir()] == [other]


def test_a_fleets_state_that_cannot_be_read_stays(keeping):
    fleet = kept(keeping, trials=[trial("gn", seed) for seed in range(2)])
    fleet.write_bytes(b"\xff" * 100)
    discard_ended(keeping.folder, {trial("gn", seed).id for seed in range(2)})
    assert fleet.exists()


def test_a_fleet_and_its_members_do_not_share_a_state(few, keeping):
    trials = [trial("gn", seed, epochs=1, batch_size=16) for seed in (0, 1)]
    run_fleet(trials, few, CPU, keeping=Keeping(keeping.folder, 0))
    run_trial(trials[0], few, CPU, keeping=Keeping(keeping.folder, 0))
    assert len(list(keeping.folder.iterdir())) == 2


def test_nothing_is_kept_of_an_experiment_whose_folder_is_on_another_machine(few, tmp_path):
    elsewhere = tmp_path / "e" / "checkpoints"
    result = run_trial(ASKED, few, CPU, keeping=Keeping(elsewhere, 0))
    assert (result.status, result.notices) == ("finished", ())
    assert not elsewhere.parent.exists()
