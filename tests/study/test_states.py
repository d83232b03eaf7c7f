"""A comparison that is stopped goes on in the middle of its trials."""

from dataclasses import replace
from hashlib import md5
from pathlib import Path

import pytest
from report_fakes import make_facts
from torch import nn

from normscope import stopping
from normscope.errors import UsageError
from normscope.experiment.reading import read_experiment
from normscope.norms import NORMS
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.checks import check
from normscope.study.compare import compare
from normscope.study.states import States
from normscope.training import steps


@pytest.fixture(autouse=True)
def nothing_asked():
    yield
    stopping.forget()


class Notes(Observer):
    """What it was told."""

    def __init__(self):
        self.epochs, self.sentences = [], []

    def epoch_ended(self, trial, record):
        self.epochs.append((trial.norm, record.epoch))

    def noticed(self, sentence):
        self.sentences.append(sentence)


def run(folder, norms=("bn", "gn"), **options):
    sizes = {"epochs": 2, "batch_size": 32, "train_limit": 96, "test_limit": 100}
    asked = read_experiment(norms=[*norms], seeds=1, recipe="quick", **sizes)
    notes = Notes()
    compare(asked, out=folder, workers=1, observer=notes, **options)
    return notes


def stop_in_step(number, monkeypatch, folder, **options):
    """Of all steps of the comparison; three make an epoch."""
    taken = []

    def objective(self, index):
        taken.append(None)
        if len(taken) == number:
            stopping.ask()
        return usual(self, index)

    usual = steps.Steps._objective
    with monkeypatch.context() as patch:
        patch.setattr(steps.Steps, "_objective", objective)
        with pytest.raises(stopping.Stopped):
            run(folder, **options)
    stopping.forget()
    return len(taken)


def outcomes(folder):
    store = Store(folder)
    return [
        (
            result.trial.id,
            [replace(each, train_seconds=0, test_seconds=0) for each in result.history],
            result.predictions.logits.tobytes(),
            {name: each.tobytes() for name, each in store.weights(result.trial).items()},
        )
        for result in store.results(each.trial for each in store.records())
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "e"
    run(folder)
    assert not (folder / "checkpoints").exists()
    return outcomes(folder)


def test_a_trial_goes_on_where_the_comparison_was_stopped(
    undisturbed, tmp_path, monkeypatch, undrawn
):
    folder = tmp_path / "e"
    assert stop_in_step(5, monkeypatch, folder) == 5  # in the second epoch of bn
    assert len(list((folder / "checkpoints").iterdir())) == 1
    (folder / "checkpoints" / ".bn.safetensors.999999999.partial").write_text("of one killed")
    assert stop_in_step(1 + 1, monkeypatch, folder) == 2  # of bn the last step, of gn the first
    assert [path.name[:2] for path in (folder / "checkpoints").iterdir()] == ["gn"]
    notes = run(folder)
    assert notes.epochs == [("gn", 1), ("gn", 2)]
    assert outcomes(folder) == undisturbed
    assert not (folder / "checkpoints").exists()


def test_a_trial_that_failed_is_tried_again_from_its_state(
    undisturbed, tmp_path, monkeypatch, undrawn
):
    folder = tmp_path / "e"

    def objective(self, index):
        if not broken and self.learning_rate == self.learning_rate:  # after the first step
            broken.append(None)
            raise RuntimeError("a device that was lost")
        return usual(self, index)

    broken, usual = [], steps.Steps._objective
    with monkeypatch.context() as patch:
        patch.setattr(steps.Steps, "_objective", objective)
        run(folder, checkpoint_s=1e-9)
    (kept,) = (folder / "checkpoints").iterdir()
    assert kept.name.startswith("bn-seed0-")
    assert stop_in_step(5, monkeypatch, folder) == 5  # its last, since the first is kept
    run(folder)
    assert outcomes(folder) == undisturbed
    assert not (folder / "checkpoints").exists()


def test_without_checkpoints_a_trial_begins_anew(undisturbed, tmp_path, monkeypatch, undrawn):
    folder = tmp_path / "e"
    stop_in_step(5, monkeypatch, folder, checkpoint_s=0)
    assert not (folder / "checkpoints").exists()
    assert run(folder).epochs == [("bn", 1), ("bn", 2), ("gn", 1), ("gn", 2)]
    assert outcomes(folder) == undisturbed


def test_a_state_that_is_of_no_use_is_told_of_and_goes(tmp_path, monkeypatch, undrawn):
    folder = tmp_path / "e"
    stop_in_step(5, monkeypatch, folder)
    (kept,) = (folder / "checkpoints").iterdir()
    kept.write_bytes(b"nothing of the kind")
    told = [sentence for sentence in run(folder).sentences if "left aside" in sentence]
    assert told == [f"{kept} is left aside, and its training begins anew: it is damaged."]
    assert not (folder / "checkpoints").exists()


def test_how_often_is_checked_and_asked_for(tmp_path, normscope):
    asked = read_experiment(norms=["bn"], seeds=1, dataset="shapes")
    assert check(asked, out=tmp_path / "e").checkpoint_s == 30
    with pytest.raises(
        UsageError, match="checkpoint_s must be 0 seconds, for never, or more, not -1"
    ):
        check(asked, out=tmp_path / "e", checkpoint_s=-1)
    done = normscope("compare", "--checkpoint-every", "often", "--dry-run")
    assert done.returncode == 2
    assert "'often' is no time span" in done.stderr


def test_a_command_says_how_often(tmp_path, normscope, monkeypatch):
    seen = []
    monkeypatch.setattr("normscope.cli.experiments._run", lambda checked, *_: seen.append(checked))
    for options in ((), ("--checkpoint-every", "10m"), ("--checkpoint-every", "0s")):
        assert normscope("compare", "--dataset", "shapes", *options).returncode == 0
    assert [checked.checkpoint_s for checked in seen] == [30, 600, 0]


def test_nothing_is_kept_every_0_seconds(tmp_path):
    class Empty:
        class files:
            checkpoints = tmp_path

        records = staticmethod(lambda: [])
        facts = staticmethod(make_facts)

    assert States(Empty, 0).keeping is None
    assert States(Empty, 5.0).keeping.every_s == 5


def test_code_that_may_have_been_edited_under_its_name_does_not_go_on(
    tmp_path, monkeypatch, undrawn
):
    """Of a norm that a script puts into the table an id holds the name alone."""
    monkeypatch.setitem(NORMS, "mine", lambda channels: nn.GroupNorm(1, channels))
    folder = tmp_path / "e"
    assert stop_in_step(5, monkeypatch, folder, norms=["mine", "bn"]) == 5
    assert not (folder / "checkpoints").exists()
    monkeypatch.setitem(NORMS, "mine", lambda channels: nn.GroupNorm(4, channels))
    run(folder, norms=["mine", "bn"])
    run(tmp_path / "fresh", norms=["mine", "bn"])
    assert outcomes(folder) == outcomes(tmp_path / "fresh")


def test_a_state_that_was_made_with_other_images_is_left_aside(tmp_path, monkeypatch, undrawn):
    folder = tmp_path / "e"
    assert stop_in_step(5, monkeypatch, folder) == 5
    monkeypatch.setattr("normscope.study.states.sha256", lambda data: md5(data))
    notes = run(folder)
    assert notes.epochs[:2] == [("bn", 1), ("bn", 2)]
    assert any("it was kept with data " in sentence for sentence in notes.sentences)


def test_workers_elsewhere_are_told_the_whole_path(tmp_path, monkeypatch, undrawn):
    run(tmp_path / "e")
    monkeypatch.chdir(tmp_path)
    assert States(Store(Path("e")), 30.0).keeping.folder == tmp_path / "e" / "checkpoints"


def test_states_of_trials_that_ended_go_when_the_folder_is_opened(tmp_path, undrawn):
    """One is left where a signal comes between the last step and the record."""
    folder = tmp_path / "e"
    run(folder)
    (folder / "checkpoints").mkdir()
    for record in Store(folder).records():
        (folder / "checkpoints" / f"{record.trial.id}.safetensors").touch()
    States(Store(folder), 30.0)
    assert not (folder / "checkpoints").exists()
