"""What a recipe does to the training images before the network sees them.

Images come as (M, N, H, W, C): N of each of M members, whose random numbers come from a generator
of its own. So a member sees what it would see alone, and the norms of a block see the same images.
Each function returns new images and draws as many numbers whatever it draws.
"""

from collections.abc import Callable, Sequence

import torch

from normscope.experiment.recipe import CROP_PADDING, CUTOUT_SIDE

Generators = Sequence[torch.Generator]  # one for each member, on the device of the images


def flip(images: torch.Tensor, black: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Each image mirrored left to right with probability 1/2."""
    mirrored = _integers(2, images, generators).bool()
    return torch.where(mirrored[..., None, None, None], images.flip(3), images)


def crop(images: torch.Tensor, black: torch.Tensor, generators: Generators) -> torch.Tensor:
    """A random window of the image's own size out of the image with a border of `black`, (C,).

    The border is `CROP_PADDING` pixels wide. Source: He et al. 2015, arXiv 1512.03385, section 4.2;
    torchvision.transforms.RandomCrop.
    """
    members, count, height, width, channels = images.shape
    tall, wide = height + 2 * CROP_PADDING, width + 2 * CROP_PADDING
    top, left = (_integers(2 * CROP_PADDING + 1, images, generators) for _ in range(2))
    padded = black.expand(members, count, tall, wide, channels).clone()
    inside = slice(CROP_PADDING, -CROP_PADDING)
    padded[:, :, inside, inside] = images
    # A row of a window is one piece of memory, which is copied as such.
    rows_before = tall * torch.arange(members * count, device=images.device) + top.flatten()
    rows = rows_before[:, None] + torch.arange(height, device=images.device)
    starts = wide * rows + left.flatten()[:, None]
    pieces = padded.flatten().unfold(0, width * channels, channels)
    return pieces[starts.flatten()].view(images.shape)


def cutout(images: torch.Tensor, black: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Each image with a square of `CUTOUT_SIDE` pixels around a random pixel set to 0.

    For normalized images, in which 0 is the mean. What of the square lies outside of the image is
    lost. Source: DeVries & Taylor 2017, arXiv 1708.04552.
    """
    members, count, height, width, channels = images.shape
    around = torch.arange(CUTOUT_SIDE, device=images.device) - CUTOUT_SIDE // 2
    row, column = (_integers(side, images, generators).flatten() for side in (height, width))
    # Clipped, since what is outside falls on the last row or column, which is inside.
    rows = (row[:, None] + around).clamp(0, height - 1)
    columns = (column[:, None] + around).clamp(0, width - 1)
    rows += height * torch.arange(members * count, device=images.device)[:, None]
    pixels = (width * rows)[:, :, None] + columns[:, None, :]
    return images.reshape(-1, channels).index_fill(0, pixels.flatten(), 0).view(images.shape)


AUGMENTATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, Generators], torch.Tensor]] = {
    "flip": flip,
    "crop": crop,
    "cutout": cutout,
}


class Augment:
    """The augmentations of a recipe, in their order, for the members of a fleet.

    As many as possible of them work on `pixels`, uint8 images, which are four times as small as
    normalized ones; from the first cutout on, which needs the mean, they work on `normalized` ones.
    """

    def __init__(self, names: Sequence[str], generators: Generators):
        first = names.index("cutout") if "cutout" in names else len(names)
        self.on_pixels, self.on_normalized = names[:first], names[first:]
        self.generators = generators

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """The first augmentations, of uint8 images."""
        return self._all(self.on_pixels, images, images.new_zeros(images.shape[-1]))

    def normalized(self, images: torch.Tensor, black: torch.Tensor) -> torch.Tensor:
        """The rest of them, of normalized images, in which a black pixel is `black`, (C,)."""
        return self._all(self.on_normalized, images, black)

    def _all(self, names: Sequence[str], images: torch.Tensor, black: torch.Tensor) -> torch.Tensor:
        for name in names:
            images = AUGMENTATIONS[name](images, black, self.generators)
        return images


def _integers(below: int, images: torch.Tensor, generators: Generators) -> torch.Tensor:
    """A random number 0 <= n < below for each image: int64, (M, N)."""
    members, count = images.shape[:2]
    return torch.stack(
        [
            torch.randint(below, (count,), generator=generator, device=images.device)
            for _, generator in zip(range(members), generators, strict=True)
        ]
    )
