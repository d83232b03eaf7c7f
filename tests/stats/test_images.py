"""Answers to single images: variances against simulations, and intervals against a plain loop."""

import tracemalloc

import numpy as np
import pytest

from normscope.stats import (
    Draws,
    VarianceSplit,
    multibootstrap,
    multibootstraps,
    variance_split,
)

# -- variance ------------------------------------------------------------------------------------


def answers(rng, chances, shift_sd, seeds):
    """Right answers, (seeds, images): each image has its own chance, each seed its own shift."""
    shifts = rng.normal(0.0, shift_sd, (seeds, 1))
    return rng.random((seeds, len(chances))) < chances + shifts


def test_variance_split_follows_its_formula():
    correct = answers(np.random.default_rng(0), np.linspace(0.2, 0.9, 7), 0.1, 4)
    accuracies = [100 * sum(row) / 7 for row in correct]
    spread = sum((a - sum(accuracies) / 4) ** 2 for a in accuracies) / 4
    errors = 0.0
    for image in range(7):
        share = sum(correct[:, image]) / 4
        errors += 100**2 * share * (1 - share) / 7**2
    found = variance_split(correct)
    assert found.total == pytest.approx(4 / 3 * spread)
    assert found.between == pytest.approx(7 / 6 * 4 / 3 * (spread - errors))
    assert found.noise == pytest.approx(found.total - found.between)


def test_variance_split_finds_known_variances():
    rng = np.random.default_rng(1)
    chances = rng.uniform(0.3, 0.9, 1000)
    found = variance_split(answers(rng, chances, 0.02, 200))
    noise = 100**2 * (chances * (1 - chances)).mean() / 1000  # about 2.0
    assert found.noise == pytest.approx(noise, rel=0.02)
    assert found.between == pytest.approx(2.0**2, rel=0.25)
    assert found.total == pytest.approx(found.noise + found.between)


@pytest.mark.parametrize("shift_sd", [0.0, 0.03])
def test_variance_split_is_unbiased_for_few_seeds(shift_sd):
    rng = np.random.default_rng(2)
    chances = rng.uniform(0.3, 0.9, 150)
    found = [variance_split(answers(rng, chances, shift_sd, 3)) for _ in range(2000)]
    between = np.array([split.between for split in found])
    error = between.std() / np.sqrt(len(between))
    assert between.mean() == pytest.approx(100**2 * shift_sd**2, abs=3 * error)
    assert error < 0.6
    assert shift_sd or between.min() < 0
    noise = 100**2 * (chances * (1 - chances)).mean() / 150
    assert np.mean([split.noise for split in found]) == pytest.approx(noise, rel=0.02)


def test_variance_split_without_any_spread():
    same = np.random.default_rng(3).random(50) < 0.7
    assert variance_split(np.array([same, same, same])) == VarianceSplit(0.0, 0.0, 0.0)
    assert variance_split(same[None]) is None


# -- multibootstrap ------------------------------------------------------------------------------


def pair(seeds=6, images=300):
    """Answers of a norm and of the baseline; each seed moves both up or down together."""
    rng = np.random.default_rng(4)
    chances = rng.uniform(0.4, 0.9, images)
    together = rng.normal(0.0, 0.1, (seeds, 1))
    own = rng.normal(0.0, 0.04, (seeds, 1))
    draws = rng.random((2, seeds, images))
    return draws[0] < chances + together + own + 0.03, draws[1] < chances + together


def slow_differences(correct, baseline, of_seeds=True, of_images=True, resamples=2000):
    rng = np.random.default_rng(5)
    seeds, images = correct.shape
    found = []
    for _ in range(resamples):
        rows = rng.integers(0, seeds, seeds) if of_seeds else np.arange(seeds)
        columns = rng.integers(0, images, images) if of_images else np.arange(images)
        chosen = np.ix_(rows, columns)
        found.append(100 * correct[chosen].mean() - 100 * baseline[chosen].mean())
    return found


def slow_interval(correct, baseline, **options):
    return np.quantile(slow_differences(correct, baseline, **options), [0.025, 0.975])


def width(interval):
    return interval[1] - interval[0]


def test_multibootstrap_agrees_with_a_plain_loop():
    differences = slow_differences(*pair(), resamples=10_000)
    for confidence, ends in [(0.95, [0.025, 0.975]), (0.8, [0.1, 0.9])]:
        low, high = np.quantile(differences, ends)
        found = multibootstrap(*pair(), confidence, resamples=10_000)
        assert found == pytest.approx((low, high), abs=0.04 * (high - low))
    found = multibootstrap(*pair())
    assert found == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.1 * width(found))


def test_several_share_the_draws_and_have_the_interval_of_each():
    mine, other = pair()
    pairs = [(mine, other), (other, mine), (~other, mine)]
    found = multibootstraps(iter(pairs), Draws(*mine.shape))
    assert found == [multibootstrap(*each) for each in pairs]
    assert len(set(found)) == 3
    assert multibootstraps([(mine[:1], other[:1])] * 2, Draws(1, 300)) == [None, None]


def test_draws_of_many_images_take_no_memory():
    tracemalloc.start()
    mine, other = (np.random.default_rng(s).random((4, 20_000)) < 0.7 for s in (0, 1))
    multibootstraps([(mine, other)] * 8, Draws(*mine.shape))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20  # 2,000 resamples of 20,000 images are 305 MiB


def test_multibootstrap_is_wider_than_seeds_alone_or_images_alone():
    both = width(multibootstrap(*pair()))
    assert both > 1.1 * width(slow_interval(*pair(), of_images=False))
    assert both > 1.1 * width(slow_interval(*pair(), of_seeds=False))


def test_multibootstrap_of_equal_seeds_is_the_bootstrap_of_images():
    correct, baseline = (np.repeat(answered[:1], 5, axis=0) for answered in pair())
    gain = 100.0 * correct[0] - 100.0 * baseline[0]
    expected = 2 * 1.96 * gain.std() / np.sqrt(gain.size)
    assert width(multibootstrap(correct, baseline)) == pytest.approx(expected, rel=0.1)
    slow = width(slow_interval(correct, baseline, of_seeds=False))
    assert width(multibootstrap(correct, baseline)) == pytest.approx(slow, rel=0.1)


def test_multibootstrap_turns_around_with_its_arguments():
    correct, baseline = pair()
    low, high = multibootstrap(correct, baseline)
    assert multibootstrap(baseline, correct) == pytest.approx((-high, -low))


def test_multibootstrap_is_repeatable_and_its_seed_matters_little():
    first = multibootstrap(*pair())
    assert first == multibootstrap(*pair())
    other = multibootstrap(*pair(), seed=1)
    assert other != first
    assert other == pytest.approx(first, abs=0.1 * width(first))


def test_multibootstrap_of_one_seed_or_without_a_difference():
    correct, baseline = pair()
    assert multibootstrap(correct[:1], baseline[:1]) is None
    assert multibootstrap(correct, correct) == (0.0, 0.0)
    assert multibootstrap(correct | True, correct & False, resamples=30) == (100.0, 100.0)
