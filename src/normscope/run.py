"""One trial: from its description to its result."""

import os
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version

import numpy as np
import torch

from normscope.config import Environment, EpochRecord, Predictions, Result, Trial
from normscope.data import Dataset
from normscope.errors import RunError, UsageError
from normscope.models import MODELS
from normscope.norms import NORMS
from normscope.seeds import generator
from normscope.training import Diverged, Split, fit


def run_trial(
    trial: Trial,
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> Result:
    """Train and test one network. Failure is data: what goes wrong is in the result's status.

    The same trial gives the same bits on the same device with the same number of threads.
    """
    history: list[EpochRecord] = []

    def keep(record: EpochRecord) -> None:
        history.append(record)
        try:
            on_epoch(record)
        except Exception as error:
            raise _ObserverFailed from error

    started, clock = datetime.now(timezone.utc), time.perf_counter()
    status, error, predictions, weights = "finished", None, None, None
    try:
        train, test = splits(dataset, device)
        model = build_model(trial, len(dataset.class_names), device)
        order = generator(trial.seed, "order")
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            logits = fit(model, train, test, trial.recipe, order, keep)
        predictions = _predictions(logits)
        weights = {name: value.numpy(force=True) for name, value in model.state_dict().items()}
    except _ObserverFailed as failure:  # no outcome of the trial: a closed terminal, a full disk
        raise failure.__cause__ or failure from None
    except Diverged as reason:
        status, error = "diverged", str(reason)
    except Exception:  # whatever a model or a device raises is this trial's outcome
        status, error = "failed", traceback.format_exc()
    return Result(
        trial=trial,
        status=status,
        history=tuple(history),
        error=error,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        environment=environment(device),
        predictions=predictions,
        weights=weights,
    )


class _ObserverFailed(Exception):
    """Whoever was told of an epoch raised; the reason is the cause."""


@dataclass(frozen=True)
class Cost:
    """What one trial takes: seconds on this machine, bytes in the folder."""

    seconds: float
    disk_bytes: int


def estimate_trial(
    trial: Trial, train_size: int, test_size: int, num_classes: int, device: torch.device
) -> Cost:
    """Foresee the cost of a trial from a few steps of it on random images, timed right now."""
    steps, batch = 3, trial.recipe.batch_size
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
    short = trial.model_copy(update={"recipe": trial.recipe.model_copy(update={"epochs": 1})})
    result = run_trial(short, sample, device)
    return _scaled(result, trial.recipe.epochs, train_size, test_size)


def _scaled(sample: Result, epochs: int, train_size: int, test_size: int) -> Cost:
    """The cost of a whole trial, from one epoch that trained and tested on equally many images."""
    if sample.predictions is None or sample.weights is None:
        raise RunError(f"no estimate: the trial {sample.status} on a sample ({sample.error})")
    images, num_classes = sample.predictions.logits.shape
    record = sample.history[0]
    epoch_s = (record.train_seconds * train_size + record.test_seconds * test_size) / images
    # float16 logits and, compressed to about a byte, the predicted class of each test image.
    predictions = test_size * (2 * num_classes + 1)
    weights = sum(weight.nbytes for weight in sample.weights.values())
    # The record's text grows with its epochs; the rest of it and the other files' heads do not.
    text = 4_000 + 300 * epochs
    return Cost(seconds=epochs * epoch_s, disk_bytes=weights + predictions + text)


def build_model(trial: Trial, num_classes: int, device: torch.device) -> torch.nn.Module:
    """The trial's network before training, in the channels_last layout."""
    init = generator(trial.seed, "init")
    dropout = generator(trial.seed, "dropout", device)
    model = MODELS[trial.model](NORMS[trial.norm], num_classes, init, dropout)
    # torch's type stubs do not know this argument.
    return model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def splits(dataset: Dataset, device: torch.device) -> tuple[Split, Split]:
    """The training and the test split on the device."""
    scale = dataset.mean, dataset.std, device
    return (
        Split.from_numpy(dataset.train_images, dataset.train_labels, *scale),
        Split.from_numpy(dataset.test_images, dataset.test_labels, *scale),
    )


def choose_device(name: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device. Raises `UsageError` if it is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; known: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device was found; use --device cpu or --device auto")
    use_cuda = torch.cuda.is_available() and name != "cpu"
    return torch.device("cuda" if use_cuda else "cpu")


def environment(device: torch.device) -> Environment:
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
        precision="float32",
    )


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
