"""One trial: from its description to its result."""

import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TypeVar

import numpy as np
import torch

from normscope.data import Dataset
from normscope.errors import RunError, UsageError
from normscope.experiment import (
    Environment,
    EpochRecord,
    Precision,
    Predictions,
    Result,
    Status,
    Trial,
)
from normscope.models import MODELS
from normscope.models.s8 import S8
from normscope.norms import NORMS
from normscope.training.fleet import join, part
from normscope.training.forward import fastest_forward, kernels_for
from normscope.training.loop import Diverged, fit_fleet, step_memory_mib
from normscope.training.seeds import generator
from normscope.training.split import Split

Network = TypeVar("Network", bound=torch.nn.Module)


def run_trial(
    trial: Trial,
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> Result:
    """Train and test one network. Failure is data: what goes wrong is in the result's status.

    The same trial gives the same bits on the same device with the same number of threads.
    """
    return run_fleet([trial], dataset, device, lambda trial, record: on_epoch(record))[0]


def run_fleet(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[Trial, EpochRecord], None] = lambda trial, record: None,
) -> list[Result]:
    """Train and test the networks of trials that differ in nothing but the seed, all at once.

    Each is trained as it would be alone, but for the last bits of its sums. What raises is the
    outcome of all of them; a member that diverges leaves the others alone.
    """
    histories: dict[int, list[EpochRecord]] = {trial.seed: [] for trial in trials}

    def keep(member: int, record: EpochRecord) -> None:
        histories[trials[member].seed].append(record)
        try:
            on_epoch(trials[member], record)
        except Exception as error:
            raise _ObserverFailed from error

    started, clock = datetime.now(timezone.utc), time.perf_counter()
    outcomes: list[_Outcome]
    try:
        outcomes = _train(trials, dataset, device, keep)
    except _ObserverFailed as failure:  # no outcome of a trial: a closed terminal, a full disk
        raise failure.__cause__ or failure from None
    except Exception as error:  # whatever a model or a device raises is the trials' outcome
        reason = traceback.format_exc()
        if isinstance(error, torch.cuda.OutOfMemoryError) and len(trials) > 1:
            reason += f"{len(trials)} trials at once are too many for the memory of this GPU; "
            reason += f"use --workers {len(trials) // 2}"
        outcomes = [_Outcome("failed", reason)] * len(trials)
    seconds = (time.perf_counter() - clock) / len(trials)
    return [
        Result(
            trial=trial,
            status=outcome.status,
            history=tuple(histories[trial.seed]),
            error=outcome.error,
            started=started.isoformat(timespec="seconds"),
            seconds=seconds,
            environment=environment(device, trial.recipe.precision, len(trials)),
            peak_memory_mib=outcome.peak_memory_mib,
            predictions=None if trial.validation else outcome.predictions,
            weights=None if trial.validation else outcome.weights,
        )
        for trial, outcome in zip(trials, outcomes, strict=True)
    ]


@dataclass(frozen=True)
class _Outcome:
    status: Status
    error: str | None = None
    predictions: Predictions | None = None
    weights: dict[str, np.ndarray] | None = None
    peak_memory_mib: float | None = None


def _train(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[int, EpochRecord], None],
) -> list[_Outcome]:
    recipe = trials[0].recipe
    train, test = splits(dataset.held_out() if trials[0].validation else dataset, device)
    models = [build_model(trial, len(dataset.class_names), device) for trial in trials]
    orders = [generator(trial.seed, "order") for trial in trials]
    layers = [model.layers for model in models]
    network = layers[0] if len(layers) == 1 else in_channels_last(join(layers))
    forward = fastest_forward(network, device, recipe.precision)
    with _repeatable_cudnn():
        outcomes = fit_fleet(network, train, test, recipe, orders, on_epoch, forward)
        if len(layers) > 1:
            part(network, layers)
        weights = [_weights(model) for model in models]
        memory = step_memory_mib(network, train, recipe, len(trials), forward)
    return [
        _Outcome("diverged", str(outcome))
        if isinstance(outcome, Diverged)
        else _Outcome("finished", None, _predictions(outcome), arrays, memory)
        for arrays, outcome in zip(weights, outcomes, strict=True)
    ]


@contextmanager
def _repeatable_cudnn() -> Iterator[None]:
    """The same algorithms of cuDNN every time, and only those that repeat themselves to the bit."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def _weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """A copy: what is done with the model afterwards leaves it alone."""
    return {name: value.numpy(force=True).copy() for name, value in model.state_dict().items()}


def lost_trial(
    device: torch.device, trial: Trial, reason: str, history: Sequence[EpochRecord]
) -> Result:
    """The failed result of a trial whose process ended without leaving one."""
    return Result(
        trial=trial,
        status="failed",
        history=tuple(history),
        error=reason,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=sum(record.train_seconds + record.test_seconds for record in history),
        environment=environment(device, trial.recipe.precision, fleet=1),
    )


class _ObserverFailed(Exception):
    """Whoever was told of an epoch raised; the reason is the cause."""


@dataclass(frozen=True)
class Cost:
    """What one trial takes: seconds on this machine, bytes in the folder."""

    seconds: float
    disk_bytes: int


def estimate_trial(
    trial: Trial,
    train_size: int,
    test_size: int,
    num_classes: int,
    device: torch.device,
    threads: int,
) -> Cost:
    """Foresee the cost of a trial from a few steps of it on random images, timed right now."""
    # On a GPU only the second epoch replays the graph that the first one captured.
    epochs, steps = (2, 20) if device.type == "cuda" else (1, 3)
    batch = trial.recipe.batch_size
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (steps * batch, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, num_classes, steps * batch)
    sample = Dataset(
        name="random",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        class_names=("",) * num_classes,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        synthetic=True,
        description="random pixels",
    )
    recipe = trial.recipe.model_copy(update={"epochs": epochs})
    short = trial.model_copy(update={"recipe": recipe, "validation": False})
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    run_trial(short, sample, device)  # set-up: what is compiled or loaded once
    result = run_trial(short, sample, device)
    torch.set_num_threads(before)
    return _scaled(result, trial.recipe.epochs, train_size, test_size)


def _scaled(sample: Result, epochs: int, train_size: int, test_size: int) -> Cost:
    """The cost of a whole trial, from a last epoch that trained and tested on as many images."""
    if sample.predictions is None or sample.weights is None:
        raise RunError(f"no estimate: the trial {sample.status} on a sample ({sample.error})")
    images, num_classes = sample.predictions.logits.shape
    record = sample.history[-1]
    epoch_s = (record.train_seconds * train_size + record.test_seconds * test_size) / images
    # float16 logits and, compressed to about a byte, the predicted class of each test image.
    predictions = test_size * (2 * num_classes + 1)
    weights = sum(weight.nbytes for weight in sample.weights.values())
    # The record's text grows with its epochs; the rest of it and the other files' heads do not.
    text = 4_000 + 300 * epochs
    return Cost(seconds=epochs * epoch_s, disk_bytes=weights + predictions + text)


def build_model(trial: Trial, num_classes: int, device: torch.device) -> S8:
    """The trial's network before training, in the channels_last layout."""
    init = generator(trial.seed, "init")
    dropout = generator(trial.seed, "dropout", device)
    model = MODELS[trial.model](NORMS[trial.norm], num_classes, init, dropout)
    return in_channels_last(model.to(device))


def in_channels_last(network: Network) -> Network:
    """The network with its weights in the layout in which its images come."""
    # torch's type stubs do not know this argument.
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def splits(dataset: Dataset, device: torch.device) -> tuple[Split, Split]:
    """The training and the test split on the device."""
    scale = dataset.mean, dataset.std, device
    return (
        Split.from_numpy(dataset.train_images, dataset.train_labels, *scale),
        Split.from_numpy(dataset.test_images, dataset.test_labels, *scale),
    )


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise `UsageError` if the device computes in that precision only by emulation."""
    cpu, cuda = torch.cpu._is_avx512_bf16_supported, torch.cuda.is_bf16_supported
    fast = cpu() if device.type == "cpu" else cuda(including_emulation=False)
    if precision == "bf16" and not fast:
        raise UsageError(f"this {device.type} has no bfloat16 arithmetic; use --precision fp32")


def choose_device(name: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device. Raises `UsageError` if it is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; known: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device was found; use --device cpu or --device auto")
    use_cuda = torch.cuda.is_available() and name != "cpu"
    return torch.device("cuda" if use_cuda else "cpu")


def environment(device: torch.device, precision: Precision, fleet: int) -> Environment:
    """What the result of a trial depends on besides its content."""
    return Environment(
        normscope=version("normscope"),
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        precision=_precision(device, precision),
        kernels=kernels_for(device) if fleet == 1 else "torch",
        fleet=fleet,
    )


def _precision(device: torch.device, precision: Precision) -> str:
    if precision == "bf16":
        return "bfloat16"
    # What torch does on a GPU unless told otherwise; it keeps 10 of the 23 bits of a factor.
    return "float32, convolutions in TF32" if device.type == "cuda" else "float32"


def _processor() -> str:
    """The processor's model and its vector instructions, which decide the last bits of a sum."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"


def _predictions(logits: torch.Tensor) -> Predictions:
    largest = np.finfo(np.float16).max
    return Predictions(
        classes=logits.argmax(dim=1).numpy(force=True),
        logits=logits.numpy(force=True).clip(-largest, largest).astype(np.float16),
    )
