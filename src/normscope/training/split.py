"""A data set on the device, turned into normalized batches on the fly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from normscope.data import Dataset
from normscope.training.augment import Augment


@dataclass(frozen=True)
class Split:
    """`images_NHWC`: uint8; `labels`: int64 (N,); `mean`, `std`: float32 (C,), pixels in [0, 1]."""

    images_NHWC: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def from_numpy(
        cls,
        images: np.ndarray,
        labels: np.ndarray,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
    ) -> "Split":
        return cls(
            torch.from_numpy(images).to(device),
            torch.from_numpy(labels).to(device),
            torch.tensor(mean, device=device),
            torch.tensor(std, device=device),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    def batch(
        self, index: torch.Tensor, augment: Augment | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs x_NCHW (float32) and labels of the images in `index`, shape (N,) or (M, N).

        With an index for each of M members, x is (N, M*C, H, W), the members' channels side by
        side, the labels are (M, N), and the images may be augmented. They lie in memory as
        N, H, W, C, so x comes out in torch's channels_last layout, in which the convolutions on a
        CPU take two thirds of the time.
        """
        images = self.images_NHWC[index]
        if augment is not None:
            images = augment.pixels(images)
        x_NHWC = self._normalized(images)
        if augment is not None:
            x_NHWC = augment.normalized(
                x_NHWC, self._normalized(images.new_zeros(images.shape[-1]))
            )
        if index.dim() == 2:
            x_NHWC = x_NHWC.permute(1, 2, 3, 0, 4).flatten(3)
        return x_NHWC.permute(0, 3, 1, 2), self.labels[index]

    def normalized(self, images: np.ndarray) -> torch.Tensor:
        """x_NCHW (float32), as `batch` makes it, of images uint8 (N, H, W, C) that are not here."""
        return self._normalized(torch.from_numpy(images).to(self.device)).permute(0, 3, 1, 2)

    def _normalized(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 pixels (..., C) as float32, scaled to [0, 1], then less mean over deviation."""
        return pixels.float().div_(255).sub_(self.mean).div_(self.std)


@dataclass(frozen=True)
class Splits:
    """What a network is trained on, and what it is tested on after every epoch."""

    train: Split
    test: Split

    @classmethod
    def of(cls, dataset: Dataset, device: torch.device) -> "Splits":
        """Both splits of a data set, on the device."""
        scale = dataset.mean, dataset.std, device
        return cls(
            Split.from_numpy(dataset.train_images, dataset.train_labels, *scale),
            Split.from_numpy(dataset.test_images, dataset.test_labels, *scale),
        )
