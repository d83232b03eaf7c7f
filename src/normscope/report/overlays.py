"""Heat maps over pictures, as small PNG files."""

import io

import numpy as np

import normscope.drawing  # noqa: F401  before matplotlib

# isort: split
from matplotlib import colormaps
from PIL import Image

HEAT = "inferno"  # perceptually uniform: equal steps of heat look equally large
SHARE = 0.65  # of the heat in a pixel; the rest is the picture in grey
GREY = np.array([0.299, 0.587, 0.114])  # luma of Rec. 601
COLOURS = 64  # of a PNG: no eye sees more in so few pixels, and a page holds hundreds
KEY_SIZE = 96, 8  # pixels


def overlay(image: np.ndarray, heat: np.ndarray, most: float) -> bytes:
    """A PNG of the size of the image, uint8 (H, W, 3), with `heat` (h, w) over it.

    The map is enlarged to the image, bilinearly. Colours go from 0 or less, which is dark, to
    `most`, which is bright.
    """
    height, width = image.shape[:2]
    small = Image.fromarray(heat.astype(np.float32))
    enlarged = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    share = np.clip(enlarged / most, 0, 1) if most > 0 else np.zeros_like(enlarged)
    return _png(_blended(image @ GREY, share))


def key() -> bytes:
    """A PNG of the colours from nothing to most, over mid-grey."""
    share = np.linspace(0, 1, KEY_SIZE[0])[None].repeat(KEY_SIZE[1], axis=0)
    return _png(_blended(np.full(share.shape, 128.0), share))


def _blended(grey: np.ndarray, share: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of a picture in grey, 0 to 255, and shares of the heat, 0 to 1."""
    heat = 255 * colormaps[HEAT](share)[..., :3]
    return np.rint(SHARE * heat + (1 - SHARE) * grey[..., None]).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    palette = Image.fromarray(pixels).quantize(COLOURS, dither=Image.Dither.NONE)
    palette.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
