"""Compiled code on the disk: used again while it is whole, named and made anew when it is not."""

import importlib.util
import re
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import typeof

from normscope.training.fused import kernels
from normscope.training.fused.kept import DIGEST_BYTES, KeptCode, compiled


def doubled(values):
    return values + values


def fresh(folder):
    """The function as a process finds it that has not compiled it yet."""
    return compiled(folder, nogil=True)(doubled)


def answer(folder):
    return fresh(folder)(np.float32([1, 2.5])).tolist()


@pytest.fixture
def kept(tmp_path):
    """The file that compiling leaves."""
    assert answer(tmp_path) == [2, 5]
    (file,) = tmp_path.iterdir()
    return file


def test_the_passes_over_activations_are_kept():
    for functions in (kernels.passes_for(True, True), kernels.passes_for(False, False)):
        for function in vars(functions).values():
            assert isinstance(function._cache, KeptCode)
            assert function._cache.folder == kernels.folder


def test_what_was_compiled_is_not_compiled_again(kept, monkeypatch, caplog):
    monkeypatch.setattr(KeptCode, "save_overload", lambda *_: pytest.fail("it was compiled"))
    assert answer(kept.parent) == [2, 5]
    assert caplog.messages == []


def test_different_code_never_has_the_same_symbol():
    """As they come upon them in another order, processes would number functions alike."""

    def made(factor):
        def times(values):
            return values * factor

        return times

    symbols = set()
    for factor in (2.0, 3.0, 2.0):
        dispatcher = compiled(Path("nowhere"))(made(factor))
        (number,) = re.findall(r"times_([0-9a-f]{16})", dispatcher.py_func.__qualname__)
        symbols.add(number)
    assert len(symbols) == 2


def test_other_types_have_a_file_of_their_own(kept):
    assert fresh(kept.parent)(np.float64([1])).tolist() == [2]
    assert len(list(kept.parent.iterdir())) == 2


def test_an_edited_source_is_compiled_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for factor in (2, 3):
        (tmp_path / "edited.py").write_text(
            f"def scaled(values):\n    return values * {factor}.0\n"
        )
        spec = importlib.util.spec_from_file_location("edited", tmp_path / "edited.py")
        edited = importlib.util.module_from_spec(spec)
        exec(compile((tmp_path / "edited.py").read_text(), spec.origin, "exec"), vars(edited))
        monkeypatch.setitem(sys.modules, "edited", edited)
        assert compiled(tmp_path / "kept")(edited.scaled)(np.float32([1])).tolist() == [factor]
    assert len(list((tmp_path / "kept").iterdir())) == 2


def damages(content):
    """64 flipped bits, all over the file; truncations; and files that hold something else."""
    for place in np.linspace(0, len(content) - 1, 64, dtype=int):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        yield bytes(flipped)
    yield from (content[:keep] for keep in (0, 1, DIGEST_BYTES, len(content) // 2))
    yield from (content + b"\0", bytes(len(content)), b"<html>")


def test_damaged_code_is_compiled_once_more(kept, caplog):
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    for messages in ([f"{kept} is damaged, so it is compiled again"], []):
        assert answer(kept.parent) == [2, 5]
        assert caplog.messages == messages
        caplog.clear()


def test_any_damage_is_named_before_anything_is_unpickled(kept, monkeypatch, caplog):
    function = fresh(kept.parent)
    types, target = (typeof(np.float32([1])),), function.targetctx
    assert function._cache.load_overload(types, target) is not None
    whole = kept.read_bytes()
    monkeypatch.setattr("pickle.loads", lambda content: pytest.fail("it was unpickled"))
    for damaged in damages(whole):
        kept.write_bytes(damaged)
        assert function._cache.load_overload(types, target) is None
        assert caplog.messages == [f"{kept} is damaged, so it is compiled again"]
        caplog.clear()


def test_code_that_the_disk_does_not_give_is_named(kept, caplog):
    kept.unlink()
    kept.mkdir()
    assert answer(kept.parent) == [2, 5]
    unread, unwritten = caplog.messages
    assert unread.startswith(f"cannot read {kept} (Is a directory); set NUMBA_CACHE_DIR to another")
    assert unwritten.startswith(f"cannot write {kept} (Is a directory); set NUMBA_CACHE_DIR to")


def test_a_full_disk_is_named_and_stops_nothing(tmp_path, caplog):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))  # bytes in a file
    try:
        assert answer(tmp_path) == [2, 5]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (message,) = caplog.messages
    assert "(File too large); make room, or set NUMBA_CACHE_DIR to another folder" in message
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named_and_stops_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert answer(tmp_path / "file" / "cache") == [2, 5]
    unread, unwritten = caplog.messages
    assert "file/cache/doubled-" in unread
    assert unwritten.startswith(f"cannot write {tmp_path}/file/cache (Not a directory); set NUMBA_")
