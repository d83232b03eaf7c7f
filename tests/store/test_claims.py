"""Which trials each of several processes takes."""

import multiprocessing
import signal
from pathlib import Path

import pytest
from store_fakes import make_store

from normscope.errors import RunError
from normscope.experiment.plan import plan
from normscope.store import Store
from normscope.study.opening import joined


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "e", seeds=2, trials=False)


def take_and_wait(folder, number, told):
    """In a process of its own: take so many trials, say so, and live on."""
    store = Store(Path(folder))
    with Store.claims(store.folder) as claims:
        claims.take(plan(store.experiment)[:number])
        told.put(None)
        signal.pause()


@pytest.fixture
def another(store):
    """A process that has taken the first two trials, and lives until it is killed."""
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    process = spawn.Process(target=take_and_wait, args=(str(store.folder), 2, told), daemon=True)
    process.start()
    told.get(timeout=300)
    yield process
    process.kill()
    process.join()


def test_what_a_process_has_no_other_takes_until_it_has_ended(store, another):
    trials = plan(store.experiment)
    with Store.claims(store.folder) as claims:
        assert not claims.alone()
        assert claims.free(trials) == trials[2:]
        assert claims.take(trials[1:3]) == [trials[2]]
        another.kill()
        another.join()
        assert claims.alone()
        assert claims.take(trials) == trials


def test_what_a_killed_process_left_is_removed_by_the_next(store, another):
    another.kill()
    another.join()
    (gone,) = (store.folder / "processes").iterdir()
    with Store.claims(store.folder) as claims:
        assert list((store.folder / "processes").iterdir()) == [claims.own.path]
    assert not gone.exists()
    assert list((store.folder / "processes").iterdir()) == []


def test_trials_are_taken_until_they_are_left(store):
    trials = plan(store.experiment)
    with Store.claims(store.folder) as one, Store.claims(store.folder) as other:
        assert one.take(trials[:2]) == trials[:2]
        assert one.take(trials[:2]) == trials[:2]  # they are its own
        assert other.free(trials) == trials[2:]
        one.leave(trials[:1])
        one.leave(trials[:1])
        assert other.take(trials) == [trials[0], *trials[2:]]


def test_a_process_without_its_folder_goes_on(store):
    """Where locks do nothing another one takes it for dead, and removes its folder."""
    trials = plan(store.experiment)
    with Store.claims(store.folder) as claims:
        claims.take(trials)
        for path in (claims.own.taken, *claims.own.taken.iterdir()):
            assert path.exists()
        claims.lock.release()
        with Store.claims(store.folder):
            assert not claims.own.path.exists()
        claims.leave(trials[:1])
        assert claims.take(trials) == trials


def test_a_disk_that_takes_no_claim_is_named(store, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with Store.claims(store.folder) as claims:
        monkeypatch.setattr(Path, "touch", full)
        with pytest.raises(RunError, match=r"cannot write .*No space left on device.*make room"):
            claims.take(plan(store.experiment))
        monkeypatch.undo()


def come_and_go(folder, times):
    """In a process of its own: join those that train into a folder, and leave them."""
    for _ in range(times):
        with joined(Path(folder), lambda: Store(Path(folder))) as (store, claims):
            claims.take(plan(store.experiment))


def test_processes_that_come_while_others_go_disturb_nobody(store):
    spawn = multiprocessing.get_context("spawn")
    running = [
        spawn.Process(target=come_and_go, args=(str(store.folder), 60), daemon=True)
        for _ in range(3)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(timeout=300)
    assert [process.exitcode for process in running] == [0, 0, 0]
    with Store.claims(store.folder) as claims:
        assert list((store.folder / "processes").iterdir()) == [claims.own.path]
