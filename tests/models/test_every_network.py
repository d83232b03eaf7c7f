"""What holds for every network that comes with normscope, over the whole table."""

import pytest
import torch
from torch import nn

from normscope.models import MODELS, PACKAGED_MODELS
from normscope.norms import asked
from normscope.training.seeds import generator

# Beside bn: statistics of a sample, no norm, no activation, and convolutions of another class.
SOME_NORMS = ("gn", "none", "frn", "gn-ws")


def build(model, norm="bn", seed=0, classes=10):
    streams = generator(seed, "init"), generator(seed, "dropout")
    return MODELS[model](asked(norm), classes, *streams)


def drawn(network):
    """What is drawn from the stream of initial weights."""
    return [each.weight for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("model", PACKAGED_MODELS)
def test_equal_seeds_give_equal_weights_whatever_the_norm(model):
    torch.manual_seed(5)
    first = drawn(build(model))
    torch.manual_seed(6)
    for norm in SOME_NORMS:
        pairs = zip(first, drawn(build(model, norm)), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    others = drawn(build(model, seed=1))
    assert not any(torch.equal(one, other) for one, other in zip(first, others, strict=True))


@pytest.mark.parametrize("model", PACKAGED_MODELS)
def test_building_leaves_the_global_random_state_alone(model):
    before = torch.get_rng_state()
    build(model)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("model", PACKAGED_MODELS)
def test_it_answers_images_of_an_odd_size_with_a_logit_for_every_class(model):
    network = build(model, classes=3).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 33, 33)).shape == (2, 3)
