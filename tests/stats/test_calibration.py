"""Calibration: errors against a plain loop over bins, likelihoods against torch, temperatures."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from normscope.stats import (
    calibration_error,
    fitted_temperature,
    negative_log_likelihood,
    reliability,
    temperature_scaled,
)

# -- bins ------------------------------------------------------------------------------------------


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


def test_an_error_of_three_tenths_constructed():
    """Half the images at .95 are right on .60 of them, half at .55 on .80: (.35 + .25) / 2."""
    confidences = np.repeat([0.95, 0.55], 100)
    correct = np.concatenate([np.arange(100) < 60, np.arange(100) < 80])
    assert calibration_error(confidences, correct) == pytest.approx(0.300)


def test_the_bins_of_a_diagram():
    confidences = np.array([0.0, 0.03, 0.2, 0.21, 0.95, 0.97, 0.99, 1.0])
    correct = np.array([True, False, True, False, True, True, False, True])
    found = reliability(confidences, correct)
    # 0.2 is the upper end of the third bin, and 0.21 is in the fourth.
    filled = [0, 2, 3, 14]
    assert found.count.tolist() == [2, 0, 1, 1, *[0] * 10, 4]
    assert found.confidence[filled] == pytest.approx([0.015, 0.2, 0.21, 0.9775])
    assert found.accuracy[filled] == pytest.approx([0.5, 1.0, 0.0, 0.75])
    empty = np.delete(np.arange(15), filled)
    assert np.isnan(found.confidence[empty]).all()
    assert np.isnan(found.accuracy[empty]).all()


# -- likelihood and temperature --------------------------------------------------------------------


def calibrated(count, seed=0, classes=5):
    """Logits (N, K) and labels that are drawn with the probabilities they state."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 2.0, (count, classes))
    noise = rng.gumbel(size=logits.shape)
    return logits, (logits + noise).argmax(axis=1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_likelihood_is_that_of_torch(dtype):
    logits, labels = calibrated(200)
    logits = (30 * logits).astype(dtype)
    expected = cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels))
    assert negative_log_likelihood(logits, labels) == pytest.approx(float(expected), rel=1e-12)


def test_likelihood_by_hand():
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]) + np.array([[1000.0], [-3.0]])
    expected = -(np.log(0.2) + np.log(0.5)) / 2
    assert negative_log_likelihood(logits, np.array([1, 2])) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5, 10.0])
def test_temperature_takes_back_a_known_factor(factor):
    logits, labels = calibrated(20_000)
    assert fitted_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.03)


def test_temperature_is_a_minimum():
    logits, labels = calibrated(300, seed=1)
    best = fitted_temperature(3 * logits, labels)
    grid = np.exp(np.linspace(np.log(0.01), np.log(100), 20_001))
    losses = [negative_log_likelihood(3 * logits / each, labels) for each in grid[::10]]
    assert best == pytest.approx(grid[::10][np.argmin(losses)], rel=0.005)


def test_temperature_without_a_minimum_is_at_an_end():
    labels = np.arange(6) % 3
    right = np.eye(3)[labels]
    small = fitted_temperature(right, labels)
    assert 0.01 <= small < 0.05
    assert negative_log_likelihood(right / small, labels) == pytest.approx(0, abs=1e-12)
    assert fitted_temperature(-right, labels) == pytest.approx(100, rel=0.01)


def test_each_half_is_scaled_by_the_temperature_of_the_other():
    """The even images are 3 times too sure and the odd ones 6 times: each gets the wrong cure."""
    even, of_even = calibrated(4001, seed=2)
    odd, of_odd = calibrated(4000, seed=3)
    logits, labels = np.empty((8001, 5)), np.empty(8001, dtype=np.int64)
    logits[::2], labels[::2] = 3 * even, of_even
    logits[1::2], labels[1::2] = 6 * odd, of_odd
    found = temperature_scaled(logits, labels)
    assert found.temperature == pytest.approx((3 + 6) / 2, rel=0.05)
    ts = fitted_temperature(3 * even, of_even), fitted_temperature(6 * odd, of_odd)
    assert found.temperature == pytest.approx(sum(ts) / 2)
    scaled = torch.from_numpy(np.concatenate([3 * even / ts[1], 6 * odd / ts[0]]))
    answers = torch.from_numpy(np.concatenate([of_even, of_odd]))
    assert found.nll == pytest.approx(float(cross_entropy(scaled, answers)))
    confidences, classes = scaled.softmax(1).max(1)
    assert found.error == pytest.approx(by_loop(confidences.numpy(), (classes == answers).numpy()))


def test_scaling_mends_the_calibration_of_logits_that_only_have_a_wrong_scale():
    logits, labels = calibrated(20_000, seed=4)
    wrong = (4 * logits).astype(np.float16)
    found = temperature_scaled(wrong, labels)
    assert found.temperature == pytest.approx(4, rel=0.05)
    right = negative_log_likelihood(logits, labels)
    assert found.nll == pytest.approx(right, abs=0.001)
    assert negative_log_likelihood(wrong, labels) > right + 0.5
    assert found.error < 0.01


def test_few_images_look_worse_calibrated_than_many():
    """Why both halves are scored together: the error of a perfect network is noise alone."""
    logits, labels = calibrated(10_000, seed=5)
    few = [temperature_scaled(logits[n::10], labels[n::10]).error for n in range(10)]
    assert np.mean(few) > 2 * temperature_scaled(logits, labels).error
