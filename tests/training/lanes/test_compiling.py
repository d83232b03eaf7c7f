"""Compiled loops are kept by what their code depends on."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from normscope.training.lanes import compiling, target
from normscope.training.lanes.compiling import compiled_for, generator_digest
from normscope.training.lanes.emit import Vectors, emitter, loop

if target() is None:
    pytest.skip("this processor has no vectors to be used", allow_module_level=True)


def doubling(times):
    """A loop whose code differs with `times`, made anew as by another process."""

    @emitter
    def double(builder, x, y):
        v = Vectors(builder, target().lanes, per_word=1)
        value = v.floats_at(x)
        for _ in range(times):
            value = builder.fadd(value, value)
        v.store(value, y)

    @compiled_for("doubling", times)
    def doubled(x, y):
        double(x, y)

    return doubled


def answer(times):
    y = np.empty(16, np.float32)
    doubling(times)(np.ones(16, np.float32), y)
    return y[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "folder", tmp_path)
    return tmp_path


def test_a_loop_of_another_key_has_other_code(folder):
    assert [answer(1), answer(3), answer(1)] == [2, 8, 2]
    assert len(list(folder.glob("*.compiled"))) == 2


def test_a_loop_is_compiled_once_for_all_processes(folder, monkeypatch):
    assert answer(2) == 4
    monkeypatch.setattr(
        compiling.KeptLoop, "save_overload", lambda *_: pytest.fail("it was compiled")
    )
    assert answer(2) == 4


def test_damaged_code_is_compiled_again(folder, caplog):
    assert answer(2) == 4
    (kept,) = folder.glob("*.compiled")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert answer(2) == 4
    assert caplog.messages == [f"{kept} is damaged, so it is compiled again"]


def process(work, cache):
    """A process that has this module as t, and its compiled code in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import test_compiling as t\n{work}"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_process_waits_for_another_that_compiles_the_same(tmp_path):
    """The other is this one: it holds the lock, and then puts there what was compiled before."""
    with process("t.answer(2)", tmp_path / "before") as before:
        before.wait()
    (kept,) = tmp_path.glob("before/*/*.compiled")
    folder = tmp_path / "shared" / kept.parent.name
    folder.mkdir(parents=True)
    lock = FileLock((folder / kept.name).with_suffix(".lock"))
    lock.acquire()
    work = """
t.compiling.KeptLoop.save_overload = lambda *_: print("compiled")
print("started", flush=True)
print(t.answer(2))
"""
    with process(work, tmp_path / "shared") as other:
        assert other.stdout.readline() == "started\n"
        time.sleep(1)  # it waits, unless it is slow, which only makes the test easier to pass
        shutil.copy(kept, folder)
        lock.release()
        assert other.stdout.read() == "4.0\n"


def test_where_nothing_can_be_locked_each_process_compiles(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiling, "folder", tmp_path / "file" / "folder")
    assert answer(2) == 4


def test_another_generator_or_processor_has_another_folder(tmp_path, monkeypatch):
    here = Path(compiling.__file__).parent
    shutil.copytree(here, tmp_path / "lanes")
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "lanes" / "compiling.py"))
    before = generator_digest()
    assert compiling.folder.name == f"lanes-{before}"
    (tmp_path / "lanes" / "emit.py").write_text("# edited")
    edited = generator_digest()
    monkeypatch.setattr(compiling, "processor", lambda: ("x86_64", "haswell", "+avx2"))
    assert len({before, edited, generator_digest()}) == 3


def test_what_a_loop_carries_may_never_be_computed(folder):
    """A loop that may be empty leaves what it was given."""

    @emitter
    def grow(builder, count, y):
        v = Vectors(builder, target().lanes, per_word=1)
        value = v.floats_at(y)
        (value,) = loop(
            builder, count, lambda i, c: [builder.fadd(c[0], c[0])], [value], may_be_empty=True
        )
        v.store(value, y)

    @compiled_for("growing")
    def grown(count, y):
        grow(count, y)

    for count in (0, 1, 5):
        y = np.ones(16, np.float32)
        grown(count, y)
        assert y[0] == 2**count


ONE_LAYER = """
import sys
import torch
from normscope.training.lanes import AveragePool, pending
from normscope.training.lanes.layout import factors_to_lanes, from_lanes, to_lanes

for channels in map(int, sys.argv[1:]):
    layer = AveragePool(channels, 4, 4, pending=True, size=2)
    x = torch.arange(channels * 16.0).reshape(1, channels, 4, 4)
    one = torch.ones(1, channels)
    factors = factors_to_lanes(one, one, None, layer.input, 1)
    y = layer.forward(to_lanes(x, layer.input), pending(factors)).y
    found = from_lanes(y, layer.output, 1)
    assert torch.equal(found, torch.nn.functional.avg_pool2d(x + 1, 2)), (channels, found)
"""


def test_code_that_several_processes_compiled_goes_together(tmp_path):
    """Each finds its own first layer, and so numbers its functions as the others do."""
    for channels in (["1"], ["3"], ["1", "3"], ["3", "1"]):
        command = [sys.executable, "-c", ONE_LAYER, *channels]
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# -- what is removed -------------------------------------------------------------------------------


def test_code_that_nobody_has_used_for_long_is_removed(tmp_path, monkeypatch):
    names = [f"lanes-{k:016x}" for k in range(3)]
    own, old, recent, photos = (tmp_path / name for name in (*names, "lanes-in-the-alps"))
    for each in (own, old, recent, photos):
        (each / "within").mkdir(parents=True)
    long_ago = time.time() - compiling.KEPT_S - 60
    for each in (own, old, photos):
        os.utime(each, (long_ago, long_ago))
    monkeypatch.setattr(compiling, "folder", own)
    compiling._mark.cache_clear()
    compiling.trained(["a layer"])
    assert compiling.is_compiled(["a layer"])
    assert {each.name for each in tmp_path.iterdir()} == {own.name, recent.name, photos.name}
    os.utime(own, (long_ago, long_ago))
    compiling.used()
    assert time.time() - own.stat().st_mtime < 60
    compiling._mark.cache_clear()
