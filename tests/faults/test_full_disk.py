"""A disk that is full at the n-th write of any kind: a named error, and nothing half."""

import os
import random
import re
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from disturbed import COMPARE, check_kept, check_whole
from full_disk import small_disk, with_names, with_room
from report_fakes import failed, make_costs, make_experiment, make_labels
from small_trials import CPU, trial
from store_fakes import IMAGES, make_store, make_trials

from normscope.errors import RunError
from normscope.experiment import (
    HeatMaps,
    Keeping,
    NormHeat,
    ProbePlan,
    Probes,
    Request,
    Series,
)
from normscope.experiment.plan import plan
from normscope.observers import Observer
from normscope.report import figures
from normscope.store import Store
from normscope.store.folder import ExperimentFolder
from normscope.store.progress import read_progress
from normscope.study.comparison import Comparison
from normscope.study.doctor import examine
from normscope.study.heartbeat import heartbeat
from normscope.training.checkpoints import Keeper, read
from normscope.training.environment import environment
from normscope.training.fused.kept import compiled
from normscope.training.packing import pack

LABELS = make_labels(IMAGES)
FULL = "No space left on device"
ONE_LINE = rf"normscope: cannot write \S+ \({FULL}\); make room, or choose another folder.*\n"


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as place:
        yield place


# -- what is written into a folder -----------------------------------------------------------------


def create(folder):
    experiment = make_experiment(norms=("bn", "gn"), seeds=1)
    request = Request(date="2026-01-01", command="x", norms=experiment.norms, seeds=1)
    Store.create(folder / "new", experiment, request)


def lock(folder):
    with Store.lock(folder):
        pass


def claims(folder):
    store = Store(folder)
    with Store.claims(store.folder) as claims:
        claims.take(plan(store.experiment))


def header(folder):
    store = Store(folder)
    wider = store.experiment.with_seeds(3)
    store.ask(wider, Request(date="2026-02-02", command="y", norms=wider.norms, seeds=3))


def description(folder):
    """The data set's facts, its labels, and the models."""
    store = Store(folder)
    store.describe(store.facts(), LABELS, store.models().values())


def record(folder):
    """With predictions, weights and probes."""
    store = Store(folder)
    store.add(make_trials(store.experiment)[0])


def record_of_what_failed(folder):
    store = Store(folder)
    store.add(make_trials(store.experiment)[1])


def probes(folder):
    store = Store(folder)
    (kept,) = [result for result in store.records() if result.status == "finished"]
    readings = np.random.default_rng(0).normal(size=(3, 3000))
    series = Series(np.arange(3), readings, ("layer",), (tuple(map(str, range(3000))),))
    store.keep_probes(kept.trial, Probes({"many": series}))


def costs(folder):
    Store(folder).keep_costs(make_costs(("bn", "gn")))


def pictures(folder):
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    Store(folder).add_pictures(images, [1, 2, 3])


def heat_maps(folder):
    heat = NormHeat("layers.0", np.zeros(2, np.int64), np.random.default_rng(0).random((2, 64, 64)))
    Store(folder).keep_heat_maps(HeatMaps("occlusion", 0, np.array([7, 14]), {"bn": heat}))


def sources(folder):
    Store(folder).keep_sources({"0123456789ab": {"a.py": b"1\n" * 4000, "b/c.py": b"2\n"}})


def report(folder):
    """The page, figures, CSV files, and Markdown."""
    Comparison.read(folder).report()


WRITERS = (create, lock, claims, header, description, record, record_of_what_failed, probes, costs,
           pictures, heat_maps, sources, report)  # fmt: skip


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a trial that failed, and one that finished."""
    store = make_store(tmp_path_factory.mktemp("begun") / "e", seeds=2, trials=False)
    made = make_trials(store.experiment)
    lost = failed(made[1], "Traceback\nRuntimeError: no memory")
    store.add(lost.model_copy(update={"weights": None, "probes": None}))
    store.add(made[2])
    return store.folder


@pytest.fixture
def one_figure(monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", figures.FIGURES[:1])
    monkeypatch.setattr("normscope.report.mistake_figures", lambda analysis, pictures: [])


def contents(folder):
    """All files, by place."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("limit", [with_room, with_names])
@pytest.mark.parametrize("write", WRITERS)
def test_every_writer_of_a_folder(write, limit, begun, disk, tmp_path, one_figure):
    """Room for one page more, or one name, from try to try, until all is written."""
    whole = shutil.copytree(begun, tmp_path / "whole")
    write(whole)
    before, after, room, is_done = contents(begun), contents(whole), 0, False
    while not is_done:
        folder = shutil.copytree(begun, disk / "e")
        with limit(disk, room):
            try:
                write(folder)
                is_done = True
            except RunError as error:
                assert f"cannot write {folder}" in str(error)  # noqa: PT017 - or it went through
                assert f"({FULL}); make room, or choose another folder" in str(error)  # noqa: PT017
        now = contents(folder)
        assert before.keys() <= now.keys()
        assert [name for name in now if now[name] not in (before.get(name), after[name])] == []
        assert examine(folder).well or write is create
        if not is_done or write is not create:
            write(folder)
        assert contents(folder) == after
        shutil.rmtree(folder)
        room += 1
    assert room > 1 or write in (lock, claims)  # whose files are empty


# -- what an experiment is worth more than ---------------------------------------------------------


def test_a_sign_of_life(disk):
    """It is whole, or that of before; a training goes on without it."""
    folder = disk / "e"
    process = ExperimentFolder(folder).process("1-a")
    for room in range(3):
        process.path.mkdir(parents=True)
        with heartbeat(process, Observer()):
            (first,) = read_progress(folder)
            with with_room(disk, room), heartbeat(process, Observer()):
                assert len(read_progress(folder)) == 1
        (last,) = read_progress(folder)
        assert (first.state, last.state) == ("training", "ended")
        assert [path.name for path in process.path.iterdir()] == ["progress.json"]
        shutil.rmtree(folder)


def test_the_state_of_a_training(disk):
    """The one before stays until there is room for the next."""
    folder = disk / "e" / "checkpoints"
    folder.parent.mkdir()
    asked = [trial("gn")]
    keeper = Keeper.of(Keeping(folder), asked, environment(CPU, "fp32", 1), ProbePlan())
    before, after = (pack({"weights": torch.full((3000,), value)}) for value in (1.0, 2.0))
    for room in range(6):
        keeper.notices.clear()
        keeper.keep(before)
        assert keeper.notices == []
        with with_room(disk, room):
            keeper.keep(after)
            kept = read(keeper.path).state.tensors["0"]
            is_kept = kept.equal(after.tensors["0"])
            assert is_kept or kept.equal(before.tensors["0"])
            advice = "make room, or until then a trial that is stopped begins anew."
            told = [f"cannot write {keeper.path} ({FULL}); {advice}"]
            assert keeper.notices == ([] if is_kept else told)
            assert [*folder.iterdir()] == [keeper.path]
        assert is_kept == (room > 3)


def tripled(values):
    return values + values + values


def test_compiled_code(disk, caplog):
    """Each process compiles anew as long as there is no room."""
    values, room = np.float32([1, 2.5]), 0
    while True:
        kept = disk / "kept"
        with with_room(disk, room):
            caplog.clear()
            assert compiled(kept, nogil=True)(tripled)(values).tolist() == [3, 7.5]
        if not caplog.messages:
            break
        (message,) = caplog.messages
        assert f"({FULL}); make room, or set NUMBA_CACHE_DIR to another folder" in message
        assert list(kept.iterdir()) == []
        room += 1
    assert room > 1
    (file,) = kept.iterdir()
    assert file.name.startswith("tripled-")


# -- the whole command -----------------------------------------------------------------------------


@pytest.mark.parametrize("times", [6, pytest.param(100, marks=pytest.mark.soak)])
def test_the_command_goes_on_once_there_is_room(warm, undisturbed, times, disk):
    """Wherever it was when the disk was full; the room is spread over all that it needs."""
    command = (*COMPARE, "--workers", "1", "--out", disk / "e")
    empty = os.statvfs(disk).f_bavail
    assert warm.run(*command).code == 0
    needed, drawn = empty - os.statvfs(disk).f_bavail, random.Random(times)
    codes = Counter()
    for number in range(times):
        shutil.rmtree(disk / "e")
        with with_room(disk, int((number + drawn.random()) * needed / times)):
            stopped = warm.run(*command)
            codes[stopped.code] += 1
            _, stderr = stopped.said
            assert re.fullmatch(ONE_LINE, stderr) or stopped.code == 0, stopped.said
            before = check_kept(disk / "e", {})
        again = warm.run(*command)
        assert again.code == 0, again.said
        check_kept(disk / "e", before)
        check_whole(disk / "e", undisturbed[1])
    assert codes[3] > times / 2


@pytest.mark.parametrize("room", [0, 1, 2])
def test_json_that_is_sent_to_a_file(warm, undisturbed, room, disk):
    with with_room(disk, room):
        done = warm.run("report", warm.folder / "undisturbed", "--json", output=disk / "out.json")
        _, stderr = done.said
    assert done.code == 3
    assert stderr == (
        f"normscope: cannot write standard output ({FULL}); make room, or send it elsewhere\n"
    )
