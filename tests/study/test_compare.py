"""The whole pipeline on small experiments: repeat, resume, extend, interrupt, report elsewhere."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from torch import nn

import normscope
from normscope import data
from normscope.errors import RunError, UsageError
from normscope.experiment.reading import read_experiment
from normscope.norms import NORMS
from normscope.observers import PlainLines
from normscope.store import Store
from normscope.study.checks import check
from normscope.study.compare import compare
from normscope.study.forecast import forecast

SMALL = {"epochs": 1, "train_limit": 192, "test_limit": 100}


def small(**changes):
    return read_experiment(**{**SMALL, "norms": ["bn", "gn"], "seeds": 2, **changes})


def records(folder):
    return {p.parent.name: p.read_bytes() for p in folder.glob("trials/*/record.json")}


class Watcher(PlainLines):
    """Remembers which trials were started."""

    def __init__(self):
        super().__init__()
        self.trials = []

    def trial_started(self, trial):
        super().trial_started(trial)
        self.trials.append((trial.norm, trial.seed))


def run(experiment, folder):
    watcher = Watcher()
    return compare(experiment, out=folder, workers=1, observer=watcher), watcher.trials


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "e"
    comparison, trials = run(small(), folder)
    return comparison, trials


@pytest.fixture
def copied(done, tmp_path):
    return shutil.copytree(done[0].folder, tmp_path / "copy")


def test_blocks_are_run_in_order_and_everything_is_written(done):
    comparison, trials = done
    assert trials == [("bn", 0), ("gn", 0), ("bn", 1), ("gn", 1)]
    names = {path.name for path in comparison.folder.iterdir()}
    assert {"report.html", "results.csv", "trials.csv", "summary.md", "figures", "pictures",
            "experiment.json", "dataset.json", "models.json", "test_labels.npy",
            } <= names  # fmt: skip
    assert len(pd.read_csv(comparison.folder / "results.csv")) == 4


def test_the_table_is_computed_from_the_stored_predictions(done):
    comparison, _ = done
    labels = np.load(comparison.folder / "test_labels.npy")
    table = comparison.table().set_index("norm")
    for norm in ("bn", "gn"):
        accuracies = []
        for path in comparison.folder.glob(f"trials/{norm}-*/predictions.npz"):
            with np.load(path) as arrays:
                accuracies.append(100 * (arrays["classes"] == labels).mean())
        assert len(accuracies) == 2
        mean, sd = np.mean(accuracies), np.std(accuracies, ddof=1)
        assert table.loc[norm, "test_accuracy_percent_mean"] == pytest.approx(mean)
        assert table.loc[norm, "test_accuracy_percent_sd"] == pytest.approx(sd)


def test_the_same_again_trains_nothing(copied, undrawn):
    before = records(copied)
    _, trials = run(small(), copied)
    assert trials == []
    assert records(copied) == before


def test_another_norm_later_leaves_the_old_records_and_starts_alike(copied):
    before = records(copied)
    comparison, trials = run(small(norms=["ln"]), copied)
    assert trials == [("ln", 0), ("ln", 1)]
    after = records(copied)
    assert {name: after[name] for name in before} == before
    assert sorted(comparison.table()["norm"]) == ["bn", "gn", "ln"]


def test_a_trial_is_the_same_alone_as_in_company(copied, tmp_path, undrawn):
    """ln added later to a folder equals ln trained in a folder of its own."""
    run(small(norms=["ln"]), copied)
    alone, _ = run(small(norms=["ln"]), tmp_path / "alone")
    for own in alone.folder.glob("trials/ln-*"):
        other = copied / "trials" / own.name
        for name, value in load_file(own / "weights.safetensors").items():
            assert np.array_equal(value, load_file(other / "weights.safetensors")[name])


def test_own_seeds_are_trained_paired_and_reported(tmp_path):
    comparison, trials = run(small(seeds=(1, 7)), tmp_path)
    assert trials == [("bn", 1), ("gn", 1), ("bn", 7), ("gn", 7)]
    verdict = comparison.analysis.norms[1].verdict
    assert verdict.judgement.pairs.seeds == (1, 7)
    assert "<dd>1, 7</dd>" in comparison.page.read_text(encoding="utf-8")
    more, trials = run(small(seeds=(7, 9)), tmp_path)
    assert trials == [("bn", 9), ("gn", 9)]
    assert more.analysis.norms[1].verdict.judgement.pairs.seeds == (1, 7, 9)


def test_more_seeds_train_only_the_new_block(copied, undrawn):
    _, trials = run(small(seeds=3), copied)
    assert trials == [("bn", 2), ("gn", 2)]
    requests = json.loads((copied / "experiment.json").read_text())["requests"]
    assert [request["seeds"] for request in requests] == [2, 3]


def test_an_interrupted_experiment_goes_on(tmp_path):
    class Impatient(Watcher):
        def trial_started(self, trial):
            super().trial_started(trial)
            if len(self.trials) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(small(), out=tmp_path / "e", workers=1, observer=Impatient())
    kept = records(tmp_path / "e")
    assert len(kept) == 2
    partial = normscope.Comparison.read(tmp_path / "e")
    page = partial.report().read_text(encoding="utf-8")
    assert "1 of 2 trials finished" in page
    assert "lacks this picture" not in page
    _, trials = run(small(), tmp_path / "e")
    assert trials == [("bn", 1), ("gn", 1)]
    assert kept.items() <= records(tmp_path / "e").items()


def test_a_refused_run_leaves_the_folder_as_it_was(copied, monkeypatch):
    def content():
        return {p: p.read_bytes() for p in copied.rglob("*") if p.is_file() and p.name != ".lock"}

    before = content()
    source = data.DATASETS["shapes"]
    made = source.make(5_000, 2_000)
    made.train_images[0, 0, 0] ^= 1  # a copy of its own
    monkeypatch.setitem(data.DATASETS, "shapes", replace(source, make=lambda *sizes: made))
    with pytest.raises(RunError, match="come from other shapes data"):
        compare(small(norms=["bn", "gn", "ln"], seeds=5), out=copied)
    assert content() == before


def test_a_lost_description_is_made_again(copied, undrawn):
    before = (copied / "dataset.json").read_bytes()
    for name in ("dataset.json", "models.json", "test_labels.npy"):
        (copied / name).unlink()
    run(small(), copied)
    assert (copied / "dataset.json").read_bytes() == before


def test_a_folder_alone_is_enough_for_the_report(done, copied, tmp_path):
    shutil.rmtree(copied / "figures")
    (copied / "report.html").unlink()
    page = normscope.Comparison.read(copied).report(tmp_path / "out")
    assert page.read_bytes() == (done[0].folder / "report.html").read_bytes()


def test_a_batch_larger_than_the_set_leaves_no_folder(tmp_path):
    with pytest.raises(UsageError, match="a batch of 500 is larger than the training set of 192"):
        compare(small(batch_size=500), out=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_a_norm_that_collapses_is_told_so_from_training_to_report(tmp_path, monkeypatch, capsys):
    """All that goes through such a norm is 0, so the network always answers with one class."""
    monkeypatch.setitem(NORMS, "silence", lambda channels: nn.Hardtanh(-1e-30, 0.0))
    asked = small(norms=["silence"], seeds=1, epochs=13, batch_size=8, train_limit=64)
    comparison = compare(asked, out=tmp_path, workers=1, observer=PlainLines())
    record = json.loads(next(tmp_path.glob("trials/silence-*/record.json")).read_text())
    assert (record["status"], len(record["history"])) == ("collapsed", 13)
    assert record["error"] in capsys.readouterr().out
    (stored,) = Store(tmp_path).results([comparison.analysis.results[0].trial])
    assert stored.predictions is not None
    assert str(comparison.analysis.answers[0]).startswith("silence collapsed in 1 of 1 seed")
    page = comparison.page.read_text(encoding="utf-8")
    assert f"{record['error']}</summary>" in page
    assert "0 of 1<small>1 collapsed</small>" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norms": ["bn", "batch"]}, "unknown norm 'batch'; known: bn, gn, ln"),
        ({"model": "vgg"}, "unknown model 'vgg'; known: s8, s8-gap, s8-res"),
        ({"dataset": "imagenet"}, "unknown data set 'imagenet'; known: shapes, cifar10, cifar100"),
    ],
)
def test_unknown_names_list_the_known(change, message, tmp_path):
    for use in (compare, check):
        with pytest.raises(UsageError) as caught:
            use(small(**change), out=tmp_path / "e")
        assert message in str(caught.value)


def test_the_forecast_knows_what_is_stored_and_writes_nothing(copied):
    before = sorted(copied.rglob("*"))
    foreseen = forecast(check(small(norms=["bn", "ln"]), out=copied))
    assert [t.norm for t in foreseen.todo] == ["ln", "ln"]
    assert len(foreseen.trials) == 6
    assert foreseen.seconds > 0
    stored = sum(path.stat().st_size for path in copied.glob("trials/gn-*/*"))  # two seeds
    assert foreseen.disk_bytes == pytest.approx(stored, rel=0.3)
    assert sorted(copied.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 10**6}, "larger than the training set of 192"),
        ({"train_limit": 99999}, "99999 training images of shapes were asked for; there are 5000"),
    ],
)
def test_what_the_check_refuses_compare_refuses(change, message, tmp_path):
    for use in (check, compare):
        with pytest.raises(UsageError, match=message):
            use(small(**change), out=tmp_path / "e")


def test_one_seed_says_so_in_every_output(tmp_path):
    comparison = compare(small(seeds=1, norms=["bn", "gn"]), out=tmp_path / "e", workers=1)
    for name in ("report.html", "summary.md"):
        text = (tmp_path / "e" / name).read_text(encoding="utf-8").lower()
        assert "one seed: no conclusion about the norm" in text
    assert comparison.analysis.norms[1].verdict.outcome == "undecided"


def test_real_cifar10_trains_from_python(cifar10, tmp_path):
    experiment = read_experiment(
        dataset="cifar10", norms=["bn"], seeds=1, epochs=1, train_limit=1024, test_limit=500
    )
    comparison = compare(experiment, out=tmp_path / "e")
    assert comparison.analysis.facts.class_names[:2] == ("airplane", "automobile")
    assert comparison.table()["finished"].tolist() == [1]


def test_why_the_training_ended_matters_more_than_a_disk_that_is_full(
    tmp_path, monkeypatch, undrawn
):
    class Impatient(Watcher):
        def trial_ended(self, result):
            raise KeyboardInterrupt

    def full(*_):
        raise RunError("no space left")

    monkeypatch.setattr(Store, "add_pictures", full)
    with pytest.raises(KeyboardInterrupt) as caught:
        compare(small(), out=tmp_path / "a", workers=1, observer=Impatient())
    assert str(caught.value.__cause__) == "no space left"
    with pytest.raises(RunError, match="no space left"):
        compare(small(), out=tmp_path / "b", workers=1, observer=Watcher())


def test_a_batch_size_that_was_added_after_a_look_is_a_caveat(tmp_path, undrawn):
    run(small(seeds=1, batch_sizes=[16, 32]), tmp_path)
    same, _ = run(small(seeds=2), tmp_path)  # nobody named a size: those of the folder
    assert not any(caveat.kind == "enlarged family" for caveat in same.analysis.caveats)
    more, _ = run(small(seeds=2, batch_sizes=[48]), tmp_path)
    assert any("enlarged their family: batch size 48." in c.text for c in more.analysis.caveats)
