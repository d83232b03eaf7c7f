"""The training loop of one trial."""

import math
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from normscope.config import EpochRecord, Recipe
from normscope.training.split import Split

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
) -> torch.Tensor:
    """Train `model` in place by `recipe`; return the final test logits, (N_test, num_classes).

    `order` draws a new permutation of the training images for every epoch. `on_epoch` is called
    with each epoch's record. Raises `Diverged` when a loss is not finite at the end of an epoch.
    """
    steps_per_epoch = math.ceil(len(train) / recipe.batch_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.max_lr, momentum=0.9)
    schedule = OneCycleLR(
        optimizer, max_lr=recipe.max_lr, epochs=recipe.epochs, steps_per_epoch=steps_per_epoch
    )
    logits = torch.empty(0)
    for epoch in range(1, recipe.epochs + 1):
        started = time.perf_counter()
        learning_rate = optimizer.param_groups[0]["lr"]
        permutation = torch.randperm(len(train), generator=order).to(train.labels.device)
        loss_sum = torch.zeros((), device=train.labels.device)
        correct = torch.zeros((), dtype=torch.long, device=train.labels.device)
        model.train()
        for index in permutation.split(recipe.batch_size):
            x_NCHW, labels = train.batch(index)
            logits = model(x_NCHW)
            loss = cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            learning_rate = optimizer.param_groups[0]["lr"]
            optimizer.step()
            schedule.step()
            # Tensors until the epoch ends: reading a number here would wait for the device.
            loss_sum += loss.detach() * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum()
        train_loss = loss_sum.item() / len(train)
        trained = time.perf_counter()
        logits = evaluate(model, test)
        test_loss = cross_entropy(logits, test.labels).item()
        test_correct = (logits.argmax(dim=1) == test.labels).sum().item()
        if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
            raise Diverged(f"the loss was not finite in epoch {epoch}")
        on_epoch(
            EpochRecord(
                epoch=epoch,
                train_loss_nats=train_loss,
                train_accuracy_percent=100 * correct.item() / len(train),
                test_loss_nats=test_loss,
                test_accuracy_percent=100 * test_correct / len(test),
                learning_rate=learning_rate,
                train_seconds=trained - started,
                test_seconds=time.perf_counter() - trained,
            )
        )
    return logits


def evaluate(model: nn.Module, split: Split) -> torch.Tensor:
    """Logits of every image of a split, in evaluation mode: shape (N, num_classes)."""
    model.eval()
    everything = torch.arange(len(split), device=split.labels.device)
    with torch.inference_mode():
        return torch.cat([model(split.batch(i)[0]) for i in everything.split(EVALUATION_BATCH)])
