"""The contract of a norm, on every norm of the table and on norms that break it."""

import pytest
import torch
from torch import nn

from normscope.norms import NORMS, PACKAGED_NORMS
from normscope.study.contract import GOOD_TO_KNOW, MUST_HOLD, check_norm

# Its noise is scaled by a spread through which no gradient flows, as the paper has it.
NOISY = {"bnn": {"gradient in training"}}


def failed(norm):
    return {check.name: check.detail for check in check_norm(norm, 8) if check.holds is False}


@pytest.mark.parametrize("norm", [*PACKAGED_NORMS, "gn:groups=2", "bnn:noise=0", "ghost-bn:size=2"])
def test_every_norm_keeps_it(norm):
    assert failed(norm).keys() == NOISY.get(norm, set())


class Broken(nn.Module):
    """A norm that does in one place what it should not."""

    def __init__(self, channels, what):
        super().__init__()
        self.what = what
        self.register_buffer("kept", torch.zeros(1), persistent=what != "saved and loaded")

    def forward(self, x):
        kept = self.kept
        if self.training:
            self.kept = kept + 1
        return {
            "keeps shape and type": lambda: x.mean(1),
            "takes odd sizes": lambda: x.unflatten(2, (2, -1)).flatten(2, 3),
            "gradient in training": lambda: x * x.detach() if self.training else x,
            "gradient in evaluation": lambda: x if self.training else x * x.detach(),
            "leaves its input alone": lambda: x.detach().mul_(2),
            "no global random numbers": lambda: x + 0 * torch.rand(1),
            "channels_last": lambda: x * (1 if x.is_contiguous() else 2),
            "bfloat16": lambda: x.float() if x.dtype == torch.bfloat16 else x,
            "finite on constant input": lambda: x / x.var(),
            "saved and loaded": lambda: x + kept.to(x.dtype),
        }[self.what]()


@pytest.mark.parametrize("what", [name for name in MUST_HOLD if name != "same output twice"])
def test_what_breaks_it_is_named(what, monkeypatch):
    monkeypatch.setitem(NORMS, "broken", lambda channels: Broken(channels, what))
    assert what in failed("broken")


def test_an_output_that_differs_is_named(monkeypatch):
    made = []

    def another(channels):
        made.append(channels)
        layer = nn.BatchNorm2d(channels)
        nn.init.constant_(layer.weight, len(made))
        return layer

    monkeypatch.setitem(NORMS, "another", another)
    assert failed("another")["same output twice"] == "another output from the same state"


def told(norm):
    return {check.name: check.detail for check in check_norm(norm, 8) if check.holds is None}


def test_what_is_good_to_know():
    bn, instance, none = told("bn"), told("gn:groups=8"), told("none")
    assert bn.keys() == GOOD_TO_KNOW.keys()
    assert bn["evaluation"] == "differs from training"
    assert instance["evaluation"] == "the same as training"
    assert bn["other images"] == "have a part in an image's output"
    assert instance["other images"] == "have no part in an image's output"
    assert instance["a map of one pixel"].startswith(("erases the signal", "raises ValueError"))
    assert bn["a map of one pixel"] == "trains"
    assert bn["the input times 10"] == "changes nothing"
    assert none["the input times 10"] == "scales the output alike"
    assert bn["the input plus 5"] == "changes nothing"
    assert none["the input plus 5"] == "changes the output"
    assert bn["parameters"] == "16 for 8 channels; 3 buffers"
