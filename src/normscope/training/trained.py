"""Probes of a network that was trained earlier, from the weights that it left."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from normscope.data import Dataset
from normscope.experiment import ProbePlan, Probes, Trial
from normscope.norms import GIVEN, asked
from normscope.training.device import repeatable_cudnn
from normscope.training.probing import ProbeSet, Taken, moments
from normscope.training.schedule import rates_and_momenta
from normscope.training.split import Splits
from normscope.training.trial import build


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
    splits, recipe = Splits.of(dataset, device), trial.recipe
    built = build(trial, splits.train, len(dataset.class_names))
    images, taken = ProbeSet.of(splits, recipe), Taken(device)
    rates, _ = rates_and_momenta(recipe, len(splits.train))
    per_epoch = recipe.steps_per_epoch(len(splits.train))
    plan = ProbePlan(tuple(names), (0, recipe.epochs))
    due, last = moments(plan, recipe, per_epoch), recipe.epochs * per_epoch
    with repeatable_cudnn():
        if asked(trial.norm).order == GIVEN:  # or the untrained network is another than was built
            taken.take(due.get(0, []), lambda: images.moment(built, trial, rates[0]), 0)
        try:
            state = {name: torch.from_numpy(value) for name, value in weights.items()}
            built.model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"the weights of {trial.id} do not fit its network") from error
        trained = due.get(last, [])
        taken.take(trained, lambda: images.moment(built, trial, rates[-1]), recipe.epochs)
    return taken.probes()
