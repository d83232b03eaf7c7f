"""The training loop, of one trial and of a fleet."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import torch
from torch import nn

from normscope.experiment import EpochRecord, Recipe
from normscope.training.memory import peak_memory_mib
from normscope.training.split import Split
from normscope.training.steps import (
    DeviceSteps,
    EagerSteps,
    Forward,
    Steps,
    by_member,
    losses,
)

EVALUATION_BATCH = 1000  # images; evaluation has no gradients, so this only bounds memory


class Diverged(Exception):
    """The loss stopped being finite."""


def fit(
    model: nn.Module,
    train: Split,
    test: Split,
    recipe: Recipe,
    order: torch.Generator,
    on_epoch: Callable[[EpochRecord], None],
    forward: Forward | None = None,
) -> torch.Tensor:
    """Train `model` in place by `recipe`; return the final test logits, (N_test, num_classes).

    `order` draws a new permutation of the training images for every epoch. `on_epoch` is called
    with each epoch's record. `forward` computes what the model does, such as its `fastest_forward`
    (default: the model). Raises `Diverged` when a loss is not finite at the end of an epoch.
    """
    (outcome,) = fit_fleet(
        model, train, test, recipe, [order], lambda member, record: on_epoch(record), forward
    )
    if isinstance(outcome, Diverged):
        raise outcome
    return outcome


def fit_fleet(
    model: nn.Module,
    train: Split,
    test: Split,
    recipe: Recipe,
    orders: Sequence[torch.Generator],
    on_epoch: Callable[[int, EpochRecord], None],
    forward: Forward | None = None,
) -> list[torch.Tensor | Diverged]:
    """Train the M = ``len(orders)`` members of a folded model; what `fit` does is the case M = 1.

    The model turns x (N, M*3, H, W) into logits (N, M*K). Each member sees the images in its own
    order, and its loss depends on nothing of the others. `on_epoch` is told of each member's epoch;
    seconds are a member's share. Returns the test logits of each member, or why it diverged; a
    member that diverged is told of no more, and the others go on.
    """
    forward = forward or model
    members = len(orders)
    take_steps = DeviceSteps if train.labels.device.type == "cuda" else EagerSteps
    with closing(take_steps(model, forward, train, recipe, members)) as step:
        return _fit(model, step, train, test, recipe, orders, on_epoch, forward)


def _fit(
    model: nn.Module,
    step: Steps,
    train: Split,
    test: Split,
    recipe: Recipe,
    orders: Sequence[torch.Generator],
    on_epoch: Callable[[int, EpochRecord], None],
    forward: Forward,
) -> list[torch.Tensor | Diverged]:
    """The loop over epochs: train, evaluate, tell."""
    members, device = len(orders), train.labels.device
    outcomes: list[torch.Tensor | Diverged] = [torch.empty(0)] * members
    for epoch in range(1, recipe.epochs + 1):
        started = time.perf_counter()
        permutations = torch.stack([torch.randperm(len(train), generator=o) for o in orders])
        model.train()
        for index in permutations.to(device).split(recipe.batch_size, dim=1):
            step(index)
        loss_sums, train_correct = step.totals()
        trained = time.perf_counter()
        test_logits = evaluate_fleet(model, test, members, forward)
        test_losses, test_correct = _scores(test_logits, test.labels.expand(members, -1))
        ended = time.perf_counter()
        for m, outcome in enumerate(outcomes):
            if isinstance(outcome, Diverged):
                continue
            if not (math.isfinite(loss_sums[m]) and math.isfinite(test_losses[m])):
                outcomes[m] = Diverged(f"the loss was not finite in epoch {epoch}")
                continue
            outcomes[m] = test_logits[m]
            record = EpochRecord(
                epoch=epoch,
                train_loss_nats=loss_sums[m] / len(train),
                train_accuracy_percent=100 * train_correct[m] / len(train),
                test_loss_nats=test_losses[m],
                test_accuracy_percent=100 * test_correct[m] / len(test),
                learning_rate=step.learning_rate,
                train_seconds=(trained - started) / members,
                test_seconds=(ended - trained) / members,
            )
            on_epoch(m, record)
        if all(isinstance(outcome, Diverged) for outcome in outcomes):
            break
    return outcomes


def step_memory_mib(
    model: nn.Module, train: Split, recipe: Recipe, members: int, forward: Forward
) -> float | None:
    """The peak memory of a training step, a member's share: MiB beside weights and data.

    Takes the forward and the backward pass of one batch. That changes running statistics and draws
    random numbers, so it is for a model whose training is over. None as in `peak_memory_mib`.
    """
    device = train.labels.device
    index = torch.arange(min(recipe.batch_size, len(train)), device=device).expand(members, -1)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.train()

    def pass_through() -> None:
        x_NCHW, labels = train.batch(index)
        loss = losses(by_member(forward(x_NCHW), members), labels).mean()
        torch.autograd.grad(loss, parameters, materialize_grads=True)

    peak = peak_memory_mib(pass_through, device)
    return None if peak is None else peak / members


def _scores(logits: torch.Tensor, labels: torch.Tensor) -> tuple[list[float], list[int]]:
    """Mean loss and number of right answers of each member, from (M, N, K) and (M, N)."""
    right = (logits.argmax(dim=2) == labels).sum(dim=1)
    return losses(logits, labels).mean(dim=1).tolist(), right.tolist()


def evaluate(model: nn.Module, split: Split, forward: Forward | None = None) -> torch.Tensor:
    """Logits of every image of a split, in evaluation mode: shape (N, num_classes).

    `forward` as in `fit`.
    """
    return evaluate_fleet(model, split, 1, forward)[0]


def evaluate_fleet(
    model: nn.Module, split: Split, members: int, forward: Forward | None = None
) -> torch.Tensor:
    """Logits of every member for every image of a split, in evaluation mode: shape (M, N, K)."""
    forward = forward or model
    model.eval()
    everything = torch.arange(len(split), device=split.labels.device).expand(members, -1)
    with torch.inference_mode():
        batches = [
            by_member(forward(split.batch(index)[0]), members)
            for index in everything.split(EVALUATION_BATCH, dim=1)
        ]
        return torch.cat(batches, dim=1)
