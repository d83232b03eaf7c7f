"""Layers that a test does not draw anew are the same in every process that runs it."""

import pytest
import torch


@pytest.fixture(autouse=True)
def same_layers_every_time():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield
