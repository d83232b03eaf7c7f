"""shapes: a synthetic data set that is drawn from a seed and needs no files.

Ten outlines in many poses and colours, in front of textured backgrounds and partly hidden. Each
outline is a signed distance function (negative inside, in units of its radius), which gives smooth
edges without supersampling: https://iquilezles.org/articles/distfunctions2d/ explains the method.
"""

from collections.abc import Callable

import numpy as np

from normscope.data.dataset import Dataset

DESCRIPTION = "shapes: synthetic drawings of 10 outlines, 32x32 pixels, made from a seed"
SIDE = 32  # pixels
CHUNK = 250  # images that are drawn at once; each chunk has a random stream of its own

# How hard the pictures are. Lengths are in half pictures (16 pixels), colours in [0, 1].
RADIUS = (0.4, 0.8)
SHIFT = 0.25  # largest shift of the centre in each direction
TURN = 0.5  # largest turn from upright in each direction, in radians
GROUND = (0.0, 0.6)  # colours of the background; they overlap with those of the outline, `INK`
INK = (0.4, 1.0)
BARS = 3  # largest number of bars over an image
NOISE = 0.12  # largest standard deviation of the noise


def make_shapes(seed: int = 0, train_size: int = 5_000, test_size: int = 2_000) -> Dataset:
    """Draw the data set.

    The splits have separate random streams, and an image depends only on `seed`, its split and its
    index. Another `train_size` or `test_size` therefore lengthens or shortens the same sequence.
    Classes are equally frequent in every 250 images. The bytes are the same wherever numpy's
    ``sin`` and its random distributions give the same values: with one version of numpy on one kind
    of processor.
    """
    train_images, train_labels = _split(seed, 0, train_size)
    test_images, test_labels = _split(seed, 1, test_size)
    return Dataset(
        name="shapes",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=tuple(OUTLINES),
        mean=(0.40, 0.40, 0.40),
        std=(0.21, 0.21, 0.21),
        synthetic=True,
        description=DESCRIPTION,
    )


def _split(seed: int, split: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (size, SIDE, SIDE, 3) and labels int64 (size,)."""
    starts = range(0, size, CHUNK)
    chunks = [_draw_chunk(np.random.default_rng([seed, split, start])) for start in starts]
    images, labels = zip(*chunks, strict=True)
    return np.concatenate(images)[:size], np.concatenate(labels)[:size]


def _draw_chunk(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """CHUNK images and their labels, drawn from back to front and then seen by the camera."""
    labels = rng.permutation(np.arange(CHUNK) % len(OUTLINES))
    image = _background(rng)
    image = _paint(image, _outline_cover(rng, labels), _uniform(rng, *INK, 3))
    for _ in range(BARS):
        image = _paint(image, _bar_cover(rng), _uniform(rng, 0, 1, 3))
    return _camera(rng, image), labels


def _uniform(rng: np.random.Generator, low: float, high: float, values: int = 1) -> np.ndarray:
    """Random numbers for each image, float32 (values, CHUNK, 1, 1)."""
    return low + (high - low) * rng.random((values, CHUNK, 1, 1), np.float32)


def _posed(rng: np.random.Generator, turn: float, shift: float) -> np.ndarray:
    """Pixel centres relative to figures that are turned and shifted at random within these limits.

    float32 (2, CHUNK, SIDE, SIDE): x points right and y up; both are in [-1, 1] before the move.
    """
    axis = (np.arange(SIDE, dtype=np.float32) + 0.5) * 2 / SIDE - 1
    shift_x, shift_y = _uniform(rng, -shift, shift, 2)
    x, y = axis - shift_x, -axis[:, None] - shift_y
    angle = _uniform(rng, -turn, turn)[0]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x + sin * y, cos * y - sin * x])


def _cover(distance: np.ndarray) -> np.ndarray:
    """The share of each pixel that is inside, in [0, 1]; `distance` is signed, in half pictures."""
    return np.clip(0.5 - distance * (SIDE / 2), 0, 1)


def _paint(image: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return image + cover * (colour - image)


def _outline_cover(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    radius = _uniform(rng, *RADIUS)[0]
    points = _posed(rng, TURN, SHIFT) / radius
    distance = np.empty(points.shape[1:], np.float32)
    for label, outline in enumerate(OUTLINES.values()):
        distance[labels == label] = outline(*points[:, labels == label])
    return _cover(distance * radius)


def _bar_cover(rng: np.random.Generator) -> np.ndarray:
    """The cover of one thin bar per image, of any length and at any place."""
    x, y = abs(_posed(rng, np.pi, 0.9))
    return _cover(np.maximum(x - _uniform(rng, 0, 0.8)[0], y - _uniform(rng, 0, 0.12)[0]))


def _background(rng: np.random.Generator) -> np.ndarray:
    """Two colours mixed by a texture: float32 (3, CHUNK, SIDE, SIDE)."""
    x, y = _posed(rng, np.pi, 0.9)
    frequency = _uniform(rng, 3, 9)[0]
    waves = np.sin(frequency * x)
    textures = np.stack(
        [
            0.5 + 0.5 * x,  # gradient
            0.5 + 2 * waves,  # stripes
            0.5 + 4 * waves * np.sin(frequency * y),  # checker
            _clouds(rng),
        ]
    )
    chosen = rng.integers(len(textures), size=CHUNK)
    texture = np.clip(textures[chosen, np.arange(CHUNK)], 0, 1)
    return _paint(_uniform(rng, *GROUND, 3), texture, _uniform(rng, *GROUND, 3))


def _clouds(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in [0, 1]: a coarse random grid, interpolated to (CHUNK, SIDE, SIDE)."""
    cells = 6
    at = np.linspace(0, cells - 1, SIDE, dtype=np.float32)
    weight = np.clip(1 - abs(at[:, None] - np.arange(cells, dtype=np.float32)), 0, 1)
    return weight @ rng.random((CHUNK, cells, cells), np.float32) @ weight.T


def _camera(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Give each image its own contrast, brightness and noise: uint8 (CHUNK, SIDE, SIDE, 3)."""
    image = 0.5 + _uniform(rng, 0.6, 1.1) * (image - 0.5) + _uniform(rng, -0.1, 0.1)
    image += _uniform(rng, 0, NOISE) * rng.standard_normal(image.shape, np.float32)
    pixels_CNHW = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels_CNHW.transpose(1, 2, 3, 0))


def _polygon(vertices: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Signed distance to the polygon with `vertices` (V, 2)."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        nearest, inside = np.full_like(x, np.inf), np.zeros(x.shape, bool)
        ends = np.roll(vertices, -1, axis=0).tolist()
        for (x0, y0), (x1, y1) in zip(vertices.tolist(), ends, strict=True):
            ex, ey, px, py = x1 - x0, y1 - y0, x - x0, y - y0
            along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, (px - along * ex) ** 2 + (py - along * ey) ** 2)
            # A point changes sides each time a ray from it to the right crosses an edge.
            inside ^= ((y >= y0) != (y >= y1)) & ((px * ey < py * ex) == (ey > 0))
        return np.where(inside, -1, 1) * np.sqrt(nearest)

    return distance


def _regular(corners: int) -> np.ndarray:
    """Vertices (corners, 2) on the unit circle; the first one is at the top."""
    angle = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _star() -> np.ndarray:
    return _regular(10) * np.where(np.arange(10) % 2, 0.45, 1)[:, None]


def _cross() -> np.ndarray:
    half = np.array([[1, 3], [1, 1], [3, 1], [3, -1], [1, -1], [1, -3]]) / 3
    return np.concatenate([half, -half])


def _arrow() -> np.ndarray:
    return np.array([[0, 10], [8, 1], [3, 1], [3, -9], [-3, -9], [-3, 1], [-8, 1]]) / 10


def _heart() -> np.ndarray:
    """The curve of https://mathworld.wolfram.com/HeartCurve.html."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return np.stack([16 * np.sin(angle) ** 3, y + 2], axis=1) / 16


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.9


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return abs(np.hypot(x, y) - 0.68) - 0.24


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(x, y) - 0.95, 0.7 - np.hypot(x - 0.45, y))


OUTLINES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "square": _polygon(_regular(4) @ np.array([[1, 1], [-1, 1]]) / 2**0.5),
    "triangle": _polygon(_regular(3)),
    "star": _polygon(_star()),
    "cross": _polygon(_cross()),
    "ring": _ring,
    "crescent": _crescent,
    "hexagon": _polygon(_regular(6)),
    "arrow": _polygon(_arrow()),
    "heart": _polygon(_heart()),
}
