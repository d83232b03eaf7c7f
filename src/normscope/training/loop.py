"""The training loop, of one trial and of a fleet."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import torch
from torch import nn

from normscope.experiment import EpochRecord, Recipe
from normscope.models.own import lent_generator
from normscope.training.memory import peak_memory_mib
from normscope.training.split import Split, Splits
from normscope.training.steps import DeviceSteps, EagerSteps, Steps, by_member, losses

# Looks at a network after so many steps, and says how many seconds that took.
Looking = Callable[[Steps, int], float]

# What evaluation computes at once: pixels, as of 1000 images of 32x32. It only bounds memory.
EVALUATION_PIXELS = 1000 * 32 * 32


class Diverged(Exception):
    """The loss stopped being finite."""


def not_looking(step: Steps, taken: int) -> float:
    """The `Looking` of a training that nobody looks into."""
    return 0.0


def fit(
    model: nn.Module,
    splits: Splits,
    recipe: Recipe,
    order: torch.Generator,
    on_epoch: Callable[[EpochRecord], None],
    augment: Sequence[torch.Generator] = (),
) -> torch.Tensor:
    """Train `model` in place by `recipe`; return the final test logits, (N_test, num_classes).

    `order` draws a new permutation of the training images for every epoch; `augment` is a generator
    on the device of the images, alone in a list, for a recipe that augments them. `on_epoch` is
    called with each epoch's record. Raises `Diverged` when a loss is not finite at the end of an
    epoch.
    """
    (outcome,) = fit_fleet(
        model, splits, recipe, [order], lambda member, record: on_epoch(record), augment
    )
    if isinstance(outcome, Diverged):
        raise outcome
    return outcome


def fit_fleet(
    model: nn.Module,
    splits: Splits,
    recipe: Recipe,
    orders: Sequence[torch.Generator],
    on_epoch: Callable[[int, EpochRecord], None],
    augment: Sequence[torch.Generator] = (),
    looking: Looking = not_looking,
) -> list[torch.Tensor | Diverged]:
    """Train the M = ``len(orders)`` members of a joined model; what `fit` does is the case M = 1.

    The model turns x (N, M*C, H, W) into logits (N, M*K). Each member sees the images in its own
    order, augmented by a generator of its own, and its loss depends on nothing of the others. Where
    the recipe averages the network, the average is tested, and stays in the model. `on_epoch` is
    told of each member's epoch; seconds are a member's share. `looking` is called before the first
    step and after each one, with those taken, and must change nothing; its seconds do not count.
    Returns the test logits of each member, or why it diverged; a member that diverged is told of no
    more, and the others go on.
    """
    outcomes: list[torch.Tensor | Diverged] = [torch.empty(0)] * len(orders)
    with closing(steps_for(model, splits.train, recipe, len(orders), augment)) as step:
        looking(step, 0)
        for epoch in range(1, recipe.epochs + 1):
            test_logits, records = _epoch(epoch, step, splits.test, orders, looking)
            for m, record in enumerate(records):
                if isinstance(outcomes[m], Diverged):
                    continue
                if math.isfinite(record.train_loss_nats) and math.isfinite(record.test_loss_nats):
                    outcomes[m] = test_logits[m]
                    on_epoch(m, record)
                else:
                    outcomes[m] = Diverged(f"the loss was not finite in epoch {epoch}")
            if all(isinstance(outcome, Diverged) for outcome in outcomes):
                break
        step.end()
    return outcomes


def steps_for(
    model: nn.Module,
    train: Split,
    recipe: Recipe,
    members: int,
    augment: Sequence[torch.Generator],
) -> Steps:
    """What takes the steps of a training on the device of its images."""
    kind = DeviceSteps if train.device.type == "cuda" and may_be_replayed(model) else EagerSteps
    return kind(model, train, recipe, members, augment)


def may_be_replayed(model: nn.Module) -> bool:
    """Whether each step of a model is the same operations on other numbers.

    A user's network may do something else in every step, by what Python draws for example.
    """
    return not any(lent_generator(layer) for layer in model.modules())


def _epoch(
    epoch: int, step: Steps, test: Split, orders: Sequence[torch.Generator], looking: Looking
) -> tuple[torch.Tensor, list[EpochRecord]]:
    """Train for one epoch, then test: test logits (M, N_test, K), and a record of each member."""
    train, members = step.train, len(orders)
    started = time.perf_counter()
    permutations = torch.stack([torch.randperm(len(train), generator=o) for o in orders])
    step.model.train()
    batches = permutations.to(train.device).split(step.recipe.batch_size, dim=1)
    looked = 0.0
    for taken, index in enumerate(batches, start=(epoch - 1) * len(batches) + 1):
        step(index)
        looked += looking(step, taken)
    loss_sums, train_correct = step.totals()
    trained = time.perf_counter()
    with step.as_tested():
        test_logits = evaluate_fleet(step.model, test, members)
    test_losses, test_correct = _scores(test_logits, test.labels.expand(members, -1))
    ended = time.perf_counter()
    records = [
        EpochRecord(
            epoch=epoch,
            train_loss_nats=loss_sums[m] / len(train),
            train_accuracy_percent=100 * train_correct[m] / len(train),
            test_loss_nats=test_losses[m],
            test_accuracy_percent=100 * test_correct[m] / len(test),
            learning_rate=step.learning_rate,
            train_seconds=(trained - started - looked) / members,
            test_seconds=(ended - trained) / members,
        )
        for m in range(members)
    ]
    return test_logits, records


def _scores(logits: torch.Tensor, labels: torch.Tensor) -> tuple[list[float], list[int]]:
    """Mean loss and number of right answers of each member, from (M, N, K) and (M, N)."""
    right = (logits.argmax(dim=2) == labels).sum(dim=1)
    return losses(logits, labels).mean(dim=1).tolist(), right.tolist()


def evaluate(model: nn.Module, split: Split) -> torch.Tensor:
    """Logits of every image of a split, in evaluation mode: shape (N, num_classes)."""
    return evaluate_fleet(model, split, members=1)[0]


def evaluate_fleet(model: nn.Module, split: Split, members: int) -> torch.Tensor:
    """Logits of every member for every image of a split, in evaluation mode: shape (M, N, K)."""
    model.eval()
    everything = torch.arange(len(split), device=split.device).expand(members, -1)
    height, width = split.images_NHWC.shape[1:3]
    at_once = max(1, EVALUATION_PIXELS // (height * width))
    with torch.inference_mode():
        batches = [
            by_member(model(split.batch(index)[0]), members)
            for index in everything.split(at_once, dim=1)
        ]
        return torch.cat(batches, dim=1)


def step_memory_mib(
    model: nn.Module, train: Split, recipe: Recipe, members: int = 1
) -> float | None:
    """The peak memory of a training step, a member's share: MiB beside weights and data.

    Takes the forward and the backward pass of one batch. That changes running statistics and draws
    random numbers, so it is for a model whose training is over. None as in `peak_memory_mib`.
    """
    images = min(recipe.batch_size, len(train))
    index = torch.arange(images, device=train.device).expand(members, -1)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.train()

    def pass_through() -> None:
        x_NCHW, labels = train.batch(index)
        smoothing = recipe.label_smoothing
        loss = losses(by_member(model(x_NCHW), members), labels, smoothing).mean()
        torch.autograd.grad(loss, parameters, materialize_grads=True)

    peak = peak_memory_mib(pass_through, train.device)
    return None if peak is None else peak / members
