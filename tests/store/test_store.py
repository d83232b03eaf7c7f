"""The folder of an experiment: atomic, resumable, extendable, and safe to move."""

import errno
import json
import shutil
import time
from threading import Event, Thread

import numpy as np
import pytest
from filelock import FileLock
from report_fakes import (
    collapsed,
    diverged,
    failed,
    fitting,
    make_experiment,
    make_facts,
    make_labels,
    make_model,
    make_result,
)
from safetensors import SafetensorError
from safetensors.numpy import load_file

from normscope.errors import RunError, UsageError
from normscope.experiment import Experiment, Predictions, Request
from normscope.experiment.plan import make_trial, plan
from normscope.seals import seal_text
from normscope.store import Store, records
from normscope.store.folder import ExperimentFolder
from normscope.store.lock import FolderLock


def request(experiment):
    return Request(date="2026-01-01", command="x", norms=experiment.norms, seeds=experiment.seeds)


def opened(folder, experiment):
    return Store.create(folder, experiment, request(experiment))


@pytest.fixture
def experiment():
    return make_experiment(norms=("bn", "gn"), seeds=2, epochs=3)


@pytest.fixture
def store(tmp_path, experiment):
    return opened(tmp_path / "runs" / "e", experiment)


def results_in(folder):
    """Every result in a folder, as whoever opens it now reads them."""
    store = Store(folder)
    return store.results([record.trial for record in store.records()])


def result(experiment, norm="bn", seed=0):
    trial = make_trial(experiment, norm, experiment.recipe, seed)
    return fitting(make_result(experiment, trial, make_labels(50)), make_labels(50))


def test_what_is_added_is_read_back(store, experiment):
    weights = {
        "plain": np.arange(6, dtype=np.float32).reshape(2, 3),
        "channels_last": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2).transpose(0, 3, 1, 2),
    }
    added = result(experiment).model_copy(update={"weights": weights})
    store.add(added)
    (read,) = results_in(store.folder)
    assert read.model_dump() == added.model_dump()
    np.testing.assert_array_equal(read.predictions.classes, added.predictions.classes)
    np.testing.assert_array_equal(read.predictions.logits, added.predictions.logits)
    kept = load_file(store.folder / "trials" / added.trial.id / "weights.safetensors")
    for name, value in weights.items():
        np.testing.assert_array_equal(kept[name], value)


def test_a_collapsed_trial_keeps_everything_and_is_not_run_again(store, experiment):
    added = fitting(collapsed(result(experiment, "gn", 1)), make_labels(50))
    store.add(added.model_copy(update={"weights": {"plain": np.zeros(3, np.float32)}}))
    (read,) = results_in(store.folder)
    assert read.model_dump() == added.model_dump()
    assert read.status == "collapsed"
    np.testing.assert_array_equal(read.predictions.logits, added.predictions.logits)
    assert (store.folder / "trials" / added.trial.id / "weights.safetensors").exists()
    assert added.trial not in store.missing(plan(experiment))


def test_missing_is_what_has_no_record_or_failed(store, experiment):
    trials = plan(experiment)
    assert store.missing(trials) == trials
    store.add(result(experiment, "bn", 0))
    store.add(diverged(result(experiment, "gn", 0), after=1))
    store.add(failed(result(experiment, "bn", 1), "Traceback\nRuntimeError: no memory"))
    assert [(t.norm, t.seed) for t in store.missing(trials)] == [("bn", 1), ("gn", 1)]
    store.add(result(experiment, "bn", 1))
    assert [(t.norm, t.seed) for t in store.missing(trials)] == [("gn", 1)]


def test_a_half_written_record_is_no_record(store, experiment):
    partial = store.folder / "trials" / f".bn-seed0-abc.{2**22 + 1}.partial"  # of no process
    partial.mkdir()
    (partial / "record.json").write_text("{", encoding="utf-8")
    assert results_in(store.folder) == []
    assert store.missing(plan(experiment)) == plan(experiment)
    Store.clear_up(store.folder)
    assert not partial.exists()  # no process has such a number


def test_a_write_that_fails_leaves_the_earlier_record(store, experiment):
    store.add(result(experiment))
    before = results_in(store.folder)[0].model_dump()
    broken = result(experiment).model_copy(update={"weights": {"w": "no array"}, "seconds": 1.0})
    with pytest.raises(SafetensorError):
        store.add(broken)
    assert results_in(store.folder)[0].model_dump() == before


def test_a_disk_that_takes_no_more_says_so_and_keeps_what_is_there(store, experiment):
    store.describe(make_facts(test_size=50), make_labels(50), [])
    store.add(result(experiment))
    images = np.zeros((50, 32, 32, 3), np.uint8)
    writes = [
        lambda: store.add(result(experiment, "gn")),
        lambda: store.describe(make_facts(test_size=50), make_labels(50), []),
        lambda: store.add_pictures(images, [1]),
        lambda: store.extend(9),
    ]
    resource = pytest.importorskip("resource")  # limits of a process are Unix's
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # bytes in a file
    try:
        for write in writes:
            with pytest.raises(RunError, match=r"cannot write .* \(File too large\); make room"):
                write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = Store(store.folder)
    assert [r.trial for r in results_in(kept.folder)] == [result(experiment).trial]
    assert kept.experiment.seeds == 2
    np.testing.assert_array_equal(kept.test_labels(), make_labels(50))
    assert not list(kept.pictures.iterdir())
    assert not list(store.folder.rglob("*.partial"))
    for write in writes:
        write()
    assert len(results_in(store.folder)) == 2
    assert not list(store.folder.rglob("*.partial"))


def test_a_copy_of_a_trial_is_no_further_seed(store, experiment):
    store.add(result(experiment))
    (folder,) = store.folder.glob("trials/*")
    shutil.copytree(folder, folder.with_name(f"{folder.name} (copy)"))
    with pytest.raises(RunError, match=r"\(copy\) holds no trial"):
        results_in(store.folder)


def test_a_record_that_was_moved_to_another_trial(store, experiment):
    for norm in ("bn", "gn"):
        store.add(result(experiment, norm))
    bn, gn = sorted(store.folder.glob("trials/*"))
    bn.rename(bn.with_name("kept"))
    gn.rename(bn)
    with pytest.raises(RunError, match=f"{bn.name} holds no trial"):
        results_in(store.folder)


def test_predictions_damaged_anywhere_are_an_error_that_names_the_folder(store, experiment):
    store.add(result(experiment))
    (path,) = store.folder.glob("trials/*/predictions.npz")
    whole = path.read_bytes()
    named = rf"{path.parent.name} \(predictions.npz: it is not what was written\)"
    path.write_bytes(b"")
    with pytest.raises(RunError, match=named):
        results_in(store.folder)
    for i in range(0, len(whole), 7):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        with pytest.raises(RunError, match=named):
            results_in(store.folder)


@pytest.mark.parametrize("damage", ["no history", "few classes", "few rows"])
def test_a_record_whose_parts_do_not_fit(store, experiment, damage):
    store.describe(make_facts(test_size=50), make_labels(50), [])
    made = result(experiment)
    classes, logits = made.predictions.classes, made.predictions.logits
    changes = {
        "no history": {"history": ()},
        "few classes": {"predictions": Predictions(classes[:9], logits)},
        "few rows": {"predictions": Predictions(classes[:9], logits[:9])},
    }
    store.add(made.model_copy(update=changes[damage]))
    said = {
        "no history": "epochs are missing",
        "few classes": "these are no predictions",
        "few rows": "not for the test images",
    }[damage]
    with pytest.raises(
        RunError, match=f"being damaged: .*{said}.*only damaged trials are repeated"
    ):
        results_in(store.folder)


def test_a_damaged_record_names_its_folder(store, experiment):
    store.add(result(experiment))
    record = next(store.folder.glob("trials/*/record.json"))
    record.write_text(record.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(RunError, match=rf"{record.parent.name} \(record.json: its seal is gone\)"):
        results_in(store.folder)
    unknown = result(experiment).model_dump_json().replace('"finished"', '"unknown"')
    record.write_bytes(seal_text(unknown, {"files": {}}))
    with pytest.raises(RunError, match=r"\(record.json: status: Input should be 'finished'"):
        results_in(store.folder)


def test_the_same_request_again_is_remembered_once(store, experiment):
    later = request(experiment).model_copy(update={"date": "2026-01-02"})
    store.ask(experiment, later)
    assert Store(store.folder).requests == store.requests == (request(experiment),)


def test_an_extension_is_written_with_its_request(store):
    wider = make_experiment(norms=("bn", "gn", "ln"), seeds=3, epochs=3)
    store.add(result(store.experiment))
    store.ask(wider, request(wider))
    again = Store(store.folder)
    assert again.experiment == store.experiment == wider
    assert [r.seeds for r in again.requests] == [2, 3]
    assert [r.trial for r in again.records()] == [r.trial for r in store.records()]


def test_another_result_format_is_refused(store):
    path = store.folder / "experiment.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "result_format": 99}), encoding="utf-8")
    with pytest.raises(UsageError, match="result format 99, this normscope reads 1"):
        Store(store.folder)


@pytest.mark.parametrize(
    "recipe",
    [
        {"name": "course", "augmentation": "none"},  # which is usual, but not of that recipe
        {"base": "s8", "name": "mine", "schedule": "cosine"},
        {"name": "s8-modern", "batch_size": 64},
    ],
    ids=str,
)
def test_whatever_recipe_is_asked_for_is_read_back(tmp_path, recipe):
    asked = Experiment(recipe=recipe)
    opened(tmp_path / "e", asked)
    assert Store(tmp_path / "e").experiment == asked


NO_RECIPE = '{"result_format": 1, "experiment": {}, "requests": []}'


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"result_format": 1}', NO_RECIPE])
def test_a_damaged_header(store, text):
    (store.folder / "experiment.json").write_text(text, encoding="utf-8")
    (store.folder / "experiment.backup.json").unlink()
    with pytest.raises((RunError, UsageError), match=r"damaged|result format None"):
        Store(store.folder)


def test_no_experiment_here(tmp_path):
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        Store(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path, experiment):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match=r"cannot write .*out \(Not a directory\)"):
        opened(tmp_path / "file" / "out", experiment)
    with pytest.raises(RunError, match="cannot write"), Store.lock(tmp_path / "file" / "out"):
        pass


def test_another_process_is_waited_for_and_told_of(store):
    files, said = ExperimentFolder(store.folder), []
    for path in (files.lock, files.report_lock):
        with FileLock(path):  # as another process has it
            lock = FolderLock(path, "", 0.2, lambda: said.append("waiting"))
            with pytest.raises(RunError, match="another normscope has been writing"), lock:
                pass
    assert said == ["waiting"] * 2
    with Store.lock(store.folder), Store.lock(store.folder):  # this process may have it again
        pass


def test_a_report_is_waited_for_however_long_it_takes(store):
    path = ExperimentFolder(store.folder).report_lock
    has_it, said = Event(), []

    def hold():
        with FileLock(path):
            has_it.set()
            time.sleep(0.3)
            said.append("released")

    thread = Thread(target=hold)
    thread.start()
    has_it.wait()
    with Store.report_lock(store.folder, lambda: said.append("waiting")):
        assert said == ["waiting", "released"]
    thread.join()


def test_one_process_at_a_time_where_the_file_system_has_no_flock(store, monkeypatch):
    def missing(file, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    path = ExperimentFolder(store.folder).lock
    with (
        pytest.warns(UserWarning, match="flock not supported"),
        FileLock(path),
        pytest.raises(RunError, match="another normscope"),
        FolderLock(path, "", 0.1),
    ):
        pass
    with FolderLock(path, "", 0.1):
        pass


def test_lost_predictions_are_not_passed_over(store, experiment):
    store.add(result(experiment))
    next(store.folder.glob("trials/*/predictions.npz")).unlink()
    with pytest.raises(RunError, match=r"damaged: bn-seed0-.* \(predictions.npz is gone\)"):
        results_in(store.folder)


def test_what_a_report_needs_is_in_the_folder(store, experiment, tmp_path):
    facts, labels = make_facts(test_size=50), make_labels(50)
    store.describe(facts, labels, [make_model("bn"), make_model("gn")])
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    store.add_pictures(images, [3, 7])
    moved = tmp_path / "elsewhere"
    store.folder.rename(moved)
    store = Store(moved)
    assert store.facts() == facts
    assert store.models() == {"bn": make_model("bn"), "gn": make_model("gn")}
    np.testing.assert_array_equal(store.test_labels(), labels)
    from PIL import Image

    with Image.open(store.pictures / "7.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), images[7])


def test_results_of_other_data_are_not_mixed(store, experiment):
    facts = make_facts(test_size=50)
    store.describe(facts, make_labels(50), [])
    store.add(result(experiment))
    other = facts.model_copy(update={"checksums": {"train_images": "00"}})
    store.check_data(facts, make_labels(50), store.records())
    store.check_data(other, make_labels(50), [])
    with pytest.raises(RunError, match="come from other cifar10 data"):
        store.check_data(other, make_labels(50), store.records())


def test_a_folder_from_before_classes_were_counted_takes_the_same_data(store, experiment):
    """And only then has their numbers; until then its file stays as it was."""
    old, labels = make_facts(test_size=50), make_labels(50)
    store.describe(old, labels, [])
    path = store.folder / "dataset.json"
    written = path.read_bytes()
    assert b"counts" not in written
    store.add(result(experiment))
    assert Store(store.folder).facts() == old
    counts = {"train_counts": (5000,) * 10, "test_counts": (5,) * 10}
    new = old.model_copy(update=counts)
    store.check_data(new, labels, store.records())
    assert path.read_bytes() == written
    store.describe(new, labels, [])
    assert Store(store.folder).facts() == new


def test_without_facts_the_accuracies_tell_whether_data_are_the_same(store, experiment):
    labels = make_labels(50)
    store.add(result(experiment))
    store.add(diverged(result(experiment, "gn"), after=1))
    results = results_in(store.folder)
    for other in (labels[::-1].copy(), labels[:40]):
        with pytest.raises(RunError, match="come from other cifar10 data"):
            store.check_data(make_facts(test_size=50), other, results)
    store.check_data(make_facts(test_size=50), labels, results)


@pytest.mark.parametrize("name", ["dataset.json", "models.json", "test_labels.npy"])
@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_a_damaged_description_names_the_file(store, name, content):
    store.describe(make_facts(test_size=50), make_labels(50), [])
    (store.folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=rf"{name} is damaged \(.*\); run the experiment again"):
        _ = store.facts(), store.models(), store.test_labels()


@pytest.mark.parametrize("labels", [np.zeros(5), np.zeros((50, 2)), np.full(50, 77)])
def test_labels_that_are_not_of_the_data(store, labels):
    store.describe(make_facts(test_size=50), labels, [])
    with pytest.raises(RunError, match=r"test_labels.npy is damaged \(.*\); run the experiment"):
        store.test_labels()


def test_a_folder_without_facts_says_what_to_do(store):
    with pytest.raises(RunError, match=r"dataset.json is missing; run the experiment again"):
        store.facts()


# -- how often it reads ----------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """Counts what is read from the disk: records, and the predictions beside them."""
    counts = {"sealed_record": 0, "read_predictions": 0}

    def counting(name):
        read = getattr(records, name)

        def count(*arguments):
            counts[name] += 1
            return read(*arguments)

        return count

    for name in counts:
        monkeypatch.setattr(records, name, counting(name))
    return counts


def test_an_open_store_reads_each_record_once(store, experiment, reads):
    for seed in (0, 1):
        store.add(result(experiment, "bn", seed))
    later = Store(store.folder)
    assert reads == {"sealed_record": 0, "read_predictions": 0}
    for _ in range(3):
        assert len(later.missing(plan(experiment))) == 2
        assert len(later.records()) == 2
    assert reads == {"sealed_record": 2, "read_predictions": 0}  # a status needs no predictions
    assert len(later.of(plan(experiment))) == 2
    assert reads == {"sealed_record": 2, "read_predictions": 0}
    for _ in range(2):  # they are not held
        assert len(later.results(plan(experiment))) == 2
    assert reads == {"sealed_record": 2, "read_predictions": 4}
    later.add(result(experiment, "gn", 0))
    assert len(later.results(plan(experiment))) == 3
    assert reads == {"sealed_record": 2, "read_predictions": 7}
