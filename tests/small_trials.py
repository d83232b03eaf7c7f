"""Trials of a second or two, on the first 256 images of the embedded data set."""

import numpy as np
import torch

from normscope.experiment import Recipe, Trial
from normscope.training.split import Split

CPU = torch.device("cpu")
# Statistics of the batch and of a sample, a norm with its own activation, standardized weights, one
# that knows how long the run is, and another place; what is shown layer by layer for every norm is
# in tests/norms.
SOME_NORMS = ("bn", "gn", "frn", "gn-ws", "brn", "gn:pre")


def trial(norm="bn", seed=0, **recipe):
    values = {"name": "quick", "epochs": 2, "batch_size": 64, "max_lr": 0.1, **recipe}
    return Trial(
        dataset="shapes",
        train_limit=256,
        test_limit=100,
        model="s8",
        norm=norm,
        recipe=Recipe(**values),
        seed=seed,
    )


def some_images():
    """A split on the CPU that a network can be built for: 64 images of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    return Split.from_numpy(pixels, np.arange(64) % 10, (0.5,) * 3, (0.25,) * 3, CPU)
