"""Corruptions: what each does to images made for it, and all of them on drawings of shapes."""

import math
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from normscope.data import load_dataset
from normscope.errors import UsageError
from normscope.probes.corruptions import (
    BLUR_SD,
    BRIGHTNESS,
    CONTRAST,
    CORRUPTIONS,
    JPEG_QUALITY,
    NOISE_SD,
    STRENGTHS,
    blur_weights,
    cell_weights,
)

ALL = range(1, STRENGTHS + 1)


@pytest.fixture(scope="module")
def shapes():
    return load_dataset("shapes", train_limit=256, test_limit=100).test_images


def corrupted(kind, images, strength, seed=0):
    return CORRUPTIONS[kind](images, strength, np.random.default_rng(seed))


def constant(level, count=2):
    return np.full((count, 32, 32, 3), level, dtype=np.uint8)


# -- every kind ------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", ALL)
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_images_stay_images_and_the_originals_as_they_are(kind, strength, shapes):
    for images in (shapes[:7], shapes[:3, :20, :28], shapes[:0]):
        before = images.copy()
        found = corrupted(kind, images, strength)
        assert (found.shape, found.dtype) == (images.shape, np.uint8)
        assert not np.shares_memory(found, images)
        np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_stronger_one_is_further_from_the_original(kind, shapes):
    def distance(strength):
        gap = corrupted(kind, shapes, strength).astype(float) - shapes
        return math.sqrt(np.square(gap).mean())

    distances = [distance(strength) for strength in ALL]
    assert distances[0] > 0.5
    assert all(np.diff(distances) > 0.2)


@pytest.mark.parametrize("strength", ALL)
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_black_stays_dark_and_white_bright(kind, level, strength):
    """What went below 0 or above 255 would come out at the other end if it wrapped around."""
    found = corrupted(kind, constant(level), strength).astype(int)
    assert abs(found - level).max() < 160


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_only_the_generator_decides(kind, shapes):
    np.random.seed(1)  # noqa: NPY002
    first = corrupted(kind, shapes[:5], 3)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(corrupted(kind, shapes[:5], 3), first)
    other = corrupted(kind, shapes[:5], 3, seed=1)
    assert np.array_equal(other, first) == (kind != "noise")


@pytest.mark.parametrize("kind", [kind for kind in CORRUPTIONS if kind != "noise"])
def test_an_image_does_not_depend_on_those_beside_it(kind, shapes):
    alone = np.concatenate([corrupted(kind, shapes[n : n + 1], 4) for n in range(5)])
    np.testing.assert_array_equal(corrupted(kind, shapes[:5], 4), alone)


@pytest.mark.parametrize("strength", [0, -1, 6])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_other_strengths_are_refused(kind, strength, shapes):
    with pytest.raises(UsageError, match=rf"strength {strength} .* from 1 to 5"):
        corrupted(kind, shapes[:1], strength)


# -- noise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", ALL)
def test_noise_has_its_deviation_and_no_bias(strength):
    found = corrupted("noise", constant(128, count=100), strength).astype(float) - 128
    sd = 255 * NOISE_SD[strength - 1]
    assert found.std() == pytest.approx(sd, rel=0.01)
    assert abs(found.mean()) < 5 * sd / math.sqrt(found.size)


def test_noise_differs_by_image_pixel_and_colour():
    found = corrupted("noise", constant(128, count=50), 5).astype(float)
    for axis in (0, 1, 2, 3):
        pairs = np.take(found, [0, 1], axis=axis)
        first, second = (part.ravel() for part in np.split(pairs, 2, axis=axis))
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


# -- blur ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", ALL)
def test_blur_of_an_impulse_is_a_gaussian(strength):
    image = constant(0, count=2)
    image[1, 16, 12, 1] = 255
    sd = BLUR_SD[strength - 1]
    rows, columns = np.mgrid[:32, :32]
    heights = np.exp(-((rows - 16) ** 2 + (columns - 12) ** 2) / (2 * sd**2))
    found = corrupted("blur", image, strength)
    np.testing.assert_allclose(found[1, ..., 1], 255 * heights / heights.sum(), atol=0.51)
    assert not found[0].any()
    assert not found[1, ..., [0, 2]].any()


@pytest.mark.parametrize("strength", ALL)
@pytest.mark.parametrize("level", [0, 77, 255])
def test_blur_and_pixelation_leave_a_constant_image(level, strength):
    for kind in ("blur", "pixelation"):
        assert (corrupted(kind, constant(level), strength) == level).all()


@pytest.mark.parametrize("sd", BLUR_SD)
def test_blur_weights_add_up_to_1_at_the_edge_too(sd):
    weights = blur_weights(9, sd)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)
    # The edge pixel stands for all beyond it: half of the kernel and its centre.
    kernel = np.exp(-np.square(np.arange(-50, 51) / sd) / 2)
    kernel /= kernel.sum()
    assert weights[0, 0] == pytest.approx(kernel[:51].sum(), abs=1e-4)
    assert weights[0, 2] == pytest.approx(kernel[52], abs=1e-4)
    assert weights[8, 8] == pytest.approx(weights[0, 0])


# -- contrast and brightness -----------------------------------------------------------------------


@pytest.mark.parametrize("strength", ALL)
def test_contrast_scales_the_deviation_of_each_colour_around_its_mean(strength):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    images[0, ..., 2] = 40
    images[1] //= 3
    found = corrupted("contrast", images, strength).astype(float)
    assert (found[0, ..., 2] == 40).all()
    factor, means = CONTRAST[strength - 1], images.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(found, means + factor * (images - means), atol=0.501)
    np.testing.assert_allclose(found.std((1, 2)), factor * images.std((1, 2)), rtol=0.01)


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_contrast_leaves_a_constant_image(level):
    assert (corrupted("contrast", constant(level), 5) == level).all()


@pytest.mark.parametrize("strength", ALL)
def test_brightness_adds_its_levels_up_to_white(strength):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    expected = np.minimum(images.astype(int) + BRIGHTNESS[strength - 1], 255)
    np.testing.assert_array_equal(corrupted("brightness", images, strength), expected)


# -- pixelation ------------------------------------------------------------------------------------


def test_pixelation_of_a_checkerboard_is_the_mean_of_a_block():
    """Strength 4 has 16 cells of 2x2 pixels: a board of single pixels becomes grey."""
    board = constant(0)
    board[:, ::2, ::2] = board[:, 1::2, 1::2] = 200
    assert (corrupted("pixelation", board, 4) == 100).all()


def test_pixelation_keeps_a_checkerboard_of_its_own_blocks():
    board = constant(0)
    board[0, ..., 1] = 200 * np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((2, 2)))
    np.testing.assert_array_equal(corrupted("pixelation", board, 4), board)


def test_cells_that_do_not_fit_the_pixels_share_them():
    """Two cells on three pixels: each has one pixel and half of the one in the middle."""
    first, second = [2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]
    found = cell_weights(3, 2)
    np.testing.assert_allclose(found[[0, 2]], [first, second], atol=1e-12)


@pytest.mark.parametrize(("strength", "cells"), [(1, 28), (2, 24), (3, 20), (4, 16), (5, 12)])
def test_pixelation_leaves_as_many_cells_along_a_side(strength, cells):
    noise = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    found = corrupted("pixelation", noise, strength)[0]
    assert len(np.unique(found, axis=0)) == cells
    assert len(np.unique(found, axis=1)[0]) == cells
    np.testing.assert_allclose(cell_weights(32, cells).sum(1), 1, rtol=1e-12)


# -- jpeg ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", ALL)
def test_jpeg_is_that_of_pillow(strength, shapes):
    found = corrupted("jpeg", shapes[:5], strength)
    for image, expected in zip(found, shapes[:5], strict=True):
        file = BytesIO()
        Image.fromarray(expected).save(file, format="JPEG", quality=JPEG_QUALITY[strength - 1])
        np.testing.assert_array_equal(image, np.asarray(Image.open(BytesIO(file.getvalue()))))


def test_strengths_are_those_of_cifar_10_c():
    assert NOISE_SD == (0.04, 0.06, 0.08, 0.09, 0.10)
    assert BLUR_SD == (0.4, 0.6, 0.7, 0.8, 1.0)
    assert CONTRAST == (0.75, 0.5, 0.4, 0.3, 0.15)
    assert JPEG_QUALITY == (80, 65, 58, 50, 40)
    assert tuple(round(level / 255, 2) for level in BRIGHTNESS) == (0.05, 0.1, 0.15, 0.2, 0.3)
