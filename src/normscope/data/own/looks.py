"""What an image looks like, in a few numbers by which near duplicates are found.

The perceptual hash is that of https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html
in the form of the library imagehash (``phash``): the signs of the lowest 8 x 8 coefficients of the
discrete cosine transform of the grey image, against their median.
"""

from functools import cache

import numpy as np

HASH_SIDE = 8  # coefficients per direction in the hash
SHAPE_SIDE = 12  # and in the vector by which a likeness is confirmed


def looks_of(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes uint64 (N,), and unit vectors float16 (N, 144), of uint8 images (N, S, S, 3).

    The scalar product of two such vectors is the correlation of the two grey images, without what
    is finer than a 12th of their side. An image of one colour has a vector of zeros.
    """
    # In integers, as pillow weighs the colours (ITU-R 601-2).
    weighed = pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    grey = ((weighed + 0x8000) >> 16).astype(np.float64)
    waves = _waves(pixels.shape[1])
    transformed = waves @ grey @ waves.T
    low = transformed[:, :HASH_SIDE, :HASH_SIDE].reshape(len(pixels), HASH_SIDE**2)
    bits = low > np.median(low, axis=1, keepdims=True)
    shapes = transformed.reshape(len(pixels), SHAPE_SIDE**2)
    shapes *= _orthonormal()
    shapes[:, 0] = 0  # the mean: brightness is no likeness
    lengths = np.linalg.norm(shapes, axis=1, keepdims=True)
    np.divide(shapes, lengths, out=shapes, where=lengths > 1e-6)
    return np.packbits(bits, axis=1).view(np.uint64).ravel(), shapes.astype(np.float16)


@cache
def _waves(side: int) -> np.ndarray:
    """The lowest rows of the cosine transform (type 2) of so many values: (12, side).

    There are none beyond `side`: those rows are zero.
    """
    place = (np.arange(side) + 0.5) * np.pi / side
    waves = np.cos(np.arange(SHAPE_SIDE)[:, None] * place)
    waves[side:] = 0
    return waves


@cache
def _orthonormal() -> np.ndarray:
    """Factors (144,) that make the coefficients those of unit waves, but for a common one."""
    factors = np.ones(SHAPE_SIDE)
    factors[0] = 0.5**0.5
    return np.outer(factors, factors).ravel()
