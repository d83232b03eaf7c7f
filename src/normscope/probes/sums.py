"""Sums over a batch of maps, from which every static probe follows: one pass over the maps."""

from dataclasses import dataclass

import torch

LIVE = 1e-10  # of the largest variance: what varies less is a channel that is dead


@dataclass(frozen=True)
class Rows:
    """Maps x (N, C, H, W) as `values` (N, H * W, C), less the mean of each channel.

    These means are the `centre`, (C,). A large one would drown what varies.
    """

    values: torch.Tensor
    centre: torch.Tensor

    @classmethod
    def of(cls, x_NCHW: torch.Tensor) -> "Rows":
        """In float32 or wider."""
        wide = torch.promote_types(x_NCHW.dtype, torch.float32)
        rows = x_NCHW.to(wide).permute(0, 2, 3, 1).flatten(1, 2)  # of channels_last it is a view
        centre = rows.sum(1).sum(0) / (rows.shape[0] * rows.shape[1])  # faster than the mean
        return cls(rows - centre, centre)


@dataclass(frozen=True)
class Sums:
    """Of maps x (N, C, H, W): what the probes of one layer need, all float64.

    `total` and `squares`, (N, C): sums of x and of x^2 over the pixels of a map. `products`,
    (C, C): sums of x_c x_d over samples and pixels. `pixels` is H * W.
    """

    total: torch.Tensor
    squares: torch.Tensor
    products: torch.Tensor
    pixels: int

    @classmethod
    def of(cls, x_NCHW: torch.Tensor) -> "Sums":
        return cls.of_rows(Rows.of(x_NCHW))

    @classmethod
    def of_rows(cls, maps: Rows) -> "Sums":
        rows = maps.values
        # A product per sample: float32 then adds up no more than the pixels of a map.
        grams = (rows.transpose(1, 2) @ rows).double()
        total, squares = rows.sum(1).double(), torch.diagonal(grams, dim1=1, dim2=2)
        samples, pixels, _ = rows.shape
        centre, sums = maps.centre.double(), total.sum(0)
        return cls(
            total=total + pixels * centre,
            squares=squares + centre * (2 * total + pixels * centre),
            products=grams.sum(0)
            + torch.outer(centre, sums)
            + torch.outer(sums, centre)
            + samples * pixels * torch.outer(centre, centre),
            pixels=pixels,
        )

    @property
    def count(self) -> int:
        """The values of a channel."""
        return len(self.total) * self.pixels

    @property
    def means(self) -> torch.Tensor:
        """Of each channel over samples and pixels: (C,)."""
        return self.total.sum(0) / self.count

    @property
    def variances(self) -> torch.Tensor:
        """Of each channel over samples and pixels, with the divisor N * H * W: (C,)."""
        return (torch.diagonal(self.products) / self.count - self.means.square()).clamp_min(0)
