"""A recipe's optimizer and schedule: torch's own."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from normscope.experiment import Recipe

BETA2 = 0.999  # AdamW's, torch's default

# How each optimizer is made of groups of parameters, learning rate and momentum.
OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], float, float], Optimizer]] = {
    "sgd": lambda groups, lr, momentum: SGD(groups, lr, momentum),
    "sgd-nesterov": lambda groups, lr, momentum: SGD(groups, lr, momentum, nesterov=True),
    "adamw": lambda groups, lr, beta1: AdamW(groups, lr, (beta1, BETA2)),
}

# The learning rate as a share of the highest one, after a share of the steps behind the warm-up.
# "step": He et al. 2015, arXiv 1512.03385, section 4.2.
COURSES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
    "step": lambda done: 0.1 ** sum(done >= milestone for milestone in (1 / 2, 3 / 4)),
}


def steps_of(recipe: Recipe, images: int) -> int:
    """The number of steps of a whole training on so many images."""
    return recipe.epochs * recipe.steps_per_epoch(images)


def optimizer_of(
    parameters: Iterable[torch.Tensor], recipe: Recipe, images: int
) -> tuple[Optimizer, LRScheduler]:
    """The recipe's optimizer and its schedule, which is stepped after every batch."""
    make = OPTIMIZERS[recipe.optimizer]
    optimizer = make(_groups(list(parameters), recipe), recipe.max_lr, recipe.max_momentum)
    return optimizer, _schedule(optimizer, recipe, steps_of(recipe, images))


def is_penalized(parameter: torch.Tensor, recipe: Recipe) -> bool:
    """Whether weight decay and l1 are for that parameter."""
    return recipe.weight_decay_on == "all" or parameter.dim() >= 2


def _groups(parameters: Sequence[torch.Tensor], recipe: Recipe) -> list[dict[str, Any]]:
    penalized = [p for p in parameters if is_penalized(p, recipe)]
    others = [p for p in parameters if not is_penalized(p, recipe)]
    groups = [
        {"params": penalized, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    if recipe.schedule == "one-cycle":
        return OneCycleLR(
            optimizer,
            max_lr=recipe.max_lr,
            total_steps=steps,
            base_momentum=recipe.min_momentum,
            max_momentum=recipe.max_momentum,
        )
    warmup, course = int(recipe.warmup * steps), COURSES[recipe.schedule]

    def share(step: int) -> float:
        """Of the highest learning rate, in a step counted from 0."""
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return course((step - warmup) / (steps - warmup))

    return LambdaLR(optimizer, share)


def rates_and_momenta(recipe: Recipe, images: int) -> tuple[list[float], list[float]]:
    """Learning rate and momentum of every step of a training, as torch's schedule has them."""
    optimizer, schedule = optimizer_of([nn.Parameter(torch.zeros(()))], recipe, images)
    steps = steps_of(recipe, images)
    (group,) = optimizer.param_groups
    rates, momenta = [], []
    for _ in range(steps):
        rates.append(group["lr"])
        momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
        optimizer.step()
        if len(rates) < steps:
            schedule.step()
    return rates, momenta
