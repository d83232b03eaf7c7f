"""Folders that earlier versions wrote open for ever, give the same numbers, and are extended."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_fakes import fitting, make_labels, make_model, make_results

from normscope.errors import RunError
from normscope.experiment import Request
from normscope.experiment.plan import plan
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.study.doctor import examine
from normscope.study.stored import results_stored

FORMAT_1 = Path(__file__).with_name("format1")  # of two norms and two seeds, one trial is missing
RESULTS = Path(__file__).parents[2] / "docs" / "results"
LABELS = make_labels(30, 3)

# Of each folder in docs/results: how many trials, and the mean accuracy in percent of all of them.
PUBLISHED = {
    "cifar10-resnet20-fast": (6, 72.1667),
    "cifar10-resnet9-page": (1, 93.6200),
    "cifar10-s8-bump": (5, 75.8380),
    "cifar10-s8-channels": (55, 68.4942),
    "cifar10-s8-course": (9, 76.5956),
    "cifar10-s8-lanes": (15, 75.2453),
    "cifar10-s8-lanes-bf16": (15, 75.0500),
    "cifar10-s8-res": (9, 74.5733),
    "cifar10-s8-s8": (30, 75.0090),
    "cifar10-s8-s8-batchsizes": (16, 75.7556),
    "cifar10-s8-s8-modern": (9, 80.8956),
    "cifar10-s8-s8-norms": (36, 68.5442),
    "cifar10-s8-s8-precisionbf16": (15, 75.0033),
    "cifar10-s8-statbatch": (18, 74.7933),
}


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FORMAT_1, tmp_path / "e")


def everything_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_published_folder_is_named():
    assert {path.name for path in RESULTS.iterdir() if path.is_dir()} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_folder_gives_the_accuracies_that_it_gave(name):
    """By its trials.csv, where one was kept; by hand from the predictions in all of them."""
    store = Store(RESULTS / name)
    results = results_stored(store)
    right = {
        result.trial.id: 100 * float((predictions.classes == store.test_labels()).mean())
        for result, predictions in zip(results, store.predictions(results), strict=True)
        if predictions
    }
    found = {
        r.trial.id: r.history[-1].test_accuracy_percent for r in results if r.trial.id in right
    }
    assert found == pytest.approx(right)
    count, mean = PUBLISHED[name]
    assert len(found) == count
    assert np.mean([*found.values()]) == pytest.approx(mean, abs=1e-4)
    table = RESULTS / name / "trials.csv"
    if table.exists():
        listed = pd.read_csv(table).set_index("trial")["test_accuracy_percent"]
        finished = listed.dropna().to_dict()  # of one that collapsed it tells no accuracy
        assert {trial_id: found[trial_id] for trial_id in finished} == pytest.approx(finished)


def test_a_report_leaves_an_old_folder_as_it_was(folder):
    before = everything_in(folder)
    analysis = Comparison.read(folder).analysis
    assert everything_in(folder) == before
    assert [norm.finished for norm in analysis.norms] == [2, 1]
    assert not any(caveat.kind == "damaged folder" for caveat in analysis.caveats)
    assert len(analysis.probes) == 3
    found = examine(folder)
    assert (found.well, found.trials, found.without_record) == (True, 3, 1)


def extended(folder):
    """A further norm and the missing trial, as `compare` adds them."""
    store = Store(folder)
    wider = store.experiment.model_copy(update={"norms": ("bn", "gn", "ln")})
    asked = Request(date="2027-01-01", command="y", norms=wider.norms, seeds=2, results_before=3)
    store.ask(wider, asked)
    models = [make_model(norm, 3) for norm in wider.norms]
    store.describe(store.facts(), store.test_labels(), models)
    missing = {trial.id for trial in store.missing(plan(wider))}
    for result in make_results(wider, LABELS, 3):
        if result.trial.id in missing:
            store.add(fitting(result, LABELS))
    return missing


def test_an_old_folder_is_extended_and_its_trials_stay_as_they_are(folder):
    before = everything_in(folder)
    accuracies = Comparison.read(folder).table().set_index("norm")["test_accuracy_percent_mean"]
    assert len(extended(folder)) == 3
    trials = {path: content for path, content in before.items() if "trials" in path.parts}
    assert trials.items() <= everything_in(folder).items()
    table = Comparison.read(folder).table().set_index("norm")
    assert table["finished"].tolist() == [2, 2, 2]
    assert table["test_accuracy_percent_mean"]["bn"] == accuracies["bn"]
    assert examine(folder).well
    assert Store(folder).kept.sealed


def test_from_then_on_what_is_old_is_guarded_as_well(folder):
    extended(folder)
    old = [*sorted(FORMAT_1.glob("trials/*/*.*")), FORMAT_1 / "pictures" / "7.png"]
    for path in (folder / each.relative_to(FORMAT_1) for each in old):
        content = path.read_bytes()
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        assert len(examine(folder).findings) == 1, path
        path.write_bytes(content)
    assert examine(folder).well


def test_the_list_of_what_is_old_is_kept_twice(folder):
    extended(folder)
    (folder / "earlier.json").write_bytes(b"{}")
    assert len(Comparison.read(folder).analysis.results) == 6
    assert [finding.path for finding in examine(folder).findings] == ["earlier.json"]
    (folder / "earlier.backup.json").unlink()
    with pytest.raises(RunError, match=r"earlier.json is damaged \(it is not what was written\)"):
        Store(folder)


def test_an_altered_accuracy_in_an_old_record_does_not_fit_its_predictions(folder):
    path = min(folder.glob("trials/*/record.json"))
    record = json.loads(path.read_text())
    record["history"][-1]["test_accuracy_percent"] += 5
    path.write_text(json.dumps(record))
    with pytest.raises(RunError, match=rf"{path.parent.name} \(its history ends at"):
        Comparison.read(folder)


def test_old_labels_are_held_against_the_check_sum_that_came_with_them(folder):
    labels = LABELS.copy()
    labels[:2] = labels[1::-1]
    np.save(folder / "test_labels.npy", labels)
    with pytest.raises(RunError, match=r"test_labels.npy is damaged .*check sum"):
        Comparison.read(folder)


def test_an_upgrade_that_was_interrupted_is_finished(folder, monkeypatch):
    """After any of its steps the folder says the same, and the next one goes on."""
    from normscope.store import store as module

    usual, steps = module._write, []

    def stopping(path, content):
        if len(steps) == stop:
            raise KeyboardInterrupt
        steps.append(path.name)
        usual(path, content)

    for stop in range(4):
        steps.clear()
        again = shutil.copytree(FORMAT_1, folder.with_name(str(stop)))
        with monkeypatch.context() as patch:
            patch.setattr(module, "_write", stopping)
            with pytest.raises(KeyboardInterrupt):
                Store(again).extend(3)
        assert len(Store(again).records()) == 3
        Store(again).extend(3)
        assert Store(again).kept.sealed
        assert Store(again).experiment.seeds == 3
        assert len(Comparison.read(again).analysis.results) == 3
    assert steps == ["earlier.backup.json", "earlier.json", "experiment.backup.json"]
