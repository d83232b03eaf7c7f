"""A network trained earlier, from the weights that it left: itself, its probes, where it looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from normscope.data import Dataset
from normscope.errors import UsageError
from normscope.experiment import DatasetFacts, NormHeat, ProbePlan, Probes, Trial
from normscope.norms import GIVEN, asked
from normscope.probes import PROBES
from normscope.training.attribution import LOOKS
from normscope.training.device import repeatable_cudnn
from normscope.training.loop import evaluate
from normscope.training.probing import ProbeSet, Taken, moments
from normscope.training.schedule import rates_and_momenta
from normscope.training.split import Split, Splits
from normscope.training.trial import build, build_as_it_is


def probe_trained(
    trial: Trial,
    dataset: Dataset,
    device: torch.device,
    weights: Mapping[str, np.ndarray],
    names: Sequence[str],
) -> Probes:
    """Take probes of a trial's network as it was before its training, and as it is after it.

    Only after it if its channels were grouped anew. `weights` are its parameters and buffers.
    Raises `ValueError` if they are those of another network.
    """
    splits, recipe = Splits.of(dataset.of(trial), device), trial.recipe
    built = build(trial, splits.train, len(dataset.class_names))
    rates, _ = rates_and_momenta(recipe, len(splits.train))
    per_epoch = recipe.steps_per_epoch(len(splits.train))
    plan = ProbePlan(tuple(names), (0, recipe.epochs))
    images, taken = ProbeSet.of(splits, recipe, plan), Taken(device)
    due, last = moments(plan, recipe, per_epoch), recipe.epochs * per_epoch
    with repeatable_cudnn():
        if asked(trial.norm).order == GIVEN:  # or the untrained network is another than was built
            taken.take(due.get(0, []), lambda: images.moment(built, trial, rates[0]), 0)
        _load(built.model, trial, weights)
        trained = due.get(last, [])
        taken.take(trained, lambda: images.moment(built, trial, rates[-1]), recipe.epochs)
    return taken.probes()


@dataclass(frozen=True)
class LookedInto:
    """What is seen of a network that was trained elsewhere, and its accuracy on the test images."""

    test_accuracy_percent: float
    test_images: int
    probes: Probes


def probe_elsewhere(
    trial: Trial,
    dataset: Dataset,
    device: torch.device,
    weights: Mapping[str, torch.Tensor],
    plan: ProbePlan,
    as_it_is: bool,
) -> LookedInto:
    """Take probes of a network whose weights come from another training than normscope's.

    `trial` says which network, with which norm unless it is taken `as_it_is`, and the batch size
    and the learning rate for those probes that need one. Probes of the beginning of a training are
    left out. Raises `UsageError` if the weights do not fit the network.
    """
    splits, recipe = Splits.of(dataset, device), trial.recipe
    make = build_as_it_is if as_it_is else build
    built = make(trial, splits.train, len(dataset.class_names))
    _fill(built.model, weights)
    names = [name for name in plan.names if PROBES[name].when != "start"]
    images, taken = ProbeSet.of(splits, recipe, plan), Taken(device)
    with repeatable_cudnn():
        right = evaluate(built.model, splits.test).argmax(dim=1) == splits.test.labels
        taken.take(names, lambda: images.moment(built, trial, recipe.max_lr), 0)
    share = int(right.sum()) / len(right)
    return LookedInto(100 * share, len(right), taken.probes())


def _fill(network: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Load weights, or say in one line which do not fit."""
    own = network.state_dict()
    # Some files hold a single number as a list of one.
    weights = {
        name: value.reshape(())
        if name in own and own[name].dim() == 0 == value.numel() - 1
        else value
        for name, value in weights.items()
    }
    faults = [
        *(f"{name} is missing" for name in own if name not in weights),
        *(f"{name} is not in the network" for name in weights if name not in own),
        *(
            f"{name} is {tuple(value.shape)}, not {tuple(own[name].shape)}"
            for name, value in weights.items()
            if name in own and value.shape != own[name].shape
        ),
    ]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise UsageError(f"the weights do not fit the network: {', '.join(faults[:3])}{more}")
    network.load_state_dict(dict(weights))


def look_with_trained(
    trial: Trial,
    dataset: Dataset,
    device: torch.device,
    weights: Mapping[str, np.ndarray],
    method: str,
    indexes: np.ndarray,
    classes: np.ndarray,
) -> NormHeat:
    """Where a trial's trained network looked on the test images at `indexes` (N,) int64.

    It answers in evaluation mode, in float32. `classes` (N,) int64 are those that are explained,
    `weights` its parameters and buffers. Raises `ValueError` if they are those of another network,
    `RunError` if it has no layer that can be explained or captum is missing.
    """
    splits = Splits.of(dataset, device)
    network = build(trial, splits.train, len(dataset.class_names)).model
    _load(network, trial, weights)
    x_NCHW, _ = splits.test.batch(torch.from_numpy(indexes).to(device))
    targets = torch.from_numpy(classes).to(device)
    # A layer of a user's own may draw from the global state.
    with repeatable_cudnn(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        layer, maps = LOOKS[method](network.eval(), x_NCHW, targets)
    return NormHeat(layer, classes, maps.numpy(force=True))


def network_trained(
    trial: Trial, facts: DatasetFacts, weights: Mapping[str, np.ndarray]
) -> torch.nn.Module:
    """A trial's trained network on the CPU, in evaluation mode; no image is needed.

    `weights` are its parameters and buffers. Raises `ValueError` if they are those of another
    network.
    """
    images = torch.zeros(1, *facts.image_shape, dtype=torch.uint8).expand(
        facts.train_size, -1, -1, -1
    )
    labels = torch.zeros(facts.train_size, dtype=torch.long)
    blank = Split(images, labels, torch.zeros(3), torch.ones(3))
    network = build(trial, blank, len(facts.class_names)).model
    _load(network, trial, weights)
    return network.eval()


def _load(network: torch.nn.Module, trial: Trial, weights: Mapping[str, np.ndarray]) -> None:
    try:
        network.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    except RuntimeError as error:
        raise ValueError(f"the weights of {trial.id} do not fit its network") from error
