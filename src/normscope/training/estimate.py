"""What a trial will take, foreseen from a few steps of it."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from normscope.data import Dataset
from normscope.errors import RunError
from normscope.experiment import Result, Trial
from normscope.training.device import torch_threads
from normscope.training.regroup import trains_twin
from normscope.training.trial import run_trial


@dataclass(frozen=True)
class DataSize:
    """What of a data set decides how long a trial takes; `image_shape` is (H, W, C)."""

    train_images: int
    test_images: int
    num_classes: int
    image_shape: tuple[int, int, int]


@dataclass(frozen=True)
class Cost:
    """What one trial takes: seconds on this machine, bytes in the folder."""

    seconds: float
    disk_bytes: int


def estimate_trial(trial: Trial, size: DataSize, device: torch.device, threads: int) -> Cost:
    """Foresee the cost of a trial from a few steps of it on random images, timed right now."""
    # On a GPU only the second epoch replays the graph that the first one captured.
    epochs, steps = (2, 20) if device.type == "cuda" else (1, 3)
    sample = _random_images(steps * trial.recipe.batch_size, size)
    recipe = trial.recipe.model_copy(update={"epochs": epochs})
    short = trial.model_copy(update={"recipe": recipe, "validation": False})
    with torch_threads(threads):
        run_trial(short, sample, device)  # set-up: what is compiled or loaded once
        result = run_trial(short, sample, device)
    cost = _scaled(result, trial.recipe.epochs, size)
    return replace(cost, seconds=2 * cost.seconds) if trains_twin(trial) else cost


def _random_images(count: int, size: DataSize) -> Dataset:
    """As many training as test images, which are the same."""
    rng, channels = np.random.default_rng(0), size.image_shape[2]
    images = rng.integers(0, 256, (count, *size.image_shape), dtype=np.uint8)
    labels = rng.integers(0, size.num_classes, count)
    return Dataset(
        name="random",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        class_names=("",) * size.num_classes,
        mean=(0.5,) * channels,  # pyright: ignore[reportArgumentType]  # a data set may say 3
        std=(0.25,) * channels,  # pyright: ignore[reportArgumentType]
        synthetic=True,
        description="random pixels",
    )


def _scaled(sample: Result, epochs: int, size: DataSize) -> Cost:
    """The cost of a whole trial, from a last epoch that trained and tested on as many images."""
    if sample.predictions is None or sample.weights is None:
        raise RunError(f"no estimate: the trial {sample.status} on a sample ({sample.error})")
    images, num_classes = sample.predictions.logits.shape
    last = sample.history[-1]
    epoch_s = last.train_seconds * size.train_images + last.test_seconds * size.test_images
    # float16 logits and, compressed to about a byte, the predicted class of each test image.
    predictions = size.test_images * (2 * num_classes + 1)
    weights = sum(weight.nbytes for weight in sample.weights.values())
    # The record's text grows with its epochs; the rest of it and the other files' heads do not.
    text = 4_000 + 300 * epochs
    return Cost(seconds=epochs * epoch_s / images, disk_bytes=weights + predictions + text)
