"""Writing into a folder: whole or not at all, whatever the disk and other processes do."""

import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest
from report_fakes import failed, make_labels
from store_fakes import IMAGES, make_store, make_trials

from normscope import files
from normscope.errors import RunError
from normscope.experiment import Request
from normscope.experiment.plan import plan
from normscope.files import Broken
from normscope.store import Store, records
from normscope.study.doctor import examine

LABELS = make_labels(IMAGES)


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "e", seeds=2, trials=False)


# -- a disk that fails -----------------------------------------------------------------------------


class Disk:
    """Every call that writes to the disk is counted, and one of them fails, half done."""

    CALLS = ("fsync", "replace", "rename", "mkdir")

    def __init__(self, monkeypatch):
        self.calls, self.failing = 0, None
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))
        monkeypatch.setattr("builtins.open", self._counting_open(open))

    def fail_at(self, call):
        self.calls, self.failing = 0, call

    def _counting(self, usual):
        def counted(*arguments, **options):
            self._count()
            return usual(*arguments, **options)

        return counted

    def _counting_open(self, usual):
        """Half of what is written into the file gets there, then the disk is full."""

        def opened(path, mode="r", *arguments, **options):
            file = usual(path, mode, *arguments, **options)
            if mode != "wb":
                return file
            write = file.write

            def writing(content):
                try:
                    self._count()
                except OSError:
                    write(content[: len(content) // 2])
                    file.flush()
                    raise
                return write(content)

            return _Written(file, writing)

        return opened

    def _count(self):
        self.calls += 1
        if self.calls == self.failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Written:
    def __init__(self, file, write):
        self.file, self.write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()


def add_first(store):
    store.add(make_trials(store.experiment)[0])


def replace_failed(store):
    store.add(make_trials(store.experiment)[1])


def ask(store):
    wider = store.experiment.with_seeds(3)
    store.ask(wider, Request(date="2026-02-02", command="y", norms=wider.norms, seeds=3))


def keep_probes(store):
    result = make_trials(store.experiment)[1]
    store.keep_probes(result.trial, result.probes)


def describe(store):
    store.describe(store.facts(), LABELS, store.models().values())


def set_aside(store):
    for predictions in store.folder.glob("trials/*/predictions.npz"):
        predictions.write_bytes(b"")
    Store(store.folder).set_damaged_aside(store.facts(), LABELS)


WRITES = (add_first, replace_failed, ask, describe, keep_probes, set_aside)


@pytest.mark.parametrize("write", WRITES)
def test_every_call_to_the_disk_may_fail(tmp_path, monkeypatch, write):
    """Never half a record, always a named error, and in the end what was asked for is done."""
    begun = make_store(tmp_path / "begun", seeds=2, trials=False)
    trials = make_trials(begun.experiment)
    begun.add(failed(trials[1], "Traceback\nRuntimeError: no memory").model_copy(
        update={"weights": None, "probes": None}))  # fmt: skip
    if write in (keep_probes, set_aside):
        begun.add(trials[1])
    disk, number = Disk(monkeypatch), 0
    while True:
        number += 1
        folder = shutil.copytree(begun.folder, tmp_path / str(number))
        disk.fail_at(number)
        try:
            write(Store(folder))
        except RunError as error:
            assert f"cannot write {folder}" in str(error)  # noqa: PT017 - or it went through
            done = False
        else:
            done = disk.calls < number  # or the call was one that may fail
        disk.fail_at(None)
        assert write is set_aside or (folder / "trials" / trials[1].trial.id).exists()
        Store.clear_up(folder)
        check_whole(folder, begun.experiment, aside=write is set_aside)
        if done:
            break
        write(Store(folder))
        check_whole(folder, begun.experiment, aside=write is set_aside)
    assert number > 3


def check_whole(folder, experiment, aside):
    """Nothing is wrong with a folder but what was before; the trial that was there still is."""
    kept = make_trials(experiment)[1].trial.id
    places = [folder / "trials" / kept, *folder.glob(f"damaged/{kept}-*")]
    assert sum(place.exists() for place in places) == 1
    assert examine(folder).well or (aside and places[0].exists())
    assert not list(folder.rglob("*.partial"))


# -- other processes -------------------------------------------------------------------------------


def test_of_two_processes_that_add_the_same_trial_the_first_counts(store):
    other = Store(store.folder)
    result = make_trials(store.experiment)[0]
    assert store.records() == other.records() == []
    store.add(result)
    other.add(result.model_copy(update={"seconds": 1.0}))
    (kept,) = Store(store.folder).records()
    assert kept.seconds == result.seconds
    assert other.records() == [kept]
    assert other.results([result.trial])[0].predictions is not None
    assert not list(store.folder.rglob("*.partial"))


def test_a_failed_try_is_replaced_also_if_another_process_wrote_it(store):
    other = Store(store.folder)
    result = make_trials(store.experiment)[0]
    assert store.records() == other.records() == []
    lost = failed(result, "Traceback\nRuntimeError: no memory")
    store.add(lost.model_copy(update={"weights": None, "probes": None}))
    other.add(result)
    assert [kept.status for kept in Store(store.folder).records()] == ["finished"]
    store.add(lost.model_copy(update={"weights": None, "probes": None}))
    assert [kept.status for kept in Store(store.folder).records()] == ["finished"]


def test_an_extension_that_another_process_made_is_not_lost(store):
    """Both plan what either has planned; what else was asked for stays in the folder alone."""
    other, asked = Store(store.folder), store.experiment
    wider = asked.model_copy(update={"norms": (*asked.norms, "in")})
    store.ask(wider, Request(date="2026-02-01", command="y", norms=wider.norms, seeds=2))
    store.extend(5)
    other.extend(4)
    assert other.experiment.seeds == 5
    assert other.experiment.norms == asked.norms
    newest = Store(store.folder)
    assert (newest.experiment.seeds, newest.experiment.norms) == (5, wider.norms)
    assert newest.requests == store.requests
    newest.extend(3)  # nobody has changed it since it was read
    assert Store(store.folder).experiment.seeds == 3


def test_seeds_of_others_are_planned_by_their_numbers(store):
    """One is at seeds 0 to 5 when another asks for 3, 7 and 9; then it goes on to eight or more."""
    store.extend(6)
    other = Store(store.folder)
    named = other.experiment.model_copy(update={"seeds": 3, "own_seeds": (3, 7, 9)})
    wider = other.experiment.extended_by(named)
    other.ask(wider, Request(date="2026-02-01", command="y", norms=wider.norms, seeds=3))
    store.extend(8)
    assert store.experiment.seed_numbers == (0, 1, 2, 3, 4, 5, 7, 9)
    assert Store(store.folder).experiment.seed_numbers == store.experiment.seed_numbers
    other.extend(10)
    newest = Store(store.folder).experiment
    assert (
        {*store.experiment.seed_numbers}
        < {*newest.seed_numbers}
        == {*other.experiment.seed_numbers}
    )


def test_a_failed_try_that_another_process_replaced_and_probes_it_took_are_news(store):
    other, (result, lost, *_) = Store(store.folder), make_trials(store.experiment)
    store.add(failed(lost, "it raised").model_copy(update={"weights": None, "probes": None}))
    store.add(result.model_copy(update={"probes": None}))
    assert store.newest() is store
    other.add(lost)
    (newest,) = [each for each in store.newest().records() if each.trial == lost.trial]
    assert newest.status == "finished"
    seen = Store(store.folder)
    assert seen.newest() is seen or seen.records()
    assert seen.newest() is seen
    other.keep_probes(result.trial, result.probes)
    assert seen.newest() is not seen


def test_a_trial_that_was_replaced_while_it_was_read_is_not_set_aside(store, monkeypatch):
    result = make_trials(store.experiment)[0]
    store.add(result)
    reading, usual = Store(store.folder), records.read_record
    calls = []

    def once_broken(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise Broken("predictions.npz is no file of this trial")
        return usual(*arguments)

    monkeypatch.setattr(records, "read_record", once_broken)
    facts = store.facts()
    assert reading.set_damaged_aside(facts, LABELS) == []
    assert [each.trial for each in reading.records()] == [result.trial]


def test_what_was_asked_for_meanwhile_is_not_overwritten(store):
    other = Store(store.folder)
    store.extend(3)
    with pytest.raises(RunError, match="another normscope has just changed"):
        other.ask(other.experiment, store.requests[-1])
    assert Store(store.folder).experiment.seeds == 3


def test_what_others_have_stored_is_seen_by_looking_again(store):
    other, (result, lost, *_) = Store(store.folder), make_trials(store.experiment)
    assert store.records() == []
    assert store.newest() is store
    failure = failed(lost, "it raised").model_copy(update={"weights": None, "probes": None})
    other.add(result)
    other.add(failure)
    assert store.newest().records() == other.records()
    trials = [result.trial, lost.trial]
    assert [kept.trial for kept in store.look_again(trials)] == trials
    assert store.look_again(trials) == []  # it is known by now
    other.add(lost)  # in the place of the failed try
    (again,) = store.look_again(trials)
    assert (again.trial, again.status) == (lost.trial, "finished")
    assert [kept.status for kept in store.records()] == ["finished"] * 2
    assert store.newest() is store


def test_a_damaged_record_is_passed_over_when_looking_again(store):
    other, (result, *_) = Store(store.folder), make_trials(store.experiment)
    assert store.records() == []
    other.add(result)
    (store.folder / "trials" / result.trial.id / "record.json").write_text("{")
    assert store.look_again([result.trial]) == []


def gone():
    """The number of a process that ran on this machine and does not any more."""
    process = multiprocessing.get_context("spawn").Process()
    process.start()
    process.join()
    return process.pid


def test_what_killed_processes_left_is_cleared_up_and_what_others_write_is_not(store):
    pid, alive = gone(), os.getppid()
    places = [store.folder, store.folder / "trials", store.pictures, store.folder / "figures"]
    (store.folder / "figures").mkdir()
    for place in places:
        (place / f".x.png.{pid}.partial").mkdir()
        (place / f".y.{alive}.partial").touch()
        (place / f".z.{os.getpid()}.partial").touch()  # a number that this process was given again
    Store.clear_up(store.folder)
    left = sorted(path.name for path in store.folder.rglob("*.partial"))
    assert left == [f".y.{alive}.partial"] * 4


def test_what_lies_beside_an_experiment_is_not_searched(store):
    """Its folder may be a home folder, with a great deal in it."""
    strange = store.folder / "another" / f".x.{gone()}.partial"
    strange.mkdir(parents=True)
    Store.clear_up(store.folder)
    assert strange.exists()


def test_what_another_machine_writes_is_left_to_it_for_a_day(store):
    pid, here, there = gone(), files.MACHINE, "0badcafe"
    young, old, of_here = (
        store.folder / f".{name}.{pid}@{machine}.partial"
        for name, machine in (("young", there), ("old", there), ("here", here))
    )
    for path in (young, old, of_here):
        path.touch()
    os.utime(old, (time.time() - 2 * files.ABANDONED_S,) * 2)
    Store.clear_up(store.folder)
    assert young.exists()
    assert not old.exists()
    assert not of_here.exists()


def test_a_failed_try_that_was_being_replaced_is_put_back(store):
    result = make_trials(store.experiment)[0]
    store.add(result)
    path = store.folder / "trials" / result.trial.id
    aside = path.with_name(f".{path.name}.{gone()}.replaced")
    path.rename(aside)
    assert [finding.state for finding in examine(store.folder).findings] == ["left over"]
    Store.clear_up(store.folder)
    assert [kept.trial for kept in Store(store.folder).records()] == [result.trial]
    shutil.copytree(path, aside)
    Store.clear_up(store.folder)
    assert not aside.exists()


def add_all(folder, numbers, start):
    """In a process of its own, without working locks."""
    import fcntl

    fcntl.flock = lambda *_: None
    store = Store(Path(folder))
    made = make_trials(store.experiment)
    start.wait()
    with Store.lock(Path(folder)):
        Store.clear_up(Path(folder))
        for number in numbers:
            store.add(made[number])


@pytest.mark.parametrize(
    ("processes", "each"), [(3, 6), pytest.param(8, 100, marks=pytest.mark.soak)]
)
def test_many_processes_add_to_one_folder_without_locks(tmp_path, processes, each):
    """Every trial is added by two of them."""
    total = processes * each
    store = make_store(tmp_path, seeds=total // 2, trials=False)
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Event()
    running = []
    for place in range(processes):
        numbers = [n % total for n in range(place * each, (place + 2) * each)]
        running.append(spawn.Process(target=add_all, args=(str(tmp_path), numbers, start)))
        running[-1].start()
    start.set()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * processes
    stored = Store(tmp_path).results(plan(store.experiment))
    assert len(stored) == total
    assert examine(tmp_path).well


# -- on the disk -----------------------------------------------------------------------------------


def test_names_are_on_the_disk_as_well_as_files(tmp_path, monkeypatch):
    """After a loss of power a file whose folder was not flushed may have no name."""
    flushed, usual = [], os.fsync

    def noting(descriptor):
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        usual(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("which file is flushed cannot be told here")
    monkeypatch.setattr(os, "fsync", noting)
    files.make_folder(tmp_path / "a" / "b")
    with files.written(tmp_path / "a" / "b" / "c", "") as partial:
        (partial / "d").mkdir(parents=True)
        files.put(partial / "d" / "e", b"content")
    names = [Path(path).relative_to(tmp_path).as_posix() for path in flushed]
    part = files.unfinished_name(Path("a/b/c"), "partial").as_posix()
    assert names == [".", "a", f"{part}/d/e", f"{part}/d", part, "a/b"]
