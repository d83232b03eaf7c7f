"""Heat over a picture: dark where there is none, bright at the most, and the same scale for all."""

import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

from normscope.report.overlays import overlay

GREY = np.full((32, 32, 3), 100, dtype=np.uint8)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_colours_are_those_of_the_map_over_the_picture_in_grey():
    heat = np.zeros((32, 32), dtype=np.float32)
    heat[:, 16:] = 2.0
    found = pixels(overlay(GREY, heat, most=2.0))
    for share, part in ((0.0, found[5, 5]), (1.0, found[5, 25])):
        colour = 255 * np.array(colormaps["inferno"](share)[:3])
        np.testing.assert_allclose(part, 0.65 * colour + 0.35 * 100, atol=1)


def test_half_as_much_is_not_as_bright_and_less_than_nothing_is_dark():
    most, half, none, less = (
        pixels(overlay(GREY, np.full((7, 7), value, np.float32), most=4.0)).mean()
        for value in (4.0, 2.0, 0.0, -3.0)
    )
    assert most > half + 20 > none + 40
    assert none == less


def test_where_nothing_was_found_all_is_dark():
    zero = np.zeros((7, 7), np.float32)
    assert overlay(GREY, zero, most=0.0) == overlay(GREY, zero, most=1.0)


def test_a_corner_of_a_coarse_map_is_the_corner_of_the_picture():
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 1.0
    found = pixels(overlay(GREY, heat, most=1.0)).sum(axis=2)
    assert found[:4, 28:].min() > found[8:, :].max()
