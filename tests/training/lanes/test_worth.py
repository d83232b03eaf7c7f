"""What the estimate leaves to torch, as measured on two makes of processors."""

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


# Times as fast in lanes, measured: 1.16 and 0.92. Which networks are is in test_forward.py.
@pytest.mark.parametrize(("norm", "expected"), [("dyt", "lanes"), ("ln-channel", "numba")])
def test_norms_in_which_channels_meet_are_left_to_torch(norm, expected, monkeypatch):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    assert kernels("s8", norm, "fp32") == expected


@pytest.mark.skipif(not here.bfloat16, reason="no bfloat16")
@pytest.mark.parametrize(("tiles", "expected"), [(False, "lanes"), (True, "numba")])
def test_bfloat16_is_left_to_torch_where_it_multiplies_in_tiles(tiles, expected, monkeypatch):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    monkeypatch.setattr(worth, "target", lambda: Target(16, bfloat16=True, tiles=tiles))
    assert kernels("s8", "bn", "bf16") == expected
