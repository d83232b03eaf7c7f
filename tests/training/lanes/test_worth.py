"""Which networks an estimate leaves to torch, as measured on two makes of processors."""

import pytest
import torch

from normscope.models import MODELS
from normscope.norms import asked
from normscope.training.forward import plan_kernels
from normscope.training.lanes import target, worth
from normscope.training.lanes.target import Target
from normscope.training.seeds import generator

if (here := target()) is None or here.lanes != 16:
    pytest.skip("the estimate is for 16 lanes", allow_module_level=True)

CPU = torch.device("cpu")


def kernels(model, norm, precision):
    network = MODELS[model](asked(norm), 10, generator(0, "init"), generator(0, "dropout"))
    network = network.to(memory_format=torch.channels_last)
    return plan_kernels(network, CPU, precision, (3, 32, 32)).kernels


@pytest.mark.parametrize(
    ("model", "norm", "expected"),
    [
        ("s8", "bn", "lanes"),  # 1.6 times as fast
        ("s8", "dyt", "lanes"),  # 1.16
        ("s8", "ln-channel", "numba"),  # 0.92
        ("resnet20", "bn", "lanes"),  # 1.15
        ("resnet9", "bn", "numba"),  # 0.91
    ],
)
def test_what_is_faster_is_chosen(model, norm, expected, monkeypatch):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    assert kernels(model, norm, "fp32") == expected


@pytest.mark.skipif(not here.bfloat16, reason="no bfloat16")
@pytest.mark.parametrize(("tiles", "expected"), [(False, "lanes"), (True, "numba")])
def test_bfloat16_is_left_to_torch_where_it_multiplies_in_tiles(tiles, expected, monkeypatch):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    monkeypatch.setattr(worth, "target", lambda: Target(16, bfloat16=True, tiles=tiles))
    assert kernels("s8", "bn", "bf16") == expected
