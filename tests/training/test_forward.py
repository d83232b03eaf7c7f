"""How a forward pass is computed: what is asked for, and what the processor has."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch
from torch import nn

from normscope.errors import UsageError
from normscope.models import MODELS
from normscope.norms import asked
from normscope.training.forward import (
    Planned,
    fused_norms,
    kernels_for,
    kernels_used,
    plan_kernels,
    with_fastest_forward,
)
from normscope.training.lanes import compiling, target
from normscope.training.lanes.run import Run
from normscope.training.seeds import generator

CPU = torch.device("cpu")


@pytest.fixture
def with_vectors():
    if target() is None:
        pytest.skip("no vectors that lanes are for")


def made(model="s8", norm="bn"):
    return MODELS[model](asked(norm), 10, generator(0, "init"), generator(0, "dropout"))


def test_what_may_compute_is_the_fastest_that_is_there_or_asked_for(monkeypatch, with_vectors):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    assert kernels_for(CPU) == "lanes"
    assert kernels_for(CPU, members=2) == "torch"
    for asked_for in ("numba", "torch", "lanes"):
        monkeypatch.setenv("NORMSCOPE_KERNELS", asked_for)
        assert kernels_for(CPU) == asked_for
        assert (fused_norms(made(), CPU) is None) == (asked_for == "torch")
    home = import_module("normscope.training.lanes.target")
    monkeypatch.setattr(home, "target", lambda: None)
    assert kernels_for(CPU) == "numba"
    monkeypatch.setenv("NORMSCOPE_KERNELS", "fast")
    with pytest.raises(UsageError, match="NORMSCOPE_KERNELS is fast; leave it out, or choose"):
        kernels_for(CPU)


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_s8_is_one_run_up_to_its_head(monkeypatch, with_vectors, norm):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    network = made(norm=norm)
    called, run = [], Run.__call__

    def watched(self, x):
        called.append(len(self.stages))
        return run(self, x)

    monkeypatch.setattr(Run, "__call__", watched)
    x = torch.randn(4, 3, 32, 32, generator=generator(0, "images"))
    with torch.no_grad():
        plain = network.eval()(x)
        fastest = with_fastest_forward(network, CPU, "fp32")
        found = fastest(x)
    assert called == [11]  # ten convolutions and the pooling; the head is torch's
    assert kernels_used(fastest) == "lanes"
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)


# Ratios of today's step to that in lanes, measured: S8 1.54 to 1.8, resnet20 1.15 and 1.34, the
# wide resnet9 0.91. mobilenetv2 has a run between its depthwise convolutions at most.
FASTER = {"s8": "lanes", "s8-gap": "lanes", "s8-res": "lanes", "resnet20": "lanes"}
SLOWER = {"resnet9": "numba", "mobilenetv2": "numba"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", [*FASTER, *SLOWER])
def test_networks_are_in_lanes_where_that_was_measured_to_be_faster(
    monkeypatch, with_vectors, model, precision
):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    if precision == "bf16" and not target().bfloat16:
        pytest.skip("no bfloat16")
    without_tiles = replace(target(), tiles=False)  # with them torch is faster in bfloat16
    monkeypatch.setattr("normscope.training.lanes.worth.target", lambda: without_tiles)
    found = plan_kernels(made(model), CPU, precision, (3, 32, 32))
    assert found.kernels == (FASTER | SLOWER)[model]


def test_a_network_so_small_that_compiling_takes_longer_is_not(monkeypatch, with_vectors):
    small = nn.Sequential(nn.Conv2d(3, 9, 3), nn.ReLU(), nn.BatchNorm2d(9), nn.Conv2d(9, 9, 3))
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    assert plan_kernels(small, CPU, "fp32", (3, 32, 32)) == Planned("numba", compiles=False)
    monkeypatch.setenv("NORMSCOPE_KERNELS", "lanes")
    assert plan_kernels(small, CPU, "fp32", (3, 32, 32)).kernels == "lanes"


def test_planning_changes_nothing_in_a_network(monkeypatch, with_vectors):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    network = made().train()
    network[0].eval()
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    plan_kernels(network, CPU, "fp32", (3, 32, 32))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_what_is_compiled_is_known_once_it_has_trained(monkeypatch, tmp_path, with_vectors):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    monkeypatch.setattr(compiling, "folder", tmp_path)
    compiling._mark.cache_clear()
    network = made("s8", "gn")
    assert plan_kernels(network, CPU, "fp32", (3, 32, 32)) == Planned("lanes", compiles=True)
    fastest = with_fastest_forward(network.train(), CPU, "fp32")
    fastest(torch.randn(2, 3, 32, 32)).sum().backward()
    assert plan_kernels(network, CPU, "fp32", (3, 32, 32)) == Planned("lanes", compiles=False)
    compiling._mark.cache_clear()


def test_a_run_behind_another_layer_is_known_to_be_compiled(monkeypatch, tmp_path, with_vectors):
    monkeypatch.setenv("NORMSCOPE_KERNELS", "lanes")
    monkeypatch.setattr(compiling, "folder", tmp_path)
    compiling._mark.cache_clear()
    stem = [nn.Conv2d(3, 4, 5, stride=4), nn.ReLU()]
    network = nn.Sequential(*stem, nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
    assert plan_kernels(network, CPU, "fp32", (3, 32, 32)) == Planned("lanes", compiles=True)
    with_fastest_forward(network, CPU, "fp32")(torch.randn(2, 3, 32, 32)).sum().backward()
    assert plan_kernels(network, CPU, "fp32", (3, 32, 32)) == Planned("lanes", compiles=False)
    compiling._mark.cache_clear()


class Drawing(nn.Module):
    """A network that draws from the global random state, and may fail."""

    def __init__(self, fails=False):
        super().__init__()
        self.fails, self.steps = fails, 3

    def forward(self, x):
        if self.fails:
            raise ValueError("a network of one's own")
        return x.mean((2, 3)) + torch.rand(1)


def test_a_network_of_ones_own_may_do_anything(monkeypatch, with_vectors):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    before = torch.get_rng_state()
    assert plan_kernels(Drawing(), CPU, "fp32", (3, 32, 32)) == Planned("numba")
    assert torch.equal(torch.get_rng_state(), before)
    assert plan_kernels(Drawing(fails=True), CPU, "fp32", (3, 32, 32)) == Planned("lanes")
    monkeypatch.setenv("NORMSCOPE_KERNELS", "torch")
    assert kernels_used(with_fastest_forward(Drawing(), CPU, "bf16")) == "torch"


def test_without_lanes_what_computes_is_known_too(monkeypatch):
    monkeypatch.setenv("NORMSCOPE_KERNELS", "numba")
    assert kernels_used(with_fastest_forward(made(), CPU, "bf16")) == "numba"
    assert plan_kernels(made(), CPU, "bf16", (3, 32, 32)) == Planned("numba")
    assert kernels_used(with_fastest_forward(made(), CPU, "fp32", members=2)) == "torch"
