"""Everything that is timed, each for an epoch, inside a worker process."""

import copy
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.images import BATCH, NORMS_PUBLISHED, TEST, TRAIN, images
from benchmarks.peak import peak_rate
from benchmarks.published import Setting, published_epoch
from normscope.experiment import RECIPES, Precision
from normscope.models import MODELS
from normscope.norms import NORMS
from normscope.training import Splits, fit, with_fastest_forward
from normscope.training.forward import InBfloat16
from normscope.training.lanes.target import target
from normscope.training.seeds import generator

CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
QUICK_SHARE = 5  # a quick measurement of the tool runs a fifth of the images
LIMIT_STEPS = 15


class Variant(NamedTuple):
    """What is timed: "reference", "strong", "normscope", or a limit, which has no norm ("").

    The limits are "convolutions", by torch, and "peak", what the cores can multiply.
    """

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
    for kind in ("strong", "normscope"):
        rows += [Variant(kind, norm, p) for p in precisions for norm in NORMS_PUBLISHED]
    limits = ["convolutions"] if target() is None else ["convolutions", "peak"]
    return rows + [Variant(limit, "", p) for limit in limits for p in precisions]


def seconds_per_epoch(variant: Variant, setting: Setting, whole: bool) -> float:
    """Seconds of this process for an epoch with its test; if `whole`, no part is estimated.

    The limits are always estimated from a few steps, since they have no cost that is paid once per
    epoch.
    """
    if variant.kind == "reference":
        return published_epoch(variant.norm, setting, whole)
    if variant.kind in ("strong", "normscope"):
        return own_epoch(variant, 1 if whole else QUICK_SHARE)
    if variant.kind == "peak":
        return flop_per_epoch() / 1e9 / peak_rate(variant.precision)
    return TRAIN / (LIMIT_STEPS * BATCH) * limit_seconds(variant.precision, LIMIT_STEPS)


def own_epoch(variant: Variant, share: int) -> float:
    """Seconds of `compare`'s loop for an epoch: permutation, training, sums, test.

    It runs one `share`-th of the images and multiplies the time by `share`, including the cost that
    is paid once per epoch.
    """
    run = make_own_epoch(variant, TRAIN // share, TEST // share)
    started = time.perf_counter()
    run()
    return share * (time.perf_counter() - started)


@cache
def make_own_epoch(variant: Variant, train: int, test: int) -> Callable[[], None]:
    """A function that trains for an epoch of `train` images and tests on `test` others.

    "strong" is what a person would write who knows torch well: plain layers in channels_last on
    images that are in memory as numbers, dropout that draws only what it drops, no waiting for a
    loss; compiled by torch if `strong_step` has tried that last.
    """
    _, norm, precision = variant
    splits = Splits.of(images(train, test), CPU)
    model = MODELS["s8"](NORMS[norm], 10, generator(0, "init"), generator(0, "dropout"))
    model = model.to(memory_format=torch.channels_last)
    if variant.kind == "normscope":
        model = with_fastest_forward(model, CPU, precision)
    else:
        model = torch.compile(model) if precision in _COMPILED else model
        model = InBfloat16(model) if precision == "bf16" else model
    recipe = RECIPES["s8"].model_copy(update={"epochs": 1, "precision": precision})
    order = generator(0, "order")

    def epoch() -> None:
        fit(model, splits, recipe, order, lambda record: None)

    return epoch


_COMPILED = set[Precision]()  # in this process


def strong_step(precision: Precision, compiled: bool) -> float:
    """Seconds of a step of "strong" with bn; a third of three, behind as many that warm up.

    Afterwards "strong" is compiled if it was now. Raises what torch raises where it cannot compile.
    """
    _COMPILED.discard(precision)
    if compiled:
        _COMPILED.add(precision)
    make_own_epoch.cache_clear()
    run = make_own_epoch(Variant("strong", "bn", precision), 3 * BATCH, 3 * BATCH * TEST // TRAIN)
    run()
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) / 3


def flop_per_epoch() -> float:
    """Of the convolutions: forward, and backward with respect to input and weights; and a test.

    Products with the zeros around a map are none.
    """
    once = [
        2 * layer.weight[:, :, 0, 0].numel() * _taps(layer, x) for layer, x in convolutions("fp32")
    ]
    return TRAIN * (3 * sum(once) - once[0]) + TEST * sum(once)  # images have no gradient


def _taps(layer: nn.Conv2d, x: torch.Tensor) -> int:
    """How often a weight meets a pixel of a map of the size of x."""
    kernel = torch.ones(1, 1, *layer.weight.shape[2:])
    pixels = torch.ones(1, 1, *x.shape[2:])
    return int(nn.functional.conv2d(pixels, kernel, None, layer.stride, layer.padding).sum())


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
