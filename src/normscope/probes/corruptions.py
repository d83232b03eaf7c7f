"""Test images made worse on purpose: six kinds of corruption, five strengths each.

The kinds are from Hendrycks & Dietterich 2019, arXiv:1903.12261. The strengths are for images of
32x32: those of noise, blur, contrast and JPEG are the ones of the same authors' CIFAR-10-C, and
those of brightness and pixelation are explained beside them. Even where the strengths are the same,
the images differ in rounding, so accuracies on them are not to be mixed with published ones.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

from normscope.errors import UsageError

STRENGTHS = 5

NOISE_SD = 0.04, 0.06, 0.08, 0.09, 0.10  # of full scale
BLUR_SD = 0.4, 0.6, 0.7, 0.8, 1.0  # pixels
CONTRAST = 0.75, 0.5, 0.4, 0.3, 0.15  # of the contrast there was
# Levels of 255. CIFAR-10-C adds 5, 10, 15, 20 and 30 % of full scale to the value of HSV, which
# keeps the hue of a colour; here they are added to red, green and blue alike.
BRIGHTNESS = 13, 26, 38, 51, 77
# Cells along a side, per pixel: 28, 24, 20, 16 and 12 of 32. CIFAR-10-C goes from 0.95 to 0.65,
# which a person hardly sees; at 0.25 little can be recognised any more.
CELLS = 0.875, 0.75, 0.625, 0.5, 0.375
JPEG_QUALITY = 80, 65, 58, 50, 40  # of Pillow, out of 100

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""Images uint8 (N, H, W, 3), a strength from 1 to `STRENGTHS`, random numbers: as many new images.

Raises `UsageError` for any other strength.
"""


def noise(images: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Normal noise, independent for each pixel and colour, with a deviation of `NOISE_SD`."""
    sd = 255 * _at(NOISE_SD, strength)
    return _pixels(images + sd * rng.standard_normal(images.shape, dtype=np.float32))


def blur(images: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur with a deviation of `BLUR_SD`; the edge pixels continue beyond the edge."""
    sd = _at(BLUR_SD, strength)
    return _separable(images, lambda side: blur_weights(side, sd))


def contrast(images: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Each colour keeps `CONTRAST` of its distance from that colour's mean over the image."""
    means = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    return _pixels(means + _at(CONTRAST, strength) * (images - means))


def brightness(images: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Every pixel and colour is `BRIGHTNESS` levels higher."""
    return _pixels(images.astype(np.int16) + _at(BRIGHTNESS, strength))


def pixelation(images: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Fewer and larger pixels, each the mean of what it covers; `CELLS` says how many."""
    share = _at(CELLS, strength)
    return _separable(images, lambda side: cell_weights(side, round(share * side)))


def jpeg(images: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Each image is written as JPEG with a quality of `JPEG_QUALITY`, and read again."""
    quality = _at(JPEG_QUALITY, strength)
    found = np.empty_like(images)
    for number, image in enumerate(images):
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        found[number] = np.asarray(Image.open(file))
    return found


CORRUPTIONS: dict[str, Corruption] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "brightness": brightness,
    "pixelation": pixelation,
    "jpeg": jpeg,
}


def blur_weights(side: int, sd: float) -> np.ndarray:
    """What each of `side` pixels in a row takes from each: float64, (to, from), rows add to 1.

    The kernel is ``exp(-d^2 / (2 sd^2))`` at the distance d in pixels, cut off at 4 sd. Pixels
    beyond the edge are equal to the one at the edge.
    """
    reach = int(np.ceil(4 * sd))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-np.square(offsets / sd) / 2)
    kernel /= kernel.sum()
    to = np.arange(side)[:, None]
    weights = np.zeros((side, side))
    np.add.at(weights, (to, np.clip(to + offsets, 0, side - 1)), kernel)
    return weights


def cell_weights(side: int, cells: int) -> np.ndarray:
    """What each of `side` pixels in a row takes from each: float64, (to, from), rows add to 1.

    The row is cut into `cells` of equal length. A cell takes from a pixel in proportion to how much
    of the pixel it covers, and gives its mean to the pixels whose centre it covers.
    """
    edges = np.arange(cells + 1) * side / cells
    left = np.arange(side)
    overlap = np.minimum(edges[1:, None], left + 1) - np.maximum(edges[:-1, None], left)
    means = overlap.clip(min=0) * cells / side
    return means[((left + 0.5) * cells / side).astype(int)]


def _separable(images: np.ndarray, weights: Callable[[int], np.ndarray]) -> np.ndarray:
    """The weights of a row, by its length, along both sides of images (N, H, W, 3)."""
    count, height, width, colours = images.shape
    down, across = (weights(side).astype(np.float32) for side in (height, width))
    x = down @ images.reshape(count, height, width * colours).astype(np.float32)
    return _pixels(across @ x.reshape(images.shape))


def _at(table: tuple, strength: int):
    if strength not in range(1, STRENGTHS + 1):
        raise UsageError(f"strength {strength} of a corruption; it is from 1 to {STRENGTHS}")
    return table[strength - 1]


def _pixels(values: np.ndarray) -> np.ndarray:
    """Rounded, and cut off at 0 and 255, as uint8 would wrap around."""
    return np.rint(values).clip(0, 255).astype(np.uint8)
