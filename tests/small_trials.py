"""Trials of a second or two, on the first 256 images of the embedded data set."""

import torch

from normscope.experiment import Recipe, Trial

CPU = torch.device("cpu")


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
