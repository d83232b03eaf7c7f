"""Reading many trials: by several processes, to the same end."""

import os

import numpy as np
import pytest
from report_fakes import fitting, make_experiment, make_facts, make_labels, make_result

from normscope import parallel
from normscope.analysis.tallies import Scoring
from normscope.errors import RunError
from normscope.experiment import Request
from normscope.experiment.plan import plan
from normscope.seals import open_text, seal_text
from normscope.store import Store, many, records

LABELS = make_labels(50)


@pytest.fixture
def folder(tmp_path):
    """An experiment of twelve trials, of which one failed and one is not there."""
    experiment = make_experiment(seeds=4)
    request = Request(date="2026-01-01", command="x", norms=experiment.norms, seeds=4)
    store = Store.create(tmp_path / "runs", experiment, request)
    store.describe(make_facts(test_size=len(LABELS)), LABELS, [])
    for number, trial in enumerate(plan(experiment)[:11]):
        result = fitting(make_result(experiment, trial, LABELS), LABELS)
        if number == 4:
            result = result.model_copy(update={"status": "failed", "predictions": None})
        store.add(result)
    return store.folder


@pytest.fixture
def by_several(monkeypatch):
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    monkeypatch.setattr(many, "MUCH", 1)
    monkeypatch.setattr(many, "AT_ONCE", 2 * (many.READING + 10 * len(LABELS)))  # two trials


def scored(folder):
    store = Store(folder)
    return list(store.summarised(store.records(), Scoring(LABELS)))


def where(told, predictions):
    """A summary: which process read them, and how many at once."""
    return [(os.getpid(), len(told)) for _ in predictions]


def test_several_processes_find_what_one_finds(folder, request):
    alone = scored(folder)
    request.getfixturevalue("by_several")
    together = scored(folder)
    assert [each is None for each in together].count(True) == 1
    for one, other in zip(alone, together, strict=True):
        if one is None:
            assert other is None
            continue
        assert one.scores == other.scores
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_array_equal(one.confidences, other.confidences)


def test_memory_holds_some_of_the_predictions(folder, by_several):
    store = Store(folder)
    found = [each for each in store.summarised(store.records(), where) if each]
    assert {process for process, _ in found}.isdisjoint([os.getpid()])
    assert {count for _, count in found} == {1, 2}  # one beside the trial that failed


def test_all_that_is_damaged_is_named_after_the_last(folder, by_several):
    store = Store(folder)
    results = store.records()
    finished = [each.trial.id for each in results if each.status == "finished"]
    for trial_id in finished[1], finished[8]:
        path = folder / "trials" / trial_id / "predictions.npz"
        path.write_bytes(path.read_bytes()[:-1])
    found = []
    with pytest.raises(RunError, match=r"2 trials in .*it is not what was written") as error:
        found.extend(store.summarised(results, Scoring(LABELS)))
    assert len(found) == len(results)
    assert [each is None for each in found].count(True) == 3
    assert all(each in str(error.value) for each in (finished[1], finished[8]))


def refusing(told, predictions):
    """A summary that raises, in whichever process."""
    raise RunError(f"nothing is made of {told[0].trial_id} in {os.getpid()}")


def test_an_error_is_that_of_one_process(folder, by_several):
    store = Store(folder)
    results = store.records()
    first = next(each.trial.id for each in results if each.status == "finished")
    with pytest.raises(RunError, match=f"nothing is made of {first} in {os.getpid()}"):
        list(store.summarised(results, refusing))


def records_or_error(folder):
    try:
        return Store(folder).records()
    except RunError as error:
        return str(error)


@pytest.fixture
def readings(monkeypatch):
    """In which processes records were read and checked, as this process knows of its own."""
    here, usual = [], records.sealed_record
    monkeypatch.setattr(records, "sealed_record", lambda *args: here.append(1) or usual(*args))
    return here


def test_several_processes_read_the_records_that_one_reads(folder, readings, request):
    alone = records_or_error(folder)
    assert len(readings) == len(alone) == 11
    request.getfixturevalue("by_several")
    assert records_or_error(folder) == alone
    assert len(readings) == 11


def flipped(trial):
    content = bytearray((trial / "record.json").read_bytes())
    content[len(content) // 2] ^= 1
    (trial / "record.json").write_bytes(content)


def without_predictions(trial):
    (trial / "predictions.npz").unlink()


def sealed_anew(trial):
    """Damage that only who parses it finds."""
    text, about = open_text((trial / "record.json").read_bytes())
    (trial / "record.json").write_bytes(seal_text(text.decode().replace("finished", "done"), about))


def of_another(trial):
    other = next(each for each in sorted(trial.parent.iterdir()) if each != trial)
    for name in ("record.json", "predictions.npz"):
        (trial / name).write_bytes((other / name).read_bytes())


@pytest.mark.parametrize("damage", [flipped, without_predictions, sealed_anew, of_another])
def test_they_find_the_same_damage(folder, damage, request):
    results = Store(folder).records()
    damage(folder / "trials" / [r.trial.id for r in results if r.status == "finished"][7])
    alone = records_or_error(folder)
    assert isinstance(alone, str)
    request.getfixturevalue("by_several")
    assert records_or_error(folder) == alone
