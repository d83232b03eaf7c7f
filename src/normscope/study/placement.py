"""Which executor runs trials on which machine, and what share of it each trial gets."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn

from normscope.cores import available_cores
from normscope.data import Dataset
from normscope.errors import UsageError, lookup
from normscope.executors import EXECUTORS, Executor
from normscope.executors.fleets import fleets
from normscope.executors.protocol import Take, all_of
from normscope.executors.ray import LOCAL, Node, OnRay, Ray, connected, nodes_of
from normscope.experiment import Experiment, Keeping, Precision, ProbePlan, Result, Trial
from normscope.observers import Observer
from normscope.study.own import Knowing
from normscope.training.device import check_precision, choose_device, torch_threads
from normscope.training.forward import fused_norms, kernels_for, plan_kernels
from normscope.training.trial import lost_trial, run_fleet
from normscope.words import counted

Shape = tuple[int, int, int]

FLEET = 32  # trials at once on a GPU, unless said otherwise; by estimate 20 GB of its memory


@dataclass(frozen=True)
class Machine:
    """What trials may use: a device, and the number of trials at once (None: what is usual).

    `asked` is the entry of `EXECUTORS` that the user chose, if any. On Ray, `on_ray` says what each
    trial takes of which cluster, and `nodes` what the cluster had when it was looked at. `kernels`:
    what computes the network with each norm, "lanes" and so on, as far as that is known, and
    `compiles`, whether training begins with compiling here.
    """

    device: torch.device
    workers: int | None
    asked: str | None = None
    on_ray: OnRay = LOCAL
    nodes: tuple[Node, ...] = ()
    kernels: Mapping[str, str] = field(default_factory=dict)
    compiles: bool = False

    @classmethod
    def chosen(cls, device: str, workers: int | None, executor: str | OnRay | None) -> "Machine":
        """The device "auto", "cpu" or "cuda", so many trials at once, and who runs them.

        A cluster is looked at. Raises `UsageError` for what is not there or does not go together.
        """
        if executor == "ray" or isinstance(executor, OnRay):
            on_ray = executor if isinstance(executor, OnRay) else LOCAL
            here = Node(available_cores(), torch.cuda.device_count())
            nodes = tuple(nodes_of(on_ray.address, here))
            on_ray.room(nodes)
            return cls(_device_on(on_ray, device), workers, "ray", on_ray, nodes)
        if executor is not None:
            lookup(EXECUTORS, "executor", executor)
        machine = cls(choose_device(device), workers, executor)
        if executor == "inline" and (workers or 1) > 1:
            raise UsageError(
                f"inline runs one trial at a time, not {workers}; leave out --workers, or choose "
                "--executor processes or fleet"
            )
        if executor == "processes" and machine.on_gpu:
            raise UsageError(
                "processes share the cores of a CPU, not a GPU; choose --executor fleet or inline, "
                "or --device cpu"
            )
        return machine

    @property
    def at_once(self) -> int:
        """How many trials run at once, unless there are fewer."""
        if self.executor == "ray":
            room = self.on_ray.room(self.nodes)
            return min(room, self.workers or room)
        if self.executor == "inline":
            return 1
        return self.workers or (FLEET if self.executor == "fleet" else available_cores())

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def here(self) -> torch.device:
        """The device of this process, which on Ray may lack the GPU that its trials have."""
        return self.device if torch.cuda.is_available() else torch.device("cpu")

    def connected(self) -> AbstractContextManager[None]:
        """Within it the cluster stays the same one from round to round, if trials run on Ray."""
        return connected(self.on_ray.address) if self.executor == "ray" else nullcontext()

    def fused_norms(self, network: nn.Module) -> int | None:
        """How many of its norm layers run in fused passes; None if none ever do here."""
        return fused_norms(network, self.device)

    def knowing(
        self, networks: Mapping[str, nn.Module], precision: Precision, shape: Shape
    ) -> "Machine":
        """The same, knowing what computes the network with each norm here, for images (H, W, C)."""
        if self.executor == "fleet" or self.on_gpu:
            return self
        height, width, channels = shape
        planned = {
            norm: plan_kernels(network, self.device, precision, (channels, height, width))
            for norm, network in networks.items()
        }
        kernels = {norm: each.kernels for norm, each in planned.items()}
        compiles = self.executor != "ray" and any(each.compiles for each in planned.values())
        return replace(self, kernels=kernels, compiles=compiles)

    @property
    def executor(self) -> str:
        """The entry of `EXECUTORS` that was chosen, or is fastest here."""
        if self.asked:
            return self.asked
        if self.on_gpu:
            return "fleet"
        return "inline" if self.workers == 1 or available_cores() == 1 else "processes"

    def check(self, experiment: Experiment, own: Sequence[str]) -> None:
        """Raise `UsageError` if this machine cannot run an experiment.

        `own`: the model and norms that a script added to a table, which workers lack.
        """
        if self.here == self.device:  # of the GPUs of a cluster nothing is known here
            check_precision(experiment.recipe.precision, self.device)
        used = [name for name in (experiment.model, *experiment.norms) if name in own]
        if used and self.executor in ("processes", "ray"):
            raise UsageError(
                f"{used[0]} is of your own program, which worker processes do not see; use "
                '--executor inline (executor="inline")'
            )


@dataclass(frozen=True)
class Placement:
    """How a round of trials runs: `at_once` of them, with so many `threads` each."""

    machine: Machine
    precision: str
    at_once: int
    threads: int
    words: str

    def run(
        self,
        todo: Sequence[Trial],
        dataset: Dataset,
        observer: Observer,
        probes: ProbePlan,
        keeping: Keeping | None = None,
        take: Take = all_of,
    ) -> Generator[Result]:
        """The results as they come, of those trials that it may `take` when it is their turn.

        Closing the generator stops what still runs.
        """
        if self.machine.executor == "ray":
            dataset = dataset.by_content()
        device = self.machine.device
        run = partial(run_fleet, dataset=dataset, device=device, probes=probes, keeping=keeping)
        work = Knowing.of(todo, run)
        with torch_threads(self.threads if self.machine.executor == "inline" else _own_threads()):
            yield from self._executor(todo).run(work, todo, observer, take)

    def _executor(self, todo: Sequence[Trial]) -> Executor:
        when_lost = partial(lost_trial, self.machine.device)
        if self.machine.executor == "ray":
            # All are submitted, so that a node that joins finds trials to run.
            at_once, cluster = self.machine.workers or len(todo), self.machine.on_ray
            return Ray(at_once=at_once, threads=self.threads, when_lost=when_lost, cluster=cluster)
        make = EXECUTORS[self.machine.executor]
        return make(at_once=self.at_once, threads=self.threads, when_lost=when_lost)

    @property
    def networks_at_once(self) -> int:
        """How many networks train at once; a fleet is one."""
        if self.machine.executor == "ray":
            return max(1, self.at_once // self.machine.on_ray.fleet)
        return 1 if self.machine.executor == "fleet" else self.at_once


def place(trials: Sequence[Trial], todo: Sequence[Trial], machine: Machine) -> Placement:
    """How to run `todo`, which is what is left of `trials`.

    Threads change the last bits of a result, so they depend on the whole experiment and not on how
    much of it is left.
    """
    precision = todo[0].recipe.precision if todo else ""
    device = machine.device.type
    if machine.executor == "ray":
        return _place_on_ray(todo, machine, precision)
    if machine.executor == "fleet":
        at_once = max((len(fleet) for fleet in fleets(todo, machine.at_once)), default=1)
        threads = available_cores() if machine.on_gpu else _own_threads()
        words = f"{at_once} at a time on {device}, {precision}, as one network"
        return Placement(machine, precision, at_once, threads, words)
    at_once, threads, each = 1, _own_threads(), ""
    if machine.executor == "processes":
        of_all = min(machine.at_once, max(1, len(trials)))
        at_once, threads = min(of_all, max(1, len(todo))), max(1, available_cores() // of_all)
        each = " each"
    words = (
        f"{at_once} at a time on {device}, {precision}, threads: {threads}{each}, "
        f"{_kernels_words(machine)}"
    )
    return Placement(machine, precision, at_once, threads, words)


def _kernels_words(machine: Machine) -> str:
    """By what networks are computed; if not all are in lanes, those norms are named that are."""
    found = set(machine.kernels.values())
    if not found and kernels_for(machine.device) == "lanes":
        return "samples in lanes where that is faster"
    found = found or {kernels_for(machine.device)}
    if found == {"lanes"}:
        return "samples in lanes"
    others = f"norms by {min(found - {'lanes'})}"
    lanes = [norm for norm, kernels in machine.kernels.items() if kernels == "lanes"]
    return f"{others}; {', '.join(lanes)} with samples in lanes" if lanes else others


def _place_on_ray(todo: Sequence[Trial], machine: Machine, precision: str) -> Placement:
    """Threads are what a trial reserves of a node, whatever the cluster has."""
    on_ray, at_once = machine.on_ray, min(machine.at_once, max(1, len(todo)))
    cpus = int(sum(node.cpus for node in machine.nodes))
    gpus = int(sum(node.gpus for node in machine.nodes))
    there = f"{counted(len(machine.nodes), 'node')}, {counted(cpus, 'CPU')}"
    how = f"threads: {on_ray.threads} each, {_kernels_words(machine)}"
    if machine.on_gpu:
        there += f", {counted(gpus, 'GPU')}"
        how = f"{on_ray.fleet} as one network" if on_ray.fleet > 1 else "each on a GPU"
    words = f"{at_once} at a time on ray ({there}), {precision}, {how}"
    return Placement(machine, precision, at_once, on_ray.threads, words)


def _device_on(on_ray: OnRay, device: str) -> torch.device:
    """The device of the workers, whatever this process has."""
    if device == "cuda" and not on_ray.gpus_per_trial:
        raise UsageError(
            "on Ray a trial has the GPU that it reserves; say how much of one with --gpus-per-trial"
        )
    if device == "cpu" and on_ray.gpus_per_trial:
        raise UsageError("--gpus-per-trial is for trials on GPUs; leave out --device cpu")
    return torch.device("cuda") if on_ray.gpus_per_trial else choose_device("cpu")


def _own_threads() -> int:
    """The threads of this process: torch's number, which knows of no limits of a container."""
    return min(torch.get_num_threads(), available_cores())
