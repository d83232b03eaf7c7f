"""Numbers that describe a curve, against the published single runs and by hand."""

import numpy as np
import pytest

from normscope.stats import area_under_curve, drops, epochs_to_level

# Test accuracy in percent after epochs 1 to 15 of the published experiment, one run per norm.
PUBLISHED = {
    "bn": [33.54, 45.42, 55.37, 60.62, 62.86, 65.21, 68.41, 67.49, 68.32, 73.56, 73.91, 75.18,
           75.68, 75.77, 75.77],
    "gn": [30.54, 43.26, 52.42, 56.27, 60.98, 64.29, 66.20, 68.32, 69.79, 70.35, 72.03, 73.38,
           73.26, 73.90, 74.18],
    "ln": [31.68, 46.60, 52.52, 57.44, 63.09, 66.44, 67.43, 69.68, 69.45, 71.96, 73.38, 74.07,
           74.42, 74.72, 74.98],
}  # fmt: skip


@pytest.mark.parametrize(("norm", "epochs"), [("bn", 3.88), ("ln", 4.45), ("gn", 4.79)])
def test_published_epochs_to_60_percent(norm, epochs):
    assert round(epochs_to_level(PUBLISHED[norm], 60.0), 2) == epochs


@pytest.mark.parametrize(("norm", "points"), [("bn", 0.92), ("ln", 0.23), ("gn", 0.12)])
def test_published_sums_of_drops(norm, points):
    assert round(drops(PUBLISHED[norm]).sum(), 2) == points


def test_published_largest_drop_is_the_bump_of_bn_at_epoch_8():
    assert int(drops(PUBLISHED["bn"]).argmax()) + 1 == 8


def test_a_level_never_reached_is_censored():
    assert epochs_to_level([10.0, 20.0, 59.99], 60.0) is None


def test_a_level_reached_at_once_or_exactly():
    assert epochs_to_level([70.0, 80.0], 60.0) == 1.0
    assert epochs_to_level([50.0, 60.0, 70.0], 60.0) == 2.0
    assert epochs_to_level([50.0, 60.0], 60.0) == 2.0


def test_only_the_first_crossing_counts():
    assert epochs_to_level([50.0, 70.0, 40.0, 90.0], 60.0) == 1.5


def test_drops_are_the_falls_and_zero_where_the_curve_rose():
    np.testing.assert_array_equal(drops([50.0, 48.0, 60.0, 60.0, 55.0]), [0, 2, 0, 0, 5])


def test_drops_of_one_epoch_are_zero():
    np.testing.assert_array_equal(drops([42.0]), [0.0])


def test_area_is_the_mean_height():
    assert area_under_curve([10.0, 20.0, 40.0]) == pytest.approx((15 + 30) / 2)
    assert area_under_curve([10.0]) == 10.0
