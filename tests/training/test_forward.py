"""How a forward pass is computed: what is asked for, and what the processor has."""

from importlib import import_module

import pytest
import torch

from normscope.models import MODELS
from normscope.norms import asked
from normscope.training.forward import kernels_for, with_fastest_forward
from normscope.training.lanes import target
from normscope.training.lanes.run import Run
from normscope.training.seeds import generator

CPU = torch.device("cpu")


@pytest.fixture
def with_vectors():
    if target() is None:
        pytest.skip("no vectors that lanes are for")


def test_lanes_are_used_where_they_are_asked_for(monkeypatch, with_vectors):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    assert kernels_for(CPU) == "numba"
    monkeypatch.setenv("NORMSCOPE_KERNELS", "lanes")
    assert kernels_for(CPU) == "lanes"
    assert kernels_for(CPU, members=2) == "torch"
    home = import_module("normscope.training.lanes.target")
    monkeypatch.setattr(home, "target", lambda: None)
    assert kernels_for(CPU) == "numba"


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_s8_is_one_run_up_to_its_head(monkeypatch, with_vectors, norm):
    monkeypatch.setenv("NORMSCOPE_KERNELS", "lanes")
    network = MODELS["s8"](asked(norm), 10, generator(0, "init"), generator(0, "dropout"))
    called, run = [], Run.__call__

    def watched(self, x):
        called.append(len(self.stages))
        return run(self, x)

    monkeypatch.setattr(Run, "__call__", watched)
    x = torch.randn(4, 3, 32, 32, generator=generator(0, "images"))
    with torch.no_grad():
        plain = network.eval()(x)
        found = with_fastest_forward(network, CPU, "fp32")(x)
    assert called == [11]  # ten convolutions and the pooling; the head is torch's
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
