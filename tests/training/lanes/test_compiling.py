"""Compiled loops are kept by what their code depends on."""

import shutil
from pathlib import Path

import numpy as np
import pytest

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
    assert len(list(folder.iterdir())) == 2


def test_a_loop_is_compiled_once_for_all_processes(folder, monkeypatch):
    assert answer(2) == 4
    monkeypatch.setattr(
        compiling.KeptLoop, "save_overload", lambda *_: pytest.fail("it was compiled")
    )
    assert answer(2) == 4


def test_damaged_code_is_compiled_again(folder, caplog):
    assert answer(2) == 4
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert answer(2) == 4
    assert caplog.messages == [f"{kept} is damaged, so it is compiled again"]


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
