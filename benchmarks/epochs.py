"""Everything that is timed, each for an epoch, inside a worker process."""

import copy
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.images import BATCH, NORMS_PUBLISHED, TEST, TRAIN, images
from benchmarks.published import Setting, published_epoch
from normscope.experiment import RECIPES, Precision
from normscope.models import MODELS
from normscope.norms import NORMS
from normscope.training import Splits, fit, with_fastest_forward
from normscope.training.seeds import generator

CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
QUICK_SHARE = 5  # a quick measurement of the tool runs a fifth of the images
LIMIT_STEPS = 15


class Variant(NamedTuple):
    """What is timed: "reference", "normscope" or "limit"; a limit has no norm ("")."""

    kind: str
    norm: str
    precision: Precision

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


def variants() -> list[Variant]:
    """All variants that are timed on this processor."""
    precisions: list[Precision] = ["fp32"]
    if torch.cpu._is_avx512_bf16_supported():
        precisions.append("bf16")
    rows = [Variant("reference", norm, "fp32") for norm in NORMS_PUBLISHED]
    rows += [Variant("normscope", norm, p) for p in precisions for norm in NORMS_PUBLISHED]
    return rows + [Variant("limit", "", p) for p in precisions]


def seconds_per_epoch(variant: Variant, setting: Setting, whole: bool) -> float:
    """Seconds of this process for an epoch with its test; if `whole`, no part is estimated.

    The limit is always estimated from a few steps, since it has no cost that is paid once per
    epoch.
    """
    if variant.kind == "reference":
        return published_epoch(variant.norm, setting, whole)
    if variant.kind == "normscope":
        return own_epoch(variant.norm, variant.precision, 1 if whole else QUICK_SHARE)
    return TRAIN / (LIMIT_STEPS * BATCH) * limit_seconds(variant.precision, LIMIT_STEPS)


def own_epoch(norm: str, precision: Precision, share: int) -> float:
    """Seconds of `compare`'s loop for an epoch: permutation, training, sums, test.

    It runs one `share`-th of the images and multiplies the time by `share`, including the cost that
    is paid once per epoch.
    """
    run = make_own_epoch(norm, precision, TRAIN // share, TEST // share)
    started = time.perf_counter()
    run()
    return share * (time.perf_counter() - started)


@cache
def make_own_epoch(norm: str, precision: Precision, train: int, test: int) -> Callable[[], None]:
    """A function that trains for an epoch of `train` images and tests on `test` others."""
    splits = Splits.of(images(train, test), CPU)
    model = MODELS["s8"](NORMS[norm], 10, generator(0, "init"), generator(0, "dropout"))
    model = model.to(memory_format=torch.channels_last)
    model = with_fastest_forward(model, CPU, precision)
    recipe = RECIPES["s8"].model_copy(update={"epochs": 1, "precision": precision})
    order = generator(0, "order")

    def epoch() -> None:
        fit(model, splits, recipe, order, lambda record: None)

    return epoch


def limit_seconds(precision: Precision, steps: int) -> float:
    """Seconds of the convolutions alone, for `steps` steps and their share of a test."""
    calls = convolutions(precision)
    started = time.perf_counter()
    for step in range(steps):
        for layer, x in calls:
            y = layer(x)
            y.backward(y.detach())
            x.grad = layer.weight.grad = None
        if step % (TRAIN // TEST) == 0:
            with torch.inference_mode():
                for layer, x in calls:
                    layer(x)
    return time.perf_counter() - started


@cache
def convolutions(precision: Precision) -> list[tuple[nn.Conv2d, torch.Tensor]]:
    """Every convolution of the network, with a batch of its inputs in the network."""
    dtype = DTYPES[precision]
    network = MODELS["s8"](NORMS["bn"], 10, generator(0, "init"), generator(0, "dropout"))
    inputs: dict[nn.Conv2d, torch.Tensor] = {}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda layer, args: inputs.update({layer: args[0]}))
    network(torch.randn(BATCH, 3, 32, 32))
    calls = []
    for layer, x in inputs.items():
        conv = copy.deepcopy(layer).to(dtype, memory_format=torch.channels_last)
        conv._forward_pre_hooks.clear()
        x = x.detach().to(dtype, memory_format=torch.channels_last)
        calls.append((conv, x.requires_grad_(len(calls) > 0)))
    return calls


def matrix_rate(precision: Precision) -> float:
    """GFLOP/s of square matrix products: the best of five runs."""
    dtype, size = DTYPES[precision], 2048
    a = torch.randn(size, size).to(dtype)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(a, a)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times) / 1e9
