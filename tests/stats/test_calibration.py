"""Expected calibration error against a plain loop over bins."""

import numpy as np
import pytest

from normscope.stats import calibration_error


def by_loop(confidences, correct, bins=15):
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            (c, r)
            for c, r in zip(confidences, correct, strict=True)
            if low < c <= high or (number == 0 and c == 0)
        ]
        if inside:
            accuracy = sum(r for _, r in inside) / len(inside)
            confidence = sum(c for c, _ in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


def test_agrees_with_a_loop_over_bins():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0, 1, 3000)
    correct = rng.random(3000) < confidences**2
    found = calibration_error(confidences, correct)
    assert found == pytest.approx(by_loop(confidences, correct))
    assert found > 0.1


def test_gaps_of_opposite_sign_in_one_bin_cancel_and_in_two_do_not():
    sure = np.array([0.95, 0.95])
    assert calibration_error(sure, np.array([True, False])) == pytest.approx(0.45)
    apart = np.array([0.25, 0.95])
    assert calibration_error(apart, np.array([True, False])) == pytest.approx((0.75 + 0.95) / 2)


@pytest.mark.parametrize(("confidence", "right"), [(1.0, True), (0.0, False)])
def test_the_ends_belong_to_the_first_and_the_last_bin(confidence, right):
    assert calibration_error(np.full(4, confidence), np.full(4, right)) == 0.0


def test_who_is_as_often_right_as_sure_is_calibrated():
    confidences = np.full(1000, 0.7)
    correct = np.arange(1000) < 700
    assert calibration_error(confidences, correct) == pytest.approx(0.0, abs=1e-12)
