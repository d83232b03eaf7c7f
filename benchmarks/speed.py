"""How fast the experiment trains: ``python -m benchmarks.speed [--quick] [--json FILE]``.

Three things on the same images, one after the other in every round:

- `reference`: the published loop (benchmarks/reference.py), which has all cores to itself;
- `normscope`: the tool's own loop, by norm and precision, one trial of one thread on each core;
- `limit`: the network's convolutions alone, in the same layout and precision, one process on each
  core: the time that is left when everything else costs nothing.

The unit is milliseconds of this machine per training step of 512 images, with the evaluation that
belongs to it (a test image for every five training images, as in CIFAR-10): the time of a process
per step, divided by the number of processes side by side. Medians and ranges are over rounds, and a
ratio is the median of the ratios of each round. ``--profile`` shows where a step goes instead.

With ``--device cuda`` it first times single steps of fleets, folded and side by side, then says how
many seconds a GPU takes, warm, for 3 norms x 15 epochs, one network after the other, and for 3
norms x 32 seeds x 15 epochs as fleets of 32.
"""

import argparse
import copy
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from datetime import date
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import reference
from normscope.data import Dataset, find, load_dataset
from normscope.executors.fleets import fleets
from normscope.executors.processes import ALLOCATOR, available_cores
from normscope.experiment import RECIPES, Experiment, Precision, Result
from normscope.experiment.plan import plan
from normscope.models import MODELS
from normscope.norms import NORMS
from normscope.training import SideBySide, Split, fastest_forward, fit, fold
from normscope.training.graph import WARM_UP
from normscope.training.seeds import generator
from normscope.training.steps import DeviceSteps
from normscope.training.trial import environment, run_fleet

CPU = torch.device("cpu")
BATCH = RECIPES["s8"].batch_size
MAX_LR = RECIPES["s8"].max_lr
EXPERIMENT_STEPS = RECIPES["s8"].epochs * 98  # per norm
TEST_SHARE = 5  # training images per test image

Variant = tuple[str, str, Precision]  # kind, norm ("" for the limit), precision


# -- what is timed, inside a worker process --------------------------------------------------------


@cache
def images(steps: int) -> Dataset:
    """The images of `steps` batches and their test images: CIFAR-10, or shapes where it is not."""
    dataset = load_dataset("cifar10" if find("cifar10") else "shapes")

    def filled(array: np.ndarray, count: int) -> np.ndarray:
        return np.resize(array, (count, *array.shape[1:]))

    sizes = {"train": steps * BATCH, "test": steps * BATCH // TEST_SHARE}
    arrays = {
        f"{split}_{part}": filled(getattr(dataset, f"{split}_{part}"), size)
        for split, size in sizes.items()
        for part in ("images", "labels")
    }
    return Dataset(**{**vars(dataset), **arrays})


@cache
def make_reference(norm: str, steps: int) -> Callable[[], None]:
    batches = reference.loaders(images(steps), BATCH)
    model = reference.make_model(norm)
    return lambda: reference.train(model, *batches, MAX_LR, epochs=1) and None


@cache
def make_normscope(norm: str, precision: Precision, steps: int) -> Callable[[], None]:
    data = images(steps)
    splits = [
        Split.from_numpy(pixels, labels, data.mean, data.std, CPU)
        for pixels, labels in (
            (data.train_images, data.train_labels),
            (data.test_images, data.test_labels),
        )
    ]
    model = MODELS["s8"](NORMS[norm], 10, generator(0, "init"), generator(0, "dropout"))
    model = model.to(memory_format=torch.channels_last)
    forward = fastest_forward(model.layers, CPU, precision)
    recipe = RECIPES["s8"].model_copy(update={"epochs": 1, "precision": precision})
    order = generator(0, "order")

    def epoch() -> None:
        fit(model, splits[0], splits[1], recipe, order, lambda record: None, forward)

    return epoch


@cache
def make_limit(precision: Precision, steps: int) -> Callable[[], None]:
    """Every convolution of the network by itself, forward and backward, and forward for tests."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    network = MODELS["s8"](NORMS["bn"], 10, generator(0, "init"), generator(0, "dropout"))
    inputs: dict[nn.Module, torch.Tensor] = {}
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

    def epoch() -> None:
        for step in range(steps):
            for layer, x in calls:
                y = layer(x)
                y.backward(y.detach())
                x.grad = layer.weight.grad = None
            if step % TEST_SHARE == 0:
                with torch.inference_mode():
                    for layer, x in calls:
                        layer(x)

    return epoch


def milliseconds_per_step(variant: Variant, steps: int) -> float:
    kind, norm, precision = variant
    if kind == "reference":
        epoch = make_reference(norm, steps)
    elif kind == "normscope":
        epoch = make_normscope(norm, precision, steps)
    else:
        epoch = make_limit(precision, steps)
    started = time.perf_counter()
    epoch()
    return 1000 * (time.perf_counter() - started) / steps


def matrix_rate(precision: Precision) -> float:
    """GFLOP/s of square matrix products, the best of five."""
    dtype, size = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision], 2048
    a = torch.randn(size, size).to(dtype)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(a, a)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times) / 1e9


# -- worker processes ------------------------------------------------------------------------------


class Team:
    """`size` processes that do the same thing at the same time."""

    def __init__(self, size: int, threads: int, **variables: str):
        self.size = size
        with _environment(OMP_NUM_THREADS=str(threads), **variables):
            self.pool = ProcessPoolExecutor(size, mp_context=get_context("spawn"))
            wait([self.pool.submit(time.sleep, 1.0) for _ in range(size)])  # starts all of them

    def together(self, function: Callable, *arguments: Any) -> list[float]:
        futures = [self.pool.submit(function, *arguments) for _ in range(self.size)]
        return [future.result() for future in futures]


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    yield
    os.environ.clear()
    os.environ.update(before)


def per_step(team: Team, variant: Variant, steps: int) -> float:
    """Milliseconds of the machine per step."""
    return statistics.mean(team.together(milliseconds_per_step, variant, steps)) / team.size


# -- set-up and memory, each in a fresh process ----------------------------------------------------


def first_steps(variant: Variant) -> None:
    """Print the seconds of a first and a second epoch of two steps, and the peak of memory."""
    first, second = (2 * milliseconds_per_step(variant, 2) / 1000 for _ in range(2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"first_s": first, "second_s": second, "peak_mib": peak}))


def set_up(variant: Variant) -> dict[str, float]:
    """Seconds from the start of a process to its first step, and the peak of its memory."""
    code = f"from benchmarks.speed import first_steps; first_steps({variant!r})"
    threads = available_cores() if variant[0] == "reference" else 1
    variables = {} if variant[0] == "reference" else {"GLIBC_TUNABLES": ALLOCATOR}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    whole = time.perf_counter() - started
    values = json.loads(done.stdout)
    return {"set_up_s": whole - 2 * values["second_s"], "peak_mib": values["peak_mib"]}


# -- the report ------------------------------------------------------------------------------------


def variants() -> list[Variant]:
    precisions: list[Precision] = ["fp32"]
    if torch.cpu._is_avx512_bf16_supported():
        precisions.append("bf16")
    rows: list[Variant] = [("reference", norm, "fp32") for norm in NORMS]
    rows += [("normscope", norm, precision) for precision in precisions for norm in NORMS]
    return rows + [("limit", "", precision) for precision in precisions]


def measure(rounds: int, steps: int) -> dict[Variant, list[float]]:
    cores = available_cores()
    teams = {
        "reference": Team(1, cores),
        "normscope": Team(cores, 1, GLIBC_TUNABLES=ALLOCATOR),
    }
    teams["limit"] = teams["normscope"]
    times: dict[Variant, list[float]] = {variant: [] for variant in variants()}
    for variant in times:
        if variant[0] != "reference":  # it has nothing to set up that lasts
            per_step(teams[variant[0]], variant, 2)
    for number in range(rounds):
        order = list(times) if number % 2 == 0 else list(times)[::-1]
        for variant in order:
            times[variant].append(per_step(teams[variant[0]], variant, steps))
            last = times[variant][-1]
            print(f"round {number + 1}/{rounds}  {name(variant)}  {last:.0f} ms", flush=True)
    return times


def name(variant: Variant) -> str:
    return " ".join(part for part in variant if part)


def ratios(above: list[list[float]], below: list[list[float]]) -> list[float]:
    """By round: the sum of the times of some variants over that of others."""
    sums = [[sum(round_) for round_ in zip(*rows, strict=True)] for rows in (above, below)]
    return [a / b for a, b in zip(*sums, strict=True)]


def spread(values: list[float], form: str = ".0f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def summarize(times: dict[Variant, list[float]]) -> dict[str, Any]:
    """Ratios over all norms: faster than the reference, slower than the limit."""
    found: dict[str, Any] = {}
    slow = [row for variant, row in times.items() if variant[0] == "reference"]
    for kind, _, precision in times:
        if kind == "limit":
            own = [row for v, row in times.items() if (v[0], v[2]) == ("normscope", precision)]
            floor = [times["limit", "", precision]] * len(own)
            experiment = [sum(row) * EXPERIMENT_STEPS / 1000 for row in zip(*own, strict=True)]
            found[precision] = {
                "faster_than_reference": ratios(slow, own),
                "slower_than_limit": ratios(own, floor),
                "experiment_seconds": experiment,
            }
    return found


def show(times: dict[Variant, list[float]], found: dict[str, Any], rates, setups) -> None:
    print("\nms per step, median (range) over rounds")
    for variant, row in times.items():
        print(f"  {name(variant):20} {spread(row)}")
    for precision, values in found.items():
        print(
            f"\n{precision}: {spread(values['faster_than_reference'], '.2f')} times as fast as the "
            f"reference, {spread(values['slower_than_limit'], '.2f')} times the limit;\n"
            f"  3 norms x 15 epochs in {spread(values['experiment_seconds'])} s"
        )
    for precision, rate in rates.items():
        print(f"matrix products in {precision}: {rate:.0f} GFLOP/s, all cores together")
    for title, values in setups.items():
        print(f"{title}: set-up {values['set_up_s']:.1f} s, peak {values['peak_mib']:.0f} MiB")


def profile(steps: int = 3) -> None:
    """Print where a step of each norm and precision goes, in one process of one thread."""
    torch.set_num_threads(1)
    for kind, norm, precision in variants():
        if kind == "normscope":
            epoch = make_normscope(norm, precision, steps)
            epoch()
            with torch.profiler.profile() as profiler:
                epoch()
            table = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12)
            print(f"{norm} {precision}, {steps} steps\n{table}")


def set_up_in(result: Result) -> float:
    """How much longer the first epochs took than the median one: libraries, capture of graphs.

    The smaller last batch of an epoch is met once per epoch, so its graph is captured in a later
    epoch than that of the others.
    """
    seconds = [record.train_seconds for record in result.history]
    usual = statistics.median(seconds)
    return sum(max(0.0, value - usual) for value in seconds[: WARM_UP + 1])


def fleet_step(
    norm: str, precision: Precision, members: int, kind: str, device: torch.device
) -> float:
    """Milliseconds of a step of 512 images for each member, as a graph where there is a GPU."""
    recipe = RECIPES["s8"].model_copy(update={"precision": precision, "epochs": 50})
    pixels = np.random.default_rng(0).integers(0, 256, (2 * BATCH, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(2 * BATCH) % 10
    train = Split.from_numpy(pixels, labels, (0.5,) * 3, (0.25,) * 3, device)
    models = [
        MODELS["s8"](NORMS[norm], 10, generator(m, "init"), generator(m, "dropout", device))
        for m in range(members)
    ]
    layers = [m.to(device, memory_format=torch.channels_last).layers for m in models]
    joined = {"folded": fold, "side by side": SideBySide}[kind](layers)
    network = joined.to(memory_format=torch.channels_last)
    orders = [torch.randperm(2 * BATCH, generator=generator(m, "order")) for m in range(members)]
    index = torch.stack(orders)[:, :BATCH].to(device)
    forward = fastest_forward(network, device, precision)
    with closing(DeviceSteps(network, forward, train, recipe, members)) as step:
        for _ in range(WARM_UP + 2):
            step(index)
        step.totals()  # waits for the device
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(4):
                step(index)
            step.totals()
            times.append(250 * (time.perf_counter() - started))
    return statistics.median(times)


def fleet_steps(device: torch.device, sizes: tuple[int, ...]) -> dict[str, float | str]:
    """`fleet_step` of every kind, printed as they come; an error in place of a time."""
    found: dict[str, float | str] = {}
    for members, kind, precision, norm in itertools.product(
        sizes, ("folded", "side by side"), ("fp32", "bf16"), NORMS
    ):
        title = f"{norm} {precision}, {members} {kind}"
        try:
            found[title] = fleet_step(norm, precision, members, kind, device)
        except RuntimeError as error:  # no algorithm, no memory: a finding too
            found[title] = str(error).splitlines()[0]
        print(f"ms per step: {title}: {found[title]}", flush=True)
    return found


def on_cuda(epochs: int) -> dict[str, Any]:
    """Seconds for the experiment with one seed and with 32, all images, the real recipe.

    The first fleet of each size runs for one epoch before, to warm up.
    """
    cuda = torch.device("cuda")
    dataset = load_dataset("cifar10" if find("cifar10") else "shapes")
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(cuda), "images": dataset.name}
    found["ms_per_step_of_all_members"] = fleet_steps(cuda, sizes=(1, 8, 32))
    reserved: list[int] = []
    for seeds in (1, 32):
        for recipe_epochs in (1, epochs):
            recipe = RECIPES["s8"].model_copy(update={"epochs": recipe_epochs})
            experiment = Experiment(
                dataset=dataset.name, recipe=recipe, norms=tuple(NORMS), seeds=seeds
            )
            reserved.clear()
            started = time.perf_counter()
            results = [
                result
                for fleet in fleets(plan(experiment), seeds)
                for result in run_fleet(
                    fleet, dataset, cuda, lambda *_: reserved.append(torch.cuda.memory_reserved())
                )
            ]
            seconds = time.perf_counter() - started
        finished = [r for r in results if r.status == "finished"]
        for result in results:
            if result.status == "failed":
                print(result.error)
        found[f"{len(NORMS)} norms x {seeds} seeds x {epochs} epochs"] = {
            "seconds": seconds,
            "of_that_set_up_s": sum(set_up_in(result) for result in finished),
            "finished": len(finished),
            "reserved_mib": max(reserved, default=0) / 2**20,
            "peak_of_a_step_mib": max(
                ((r.peak_memory_mib or 0.0) * r.environment.fleet for r in finished), default=0.0
            ),
            "test_accuracy_percent": {
                norm: statistics.mean(
                    r.history[-1].test_accuracy_percent for r in finished if r.trial.norm == norm
                )
                for norm in {r.trial.norm for r in finished}
            },
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, under 3 minutes")
    parser.add_argument("--profile", action="store_true", help="show where a step goes, and end")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    if arguments.profile:
        return profile()
    if arguments.device == "cuda":
        content = {**provenance(), **on_cuda(epochs=5 if arguments.quick else 15)}
        print(json.dumps(content, indent=2))
        return save(content, arguments.json)
    rounds, steps = (1, 10) if arguments.quick else (5, 15)
    times = measure(rounds, steps)
    found = summarize(times)
    team = Team(available_cores(), 1)
    rates = {v[2]: sum(team.together(matrix_rate, v[2])) for v in times if v[0] == "limit"}
    setups = {name(v): set_up(v) for v in times if v[1] == "bn"}
    show(times, found, rates, setups)
    content = {
        **provenance(),
        "images": images(steps).name,
        "rounds": rounds,
        "steps": steps,
        "ms_per_step": {name(variant): row for variant, row in times.items()},
        "ratios": found,
        "matrix_gflop_per_s": rates,
        "set_up": setups,
    }
    save(content, arguments.json)


def provenance() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "environment": environment(CPU, "fp32", fleet=1).model_dump(),
    }


def save(content: dict[str, Any], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
