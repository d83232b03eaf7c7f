"""The training of the published experiment, as an oracle for results and a baseline for speed.

It uses a map-style data set of PIL images, each turned into a tensor and normalized by itself, a
DataLoader with two workers, plain modules in torch's default memory format, float32, and `.item()`
in every step.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as MapDataset

from normscope.data import Dataset


class Images(MapDataset):
    """One split as (tensor 3x32x32, label) pairs."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, dataset: Dataset):
        self.images = [Image.fromarray(image) for image in images]
        self.labels = labels.tolist()
        self.mean = torch.tensor(dataset.mean).view(3, 1, 1)
        self.std = torch.tensor(dataset.std).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = torch.from_numpy(np.array(self.images[index], copy=True))
        x = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return (x - self.mean) / self.std, self.labels[index]


class Batches(Protocol):
    """Pairs of inputs and labels, such as a DataLoader makes anew for every epoch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def make_model(norm: str, dropout: float = 0.01, num_classes: int = 10) -> nn.Sequential:
    """The S8 network, built from plain modules; `norm` is bn, gn or ln."""

    def make_norm(channels: int) -> nn.Module:
        groups = {"gn": 4, "ln": 1}
        return nn.GroupNorm(groups[norm], channels) if norm in groups else nn.BatchNorm2d(channels)

    def conv(i: int, o: int, size: int, padding: int = 0) -> nn.Module:
        return nn.Conv2d(i, o, size, padding=padding, bias=False)

    def block(i: int, o: int, padding: int) -> list[nn.Module]:
        return [conv(i, o, 3, padding), nn.ReLU(), make_norm(o), nn.Dropout(dropout)]

    return nn.Sequential(
        *block(3, 16, 0), *block(16, 20, 0), conv(20, 16, 1), nn.MaxPool2d(2),
        *block(16, 20, 1), *block(20, 24, 1), *block(24, 28, 1), conv(28, 16, 1), nn.MaxPool2d(2),
        *block(16, 20, 1), *block(20, 24, 1), *block(24, 28, 1), nn.AvgPool2d(4),
        conv(28, num_classes, 1), nn.Flatten(),
    )  # fmt: skip


def loaders(dataset: Dataset, batch_size: int, workers: int = 2) -> tuple[DataLoader, DataLoader]:
    """Training and test batches."""
    train = Images(dataset.train_images, dataset.train_labels, dataset)
    test = Images(dataset.test_images, dataset.test_labels, dataset)
    return (
        DataLoader(train, batch_size, shuffle=True, num_workers=workers),
        DataLoader(test, batch_size, num_workers=workers),
    )


def train(
    model: nn.Module,
    train_batches: Batches,
    test_batches: Batches,
    max_lr: float,
    epochs: int,
) -> list[tuple[float, float, float, float]]:
    """Train in place; return train loss and accuracy, test loss and accuracy (percent) by epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    schedule = OneCycleLR(
        optimizer, max_lr=max_lr, epochs=epochs, steps_per_epoch=len(train_batches)
    )
    rows = []
    for _ in range(epochs):
        model.train()
        losses, correct, seen = 0.0, 0, 0
        for x, labels in train_batches:
            optimizer.zero_grad()
            logits = model(x)
            loss = cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.item() * len(labels)
            correct += logits.argmax(dim=1).eq(labels).sum().item()
            seen += len(labels)
        rows.append((losses / seen, 100 * correct / seen, *test(model, test_batches)))
    return rows


def test(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """Mean loss and accuracy in percent."""
    model.eval()
    losses, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for x, labels in batches:
            logits = model(x)
            losses += cross_entropy(logits, labels, reduction="sum").item()
            correct += logits.argmax(dim=1).eq(labels).sum().item()
            seen += len(labels)
    return losses / seen, 100 * correct / seen
