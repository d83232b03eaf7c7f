"""Whether an installation works here: every check is a small part of what `compare` does."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from normscope.data import load_dataset
from normscope.errors import RunError
from normscope.experiment import Experiment, Result
from normscope.experiment.plan import plan
from normscope.experiment.reading import read_experiment
from normscope.models import MODELS
from normscope.models.layers import Dropout
from normscope.norms import asked
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.compare import compare
from normscope.study.contract import check_norm
from normscope.study.doctor import examine
from normscope.training.device import choose_device, torch_threads
from normscope.training.forward import with_fastest_forward
from normscope.training.seeds import generator
from normscope.training.trial import run_trial
from normscope.words import what_went_wrong

NORMS = "bn", "gn", "ln"
EXPERIMENT = read_experiment(norms=NORMS, seeds=1, epochs=1, train_limit=256, test_limit=100)
CLASSES = 10
ROUNDING = 1e-6  # of the largest value
ROUGHLY = 0.05  # a GPU multiplies with 10 bits, and keeps to it for a few steps


@dataclass(frozen=True)
class Outcome:
    """What a check found: what is `wrong`, or "" if it `holds`."""

    name: str
    wrong: str
    seconds: float

    @property
    def holds(self) -> bool:
        return not self.wrong


def selftest() -> Iterator[Outcome]:
    """Carry out the checks, one after the other, on the embedded images; half a minute in all."""
    for name, check in CHECKS.items():
        begun = time.monotonic()
        try:
            wrong = check()
        except Exception as error:  # whatever a broken installation raises
            wrong = f"{type(error).__name__}: {error}".splitlines()[0]
        yield Outcome(name, wrong, time.monotonic() - begun)


# -- the checks: each returns what is wrong, or "" -------------------------------------------------


def _norms_keep_the_contract() -> str:
    wrong = [
        f"{norm}: {check.name} ({check.detail})"
        for norm in NORMS
        for check in check_norm(norm)
        if check.holds is False
    ]
    return "; ".join(wrong)


def _same_bits_again() -> str:
    return _apart(_trained(EXPERIMENT), _trained(EXPERIMENT), at_most=0.0)


def _as_exact_as_torch() -> str:
    """The gradients of a step on noise, against those in float64."""
    noise = torch.randn(64, 3, 32, 32, generator=generator(0, "order"))
    noise = noise.to(memory_format=torch.channels_last)
    wrong = []
    for norm in NORMS:
        exact = _gradients(_network(norm).double(), noise.double())
        fast = _distance(_gradients(_network(norm), noise, fast=True), exact)
        plain = _distance(_gradients(_network(norm), noise), exact)
        if not fast <= 10 * plain + ROUNDING:
            wrong.append(f"{norm} is off by {fast:.1g} of the largest value, torch by {plain:.1g}")
    return "; ".join(wrong)


def _in_processes() -> str:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "experiment"
        here = {"device": "cpu", "executor": "processes", "observer": Observer()}
        page = compare(EXPERIMENT, out=out, **here).page
        if not page.is_file():
            return "the report was not written"
        if findings := examine(out).findings:
            return f"{findings[0].path}: {findings[0].reason}"
        stored = Store(out).results(plan(EXPERIMENT))
        again = _trained(EXPERIMENT, threads=stored[0].environment.threads)
        return _apart(stored, again, at_most=0.0)


def _on_the_gpu() -> str:
    if not torch.cuda.is_available():
        return ""
    return _apart(_trained(EXPERIMENT, "cuda"), _trained(EXPERIMENT), ROUGHLY)


CHECKS: dict[str, Callable[[], str]] = {
    "bn, gn and ln keep the contract of norms": _norms_keep_the_contract,
    "the same trial gives the same bits": _same_bits_again,
    "a step in the fast way is as exact as torch's": _as_exact_as_torch,
    "worker processes, folder and report": _in_processes,
    "the GPU, if there is one, agrees with the processor": _on_the_gpu,
}


def _trained(experiment: Experiment, device: str = "cpu", threads: int = 1) -> list[Result]:
    """Its trials, trained in this process."""
    dataset = load_dataset(experiment.dataset, None, experiment.train_limit, experiment.test_limit)
    with torch_threads(threads):
        return [run_trial(trial, dataset, choose_device(device)) for trial in plan(experiment)]


def _apart(some: Sequence[Result], others: Sequence[Result], at_most: float) -> str:
    """Which trials answer further apart than that, as a share of the largest logit."""
    wrong = []
    for one, other in zip(some, others, strict=True):
        share = _distance(_logits(one), _logits(other))
        if not share <= at_most:
            wrong.append(f"{one.trial.norm} by {share:.1g}")
    return f"logits are apart: {', '.join(wrong)} of the largest" if wrong else ""


def _logits(result: Result) -> torch.Tensor:
    if result.predictions is None:
        raise RunError(f"{result.trial.norm} {result.status}: {what_went_wrong(result.error)}")
    return torch.tensor(result.predictions.logits).double()


def _distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def _network(norm: str) -> nn.Module:
    """S8 as a training begins with it, but for dropout."""
    model = MODELS["s8"](asked(norm), CLASSES, generator(0, "init"), generator(0, "dropout"))
    for layer in model.modules():
        if isinstance(layer, Dropout):
            layer.p = 0.0
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _gradients(model: nn.Module, images: torch.Tensor, fast: bool = False) -> torch.Tensor:
    """Of all parameters, one after the other; `fast`: computed as in a training."""
    forward = with_fastest_forward(model, images.device, "fp32") if fast else model
    loss = cross_entropy(forward(images), torch.arange(len(images)) % CLASSES)
    found = torch.autograd.grad(loss, [*model.parameters()])
    return torch.cat([gradient.flatten() for gradient in found])
