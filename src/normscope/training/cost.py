"""What norms cost: a training step, inference, memory, of several norms side by side."""

import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import TypeVar

import torch
from torch import nn

from normscope.data import Dataset
from normscope.errors import RunError
from normscope.experiment import Costs, NormCost, Predictors, Spread, Trial
from normscope.models.folding import fold_norms
from normscope.models.summary import summarize
from normscope.probes.initial import predictors
from normscope.training.device import repeatable_cudnn, torch_threads
from normscope.training.environment import environment
from normscope.training.forward import with_fastest_forward
from normscope.training.loop import step_memory_mib, steps_for
from normscope.training.seeds import generator
from normscope.training.split import Split, Splits
from normscope.training.trial import build_model

Key = TypeVar("Key")

AT_ONCE = (1, 128)  # images of which inference is timed
LEAST_S = 0.02  # what is quicker is repeated within a round
ENOUGH_EPOCHS = 1000  # so that no schedule ends while its steps are timed
PREDICTOR_IMAGES = 256
PREDICTOR_SEEDS = 3


def measure_costs(
    trials: Sequence[Trial], dataset: Dataset, device: torch.device, threads: int, rounds: int
) -> Costs:
    """Measure what the norms of `trials` cost, which differ in nothing but the norm.

    A training step is that of `compare`, inference that of torch's layers one by one in float32.
    All are timed in turn, every other round in reverse, on `threads` threads of a CPU. Raises
    `RunError` that names a norm whose layer raises.
    """
    recipe = trials[0].recipe
    train, num_classes = Splits.of(dataset, device).train, len(dataset.class_names)
    with torch_threads(threads), repeatable_cudnn():
        calls: dict[tuple[str, str, int], Callable[[], object]] = {}
        for trial in trials:
            with _naming(trial.norm):
                found = _calls(trial, train, num_classes)
                for call in found.values():
                    call()  # what is compiled or loaded once, and what cannot be called at all
            calls |= {(trial.norm, *what): call for what, call in found.items()}
        spreads = {key: _spread(times) for key, times in alternating(calls, rounds, device).items()}
        norms = []
        for trial in trials:
            with _naming(trial.norm):
                norms.append(_norm_cost(trial, train, num_classes, spreads))
        here = environment(device, recipe.precision, fleet=1)
    return Costs(norms=tuple(norms), batch_size=recipe.batch_size, rounds=rounds, environment=here)


@contextmanager
def _naming(norm: str) -> Iterator[None]:
    """A layer of a user's own may raise whatever it likes, and only the norm's name says where."""
    try:
        yield
    except Exception as error:
        reason = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
        raise RunError(
            f"the cost of {norm} cannot be measured: {reason}; `normscope check-norm` tries a norm"
        ) from error


def alternating(
    calls: Mapping[Key, Callable[[], object]], rounds: int, device: torch.device
) -> dict[Key, list[float]]:
    """Seconds of each call in each round: all in turn, every other round in reverse.

    A call that takes less than `LEAST_S` is repeated, and counts with its mean.
    """
    repeats = {}
    for key, call in calls.items():
        _seconds(call, 1, device)  # the first call is slower
        repeats[key] = math.ceil(LEAST_S / max(_seconds(call, 1, device), LEAST_S / 100))
    times: dict[Key, list[float]] = {key: [] for key in calls}
    for number in range(rounds):
        for key in list(calls) if number % 2 == 0 else reversed(list(calls)):
            times[key].append(_seconds(calls[key], repeats[key], device) / repeats[key])
    return times


def _seconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    _wait_for(device)
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _spread(seconds: Sequence[float]) -> Spread:
    low, middle, high = (1000 * f(seconds) for f in (min, median, max))
    return Spread(median=middle, low=low, high=high)


def _calls(
    trial: Trial, train: Split, num_classes: int
) -> dict[tuple[str, int], Callable[[], object]]:
    """What is timed of a norm: "step", "inference" and "folded", each on a number of images."""
    network = build_model(trial, train, num_classes).eval()
    folded = fold_norms(network, _images(train, 1)[0])
    found = {("step", trial.recipe.batch_size): _step(trial, train, num_classes)}
    for count in AT_ONCE:
        x_NCHW = _images(train, count)[0]
        found["inference", count] = _inference(network, x_NCHW)
        if folded is not None:
            found["folded", count] = _inference(folded, x_NCHW)
    return found


def _step(trial: Trial, train: Split, num_classes: int) -> Callable[[], object]:
    recipe = trial.recipe.model_copy(update={"epochs": ENOUGH_EPOCHS})
    network = build_model(trial, train, num_classes)
    fastest = with_fastest_forward(network, train.device, recipe.precision)
    augment = [generator(trial.seed, "augment", train.device)]
    step = steps_for(fastest, train, recipe, 1, augment)
    index = torch.arange(recipe.batch_size, device=train.device)[None]
    return lambda: step(index)


def _inference(network: nn.Module, x_NCHW: torch.Tensor) -> Callable[[], object]:
    def infer() -> torch.Tensor:
        with torch.inference_mode():
            return network(x_NCHW)

    return infer


def _images(train: Split, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first so many training images and their labels, over again where there are fewer."""
    return train.batch(torch.arange(count, device=train.device) % len(train))


def _norm_cost(
    trial: Trial,
    train: Split,
    num_classes: int,
    spreads: Mapping[tuple[str, str, int], Spread],
) -> NormCost:
    norm, recipe = trial.norm, trial.recipe
    network = with_fastest_forward(
        build_model(trial, train, num_classes), train.device, recipe.precision
    )
    _, height, width, channels = train.images_NHWC.shape
    summary = summarize(trial.model, norm, num_classes, (height, width, channels))
    folded = None
    if (norm, "folded", AT_ONCE[0]) in spreads:
        folded = {count: spreads[norm, "folded", count] for count in AT_ONCE}
    return NormCost(
        norm=norm,
        parameters=summary.parameters,
        multiply_adds=summary.multiply_adds,
        step_ms=spreads[norm, "step", recipe.batch_size],
        inference_ms={count: spreads[norm, "inference", count] for count in AT_ONCE},
        folded_ms=folded,
        peak_memory_mib=step_memory_mib(network, train, recipe),
        predictors=_predictors(trial, train, num_classes),
    )


def _predictors(trial: Trial, train: Split, num_classes: int) -> Predictors | None:
    """Over the first seeds; None where a loss is not finite in one of them."""
    seen: list[Predictors] = []
    for seed in range(PREDICTOR_SEEDS):
        network = build_model(trial.model_copy(update={"seed": seed}), train, num_classes)
        found = predictors(network, *_images(train, PREDICTOR_IMAGES))
        if found is None:
            return None
        seen.append(found)
    return Predictors(
        similarity=_means([each.similarity for each in seen]),
        gradient_norms=_means([each.gradient_norms for each in seen]),
        seeds=PREDICTOR_SEEDS,
    )


def _means(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(math.fsum(column) / len(rows) for column in zip(*rows, strict=True))
