"""What probes say of the notion behind bn, from made-up readings whose answer is known."""

import numpy as np
import pytest
from report_fakes import collapsed, make_analysis, make_probes

from normscope.analysis.verdicts import Rules
from normscope.analysis.why.bump import drop_of
from normscope.analysis.why.channels import decided
from normscope.analysis.why.reading import layer_mean, over_seeds
from normscope.experiment import Design, Probes, Series
from normscope.stats import Estimate, confidence_sequence, mcnemar, t_interval

FIXED = Rules(False, 0.05, 0.5)


def accuracies(running, precise, only_running=20, only_precise=90):
    """Of epochs 0, 1, 2, ...: by running and by precise statistics, in percent."""

    def series(values):
        return Series(np.arange(len(running), dtype=float), np.array(values, float))

    counts = [only_running] * len(running), [only_precise] * len(running)
    names = "running_percent", "precise_percent", "only_running_precise", "only_precise"
    found = zip(names, (running, precise, *counts), strict=True)
    return Probes({f"eval-gap.{name}": series(values) for name, values in found})


def reading(analysis, words):
    (found,) = [each for each in analysis.why if words in each.claim]
    return found


# -- the rule --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.7, "supported"), (0.3, "contradicted"), (0.5, "not decided")]
)
def test_channels_are_alike_if_all_three_intervals_say_so(value, outcome):
    analysis = make_analysis(seeds=5, probes=make_probes(value))
    found = reading(analysis, "resemble")
    assert found.outcome == outcome
    interval = t_interval([value + 0.02 * (seed - 2) for seed in range(5)])
    assert f"sameness {value:.2f} ({interval.low:.2f} to {interval.high:.2f})" in found.text
    assert "5 seeds" in found.text
    assert "untrained 0.60 (0.60 to 0.60)" in found.limits
    assert "shuffled between images 0.12" in found.limits
    assert "before the activation 0.70" in found.limits
    assert "pooled over pixels 0.65" in found.limits
    assert "per position" in found.limits
    feature = reading(analysis, "one feature")
    assert feature.outcome == outcome
    rest = "which image 0.10 (0.10 to 0.10), which channel meets which image 0.25 (0.25 to 0.25)."
    assert rest in feature.text


def test_layers_that_differ_from_their_mean_are_told():
    """Sameness of two layers, over two seeds: .2 and .7, which is .45 on average."""

    def probes(trial):
        made = make_probes(0.3)(trial)
        layers = np.array([[0.6, 0.6], [0.2, 0.7]]) + (0.1 if trial.seed else -0.1)
        epochs = made.series["redundancy.sameness_position"].epochs
        own = {"redundancy.sameness_position": Series(epochs, layers)}
        return Probes({**made.series, **own})

    found = reading(make_analysis(seeds=2, probes=probes), "resemble")
    assert "By layer: sameness 0.20 to 0.70, best r² 0." in found.text


def test_where_nothing_falls_there_is_nothing_to_explain():
    flat = make_analysis(seeds=3, probes=lambda trial: accuracies([50, 60, 60], [50, 61, 62]))
    found = reading(flat, "sudden drop")
    assert found.plain.startswith("In none of 3 seeds does the accuracy fall by a point")
    assert found.outcome == "not decided"


def test_exactly_a_point_is_a_drop_as_it_is_stored():
    """64.7 and 63.7 % of 1,000 images, in float32, are 0.999996 apart."""
    stored = np.array([50.0, 64.7, 63.7], np.float32)
    fell = drop_of(accuracies(stored, [50.0, 64.7, 64.6], 5, 40)).running
    assert fell < 1
    falls = make_analysis(
        seeds=5, probes=lambda trial: accuracies(stored, [50.0, 64.7, 64.6], 5, 40)
    )
    assert (
        "to blame for the deepest fall of its accuracy, and not the network."
        in reading(falls, "sudden drop").plain
    )


def test_one_of_three_that_is_open_leaves_it_open():
    estimates = [Estimate(5, 0.7, 0.1, low, 0.8) for low in (0.6, 0.51, 0.5)]
    assert decided(estimates) == "not decided"
    assert decided(estimates[:2]) == "supported"
    below = [Estimate(5, 0.3, 0.1, 0.2, high) for high in (0.4, 0.499)]
    assert decided(below) == "contradicted"
    assert decided([estimates[0], below[0]]) == "not decided"


def test_four_seeds_decide_nothing():
    analysis = make_analysis(seeds=4, probes=make_probes(0.9))
    assert reading(analysis, "resemble").outcome == "not decided"
    assert reading(analysis, "one feature").outcome == "not decided"


def test_a_single_seed_has_no_interval():
    found = reading(make_analysis(seeds=1, probes=make_probes(0.9)), "resemble")
    assert found.outcome == "not decided"
    assert "sameness 0.86, best r² 0.85, S1 0.87" in found.text
    assert "(1 seed, where 5 are the least to decide by; means over layers)" in found.text


def test_intervals_are_valid_at_every_look_where_there_are_several():
    values = [0.7 + 0.01 * seed for seed in range(7)]
    sequence = confidence_sequence(values)
    found = over_seeds(values, Rules(True, 0.05, 0.5))
    assert (found.low, found.high) == (sequence.low, sequence.high)
    assert over_seeds(values, FIXED) == t_interval(values)
    design = Design(until_decided=True)
    assert reading(make_analysis(seeds=5, probes=make_probes(0.7), design=design), "resemble").text


def test_layers_without_a_measure_do_not_count():
    assert layer_mean(np.array([np.nan, 0.2, 0.4])) == pytest.approx(0.3)
    assert np.isnan(layer_mean(np.array([np.nan])))


def test_only_the_baseline_is_asked_and_only_where_it_finished():
    def of_gn(trial):
        return make_probes(0.7)(trial) if trial.norm == "gn" else None

    analysis = make_analysis(seeds=5, probes=of_gn)
    assert not [each for each in analysis.why if "channel" in each.claim.lower()]
    assert [each.norm for each in analysis.inside] == ["gn"]

    def first_collapsed(results):
        return [collapsed(r) if r.trial.id.startswith("bn-seed0") else r for r in results]

    found = make_analysis(seeds=6, probes=make_probes(0.7), change=first_collapsed)
    assert "5 seeds" in reading(found, "resemble").text
    assert next(each.n for each in found.inside if each.norm == "bn") == 5


def test_without_probes_there_is_nothing_to_say():
    analysis = make_analysis(seeds=5)
    assert analysis.why == analysis.inside == ()


# -- the bump --------------------------------------------------------------------------------------


def test_the_deepest_fall_is_found_and_tested():
    drop = drop_of(accuracies([10, 50, 60, 57, 63, 62.5], [10, 50, 60.5, 60, 63, 63], 15, 45))
    assert (drop.epoch, drop.running, drop.precise) == (3, 3, 0.5)
    assert drop.gain == 3
    assert drop.p == mcnemar(15, 45)


def test_the_untrained_network_falls_from_nowhere():
    drop = drop_of(accuracies([80, 50, 60, 59, 63], [80, 50, 60, 60, 63]))
    assert (drop.epoch, drop.running) == (3, 1)


@pytest.mark.parametrize(
    ("running", "precise", "only", "outcome", "share"),
    [
        ([10, 50, 60, 57, 63], [10, 50, 60, 60, 63], (20, 90), "supported", "5 of 5"),
        ([10, 50, 60, 57, 63], [10, 50, 60, 57, 63], (20, 20), "contradicted", "0 of 5"),
        # It falls as far by precise statistics, which are better throughout.
        ([10, 50, 60, 57, 63], [10, 52, 63, 60, 65], (20, 90), "contradicted", "0 of 5"),
        # So few images differ that chance would do.
        ([10, 50, 60, 57, 63], [10, 50, 60, 60, 63], (3, 9), "not decided", "0 of 5"),
        ([10, 50, 60, 59.5, 63], [10, 50, 60, 60, 63], (20, 90), "not decided", "none of 5"),
    ],
)
def test_running_statistics_are_at_fault_if_precise_ones_do_not_fall(
    running, precise, only, outcome, share
):
    analysis = make_analysis(seeds=5, probes=lambda trial: accuracies(running, precise, *only))
    found = reading(analysis, "running statistics")
    assert found.outcome == outcome
    assert f"In {share} seeds" in found.plain


def test_it_is_said_on_how_many_images():
    def probes(count):
        found = accuracies([10, 50, 60, 57, 63], [10, 50, 60, 60, 63])
        if count:
            images = Series(np.arange(5.0), np.full(5, float(count)))
            found.series["eval-gap.images"] = images
        return found

    def limits(counts):
        analysis = make_analysis(seeds=5, probes=lambda trial: probes(counts[trial.seed]))
        return reading(analysis, "running statistics").limits

    assert limits([10_000] * 5).startswith("On 10,000 of the test images.")
    assert limits([10_000] * 4 + [2000]).startswith("On 2,000 of the test images.")
    # What was measured before the number was kept is of 1,000.
    assert limits([10_000] * 4 + [0]).startswith("On 1,000 of the test images.")


def test_seeds_that_disagree_decide_nothing():
    def probes(trial):
        precise = 60 if trial.seed else 57
        return accuracies([10, 50, 60, 57, 63], [10, 50, 60, precise, 63])

    found = reading(make_analysis(seeds=5, probes=probes), "running statistics")
    assert found.outcome == "not decided"
    assert "In 4 of 5 seeds" in found.plain
    assert found.text.count("epoch 3: 3.0 points by running") == 5


def test_holm_counts_the_seeds():
    """p = 0.02 is significant alone, and not as the smallest of five."""
    few = next(n for n in range(60) if 0.012 < mcnemar(n, n + 15) < 0.04)

    def probes(trial):
        return accuracies([10, 50, 60, 57], [10, 50, 60, 60], few, few + 15)

    found = reading(make_analysis(seeds=5, probes=probes), "running statistics")
    assert "In 0 of 5" in found.plain


def test_norms_without_running_statistics_are_not_asked():
    analysis = make_analysis(norms=("gn", "ln"), seeds=5, probes=make_probes(0.3))
    assert not [each for each in analysis.why if "running" in each.claim]
