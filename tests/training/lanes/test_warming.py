"""Layers that several processes compile at once."""

import pytest
from filelock import FileLock

from normscope.training.lanes import AveragePool, Convolution, compiling, target, warming

if target() is None:
    pytest.skip("this processor has no vectors to be used", allow_module_level=True)

ONE, OTHER, THIRD = (
    Convolution(3, 5, 5, out_channels=2, bias=True),
    Convolution(2, 3, 3, pending=True, out_channels=2, normed=True),
    Convolution(2, 5, 4, pending=True, out_channels=3, kernel=1, max_pool=True),
)


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "folder", tmp_path / "new")
    compiling._mark.cache_clear()
    yield
    compiling._mark.cache_clear()


def compiled(monkeypatch, layers):
    done = []
    monkeypatch.setattr(warming, "_compile", done.append)
    warming.compile_together(layers)
    return done


def test_each_convolution_is_compiled_once(monkeypatch):
    assert compiled(monkeypatch, [ONE, OTHER, AveragePool(2, 3, 3), OTHER]) == [ONE, OTHER]


def test_a_layer_that_another_compiles_is_left_for_the_end(monkeypatch):
    held = []
    monkeypatch.setattr(warming, "_compile", held.append)
    warming.compile_together([ONE])  # which makes its lock
    (lock,) = compiling.folder.glob("compiling-*.lock")
    with FileLock(lock):
        assert compiled(monkeypatch, [ONE, OTHER, THIRD]) == [OTHER, THIRD, ONE]


def test_what_has_trained_here_is_not_compiled_again(monkeypatch):
    layers = [ONE, OTHER]
    compiling.folder.mkdir()
    compiling.trained(layers)
    assert compiled(monkeypatch, layers) == []
    assert compiled(monkeypatch, [ONE]) == [ONE]


def test_where_nothing_can_be_locked_all_are_compiled(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiling, "folder", tmp_path / "file" / "new")
    assert compiled(monkeypatch, [ONE, OTHER]) == [ONE, OTHER]


@pytest.mark.parametrize("layer", [ONE, OTHER, THIRD], ids=["a bias", "a norm", "a pooling"])
def test_loops_are_compiled_by_a_call_for_no_blocks(layer):
    """For every kind of layer, so that nothing is left to be compiled in the first step."""
    warming._compile(layer)
