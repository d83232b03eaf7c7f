"""Sums over a batch of maps, from which every static probe follows: one pass over the maps."""

from dataclasses import dataclass

import torch

LIVE = 1e-10  # of the largest variance: what varies less is a channel that is dead


@dataclass(frozen=True)
class Sums:
    """Of maps x (N, C, H, W), all float64: what the probes of one layer need.

    `total` and `squares`, (N, C): sums of x and of x^2 over the pixels of a map. `products`,
    (C, C): sums of x_c x_d over samples and pixels. `pixels` is H * W.
    """

    total: torch.Tensor
    squares: torch.Tensor
    products: torch.Tensor
    pixels: int

    @classmethod
    def of(cls, x_NCHW: torch.Tensor) -> "Sums":
        # Around the mean of each channel, so that a large mean does not drown what varies.
        maps = x_NCHW.flatten(2).double()
        centre = maps.mean(dim=(0, 2))
        maps = maps - centre[:, None]
        rows = maps.transpose(1, 2).flatten(0, 1)
        total, squares = maps.sum(2), maps.square().sum(2)
        pixels = maps.shape[2]
        products = rows.T @ rows
        sums = total.sum(0)
        count = len(rows)
        return cls(
            total=total + pixels * centre,
            squares=squares + centre * (2 * total + pixels * centre),
            products=products
            + torch.outer(centre, sums)
            + torch.outer(sums, centre)
            + count * torch.outer(centre, centre),
            pixels=pixels,
        )
