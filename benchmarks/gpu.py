"""Times on a GPU: single steps of fleets, then the whole experiment."""

import itertools
import statistics
import time
from contextlib import closing
from typing import Any

import numpy as np
import torch

from benchmarks.images import BATCH, NORMS_PUBLISHED, source
from normscope.data import Dataset, load_dataset
from normscope.executors.fleets import fleets
from normscope.experiment import RECIPES, Experiment, Precision, Result
from normscope.experiment.plan import plan
from normscope.models import MODELS
from normscope.norms import NORMS
from normscope.training import SideBySide, Split, fold, with_fastest_forward
from normscope.training.graph import WARM_UP
from normscope.training.seeds import generator
from normscope.training.steps import DeviceSteps
from normscope.training.trial import run_fleet


def set_up_in(result: Result) -> float:
    """How much longer the first epochs took than the median epoch.

    The extra time goes to loading libraries and capturing graphs. The smaller last batch occurs
    once per epoch, so its graph is captured in a later epoch than that of the other batches.
    """
    seconds = [record.train_seconds for record in result.history]
    usual = statistics.median(seconds)
    return sum(max(0.0, value - usual) for value in seconds[: WARM_UP + 1])


def fleet_step(
    norm: str, precision: Precision, members: int, kind: str, device: torch.device
) -> float:
    """Milliseconds of a step with 512 images for each member; on a GPU it is run as a graph."""
    recipe = RECIPES["s8"].model_copy(update={"precision": precision, "epochs": 50})
    train = noise(2 * BATCH, device)
    network = fleet(norm, members, kind, device)
    orders = [torch.randperm(2 * BATCH, generator=generator(m, "order")) for m in range(members)]
    index = torch.stack(orders)[:, :BATCH].to(device)
    network = with_fastest_forward(network, device, precision, members)
    with closing(DeviceSteps(network, train, recipe, members)) as step:
        seconds_of_steps(step, index, WARM_UP + 2)
        return 1000 * statistics.median(seconds_of_steps(step, index, 4) / 4 for _ in range(5))


def noise(count: int, device: torch.device) -> Split:
    """Random pixels with labels."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split.from_numpy(pixels, np.arange(count) % 10, (0.5,) * 3, (0.25,) * 3, device)


def fleet(norm: str, members: int, kind: str, device: torch.device) -> torch.nn.Module:
    """`members` S8 networks as one module; `kind` is "folded" or "side by side"."""
    models = [
        MODELS["s8"](NORMS[norm], 10, generator(m, "init"), generator(m, "dropout", device))
        for m in range(members)
    ]
    layers = [m.to(device, memory_format=torch.channels_last).layers for m in models]
    joined = {"folded": fold, "side by side": SideBySide}[kind](layers)
    return joined.to(memory_format=torch.channels_last)


def seconds_of_steps(step: DeviceSteps, index: torch.Tensor, count: int) -> float:
    """Seconds until the device has taken `count` steps."""
    started = time.perf_counter()
    for _ in range(count):
        step(index)
    step.totals()  # waits for the device
    return time.perf_counter() - started


def fleet_steps(device: torch.device, sizes: tuple[int, ...]) -> dict[str, float | str]:
    """`fleet_step` of every kind, printed as it is measured; a failure gives its error instead."""
    found: dict[str, float | str] = {}
    for members, kind, precision, norm in itertools.product(
        sizes, ("folded", "side by side"), ("fp32", "bf16"), NORMS_PUBLISHED
    ):
        title = f"{norm} {precision}, {members} {kind}"
        try:
            found[title] = fleet_step(norm, precision, members, kind, device)
        except RuntimeError as error:  # no algorithm or too little memory: this is a finding too
            found[title] = str(error).splitlines()[0]
        print(f"ms per step: {title}: {found[title]}", flush=True)
    return found


def on_cuda(epochs: int) -> dict[str, Any]:
    """Time single steps of fleets, then the experiment with 1 and with 32 seeds on all images.

    Each experiment first runs for one epoch to warm up.
    """
    cuda = torch.device("cuda")
    dataset = load_dataset(source())
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(cuda), "images": dataset.name}
    found["ms_per_step_of_all_members"] = fleet_steps(cuda, sizes=(1, 8, 32))
    for seeds in (1, 32):
        experiment_on(cuda, dataset, seeds, epochs=1)
        title = f"{len(NORMS_PUBLISHED)} norms x {seeds} seeds x {epochs} epochs"
        found[title] = experiment_on(cuda, dataset, seeds, epochs)
    return found


def experiment_on(
    device: torch.device, dataset: Dataset, seeds: int, epochs: int
) -> dict[str, Any]:
    """Train all seeds of a norm as one fleet, one norm after the other; print the failures."""
    recipe = RECIPES["s8"].model_copy(update={"epochs": epochs})
    experiment = Experiment(dataset=dataset.name, recipe=recipe, norms=NORMS_PUBLISHED, seeds=seeds)
    reserved: list[int] = []
    started = time.perf_counter()
    results = [
        result
        for trials in fleets(plan(experiment), seeds)
        for result in run_fleet(
            trials, dataset, device, lambda *_: reserved.append(torch.cuda.memory_reserved())
        )
    ]
    seconds = time.perf_counter() - started
    for result in results:
        if result.status == "failed":
            print(result.error)
    return {"seconds": seconds, "reserved_mib": max(reserved, default=0) / 2**20, **told(results)}


def told(results: list[Result]) -> dict[str, Any]:
    """What the finished trials recorded: set-up time, memory and accuracy."""
    finished = [result for result in results if result.status == "finished"]
    peaks = [(r.peak_memory_mib or 0.0) * r.environment.fleet for r in finished]
    accuracies: dict[str, list[float]] = {}
    for r in finished:
        accuracies.setdefault(r.trial.norm, []).append(r.history[-1].test_accuracy_percent)
    return {
        "finished": len(finished),
        "of_that_set_up_s": sum(set_up_in(result) for result in finished),
        "peak_of_a_step_mib": max(peaks, default=0.0),
        "test_accuracy_percent": {norm: statistics.mean(row) for norm, row in accuracies.items()},
    }
