"""A network from pixels to probabilities: what it was trained on normalized images for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

AT_ONCE = 64  # images; what the layers hold of so many fits into any memory


class Classifier(nn.Module):
    """Softmax probabilities (N, classes) of images (N, 3, H, W), float32 in [0, 1].

    `mean`, `std`: per channel; `network` takes images less the mean, over the deviation.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def normalized(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        return (images_NCHW - self.mean) / self.std

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        return self.network(self.normalized(images_NCHW)).softmax(dim=1)

    @torch.no_grad()
    def answers(self, images_NHWC: np.ndarray) -> np.ndarray:
        """The probabilities of images uint8 (N, H, W, 3) in evaluation mode: float32."""
        self.eval()
        starts = range(0, len(images_NHWC), AT_ONCE)
        parts = (scaled(images_NHWC[start : start + AT_ONCE]) for start in starts)
        return torch.cat([self(torch.from_numpy(part)) for part in parts]).numpy()


def scaled(images_NHWC: np.ndarray) -> np.ndarray:
    """Images uint8 (N, H, W, 3) as a classifier takes them: float32 (N, 3, H, W) in [0, 1]."""
    return np.ascontiguousarray(images_NHWC.transpose(0, 3, 1, 2), np.float32) / 255
