"""Which executor runs trials on which machine, and what share of it each trial gets."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from normscope.data import Dataset
from normscope.errors import UsageError
from normscope.executors import EXECUTORS
from normscope.executors.cores import available_cores
from normscope.executors.fleets import fleets
from normscope.experiment import Experiment, Keeping, ProbePlan, Result, Trial
from normscope.observers import Observer
from normscope.study.own import Knowing
from normscope.training.device import check_precision, torch_threads
from normscope.training.forward import fused_norms, kernels_for
from normscope.training.trial import lost_trial, run_fleet

FLEET = 32  # trials at once on a GPU, unless said otherwise; by estimate 20 GB of its memory


@dataclass(frozen=True)
class Machine:
    """What trials may use: a device, and the number of trials at once (None: what is usual)."""

    device: torch.device
    workers: int | None

    @property
    def at_once(self) -> int:
        """How many trials run at once, unless there are fewer."""
        return self.workers or (FLEET if self.on_gpu else available_cores())

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def fused_norms(self, network: nn.Module) -> int | None:
        """How many of its norm layers run in fused passes; None if none ever do here."""
        return fused_norms(network, self.device)

    @property
    def executor(self) -> str:
        """The entry of `EXECUTORS` that is fastest here."""
        if self.on_gpu:
            return "fleets"
        return "inline" if self.workers == 1 or available_cores() == 1 else "processes"

    def check(self, experiment: Experiment, own: Sequence[str]) -> None:
        """Raise `UsageError` if this machine cannot run an experiment.

        `own`: the model and norms that a script added to a table, which workers lack.
        """
        check_precision(experiment.recipe.precision, self.device)
        used = [name for name in (experiment.model, *experiment.norms) if name in own]
        if used and self.executor == "processes":
            raise UsageError(
                f"{used[0]} is of your own program, which worker processes do not see; use "
                "--workers 1 (workers=1)"
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
    ) -> Generator[Result]:
        """The results as they come; closing the generator stops what still runs."""
        device = self.machine.device
        executor = EXECUTORS[self.machine.executor](
            at_once=self.at_once, threads=self.threads, when_lost=partial(lost_trial, device)
        )
        run = partial(run_fleet, dataset=dataset, device=device, probes=probes, keeping=keeping)
        work = Knowing.of(todo, run)
        with torch_threads(self.threads if self.machine.executor == "inline" else _own_threads()):
            yield from executor.run(work, todo, observer)


def place(trials: Sequence[Trial], todo: Sequence[Trial], machine: Machine) -> Placement:
    """How to run `todo`, which is what is left of `trials`.

    Threads change the last bits of a result, so they depend on the whole experiment and not on how
    much of it is left.
    """
    precision = todo[0].recipe.precision if todo else ""
    if machine.on_gpu:
        at_once = max((len(fleet) for fleet in fleets(todo, machine.at_once)), default=1)
        words = f"{at_once} at a time on cuda, {precision}, as one network"
        return Placement(machine, precision, at_once, available_cores(), words)
    at_once, threads, each = 1, _own_threads(), ""
    if machine.executor == "processes":
        of_all = min(machine.at_once, max(1, len(trials)))
        at_once, threads = min(of_all, max(1, len(todo))), max(1, available_cores() // of_all)
        each = " each"
    norms_by = kernels_for(machine.device)
    words = (
        f"{at_once} at a time on cpu, {precision}, threads: {threads}{each}, norms by {norms_by}"
    )
    return Placement(machine, precision, at_once, threads, words)


def _own_threads() -> int:
    """The threads of this process: torch's number, which knows of no limits of a container."""
    return min(torch.get_num_threads(), available_cores())
