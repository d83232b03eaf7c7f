"""How the baseline trains against the others, from made-up curves and readings."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import make_analysis
from scipy import stats as scipy_stats

from normscope.analysis.verdicts import Judgement, Pairs
from normscope.analysis.why import READINGS
from normscope.analysis.why.against import ahead, drift_of
from normscope.experiment import Probes, Series
from normscope.stats import Estimate

NOISE = np.array([0.05, -0.02, 0.03, -0.04, 0.01])
STEPS = ("0", "0.003", "0.01", "0.03", "0.1")


def judged(*claims):
    pairs = Pairs("gn", 512, (1.0, 2.0), (0, 1))
    nothing = Estimate(2, 1.5, 0.7, None, None)
    return [Judgement(pairs, claim, nothing, None, 1.0, len(claims)) for claim in claims]


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        (["higher", "higher"], "supported"),
        (["higher", "undecided"], "not decided"),
        (["higher", "lower"], "contradicted"),
        (["undecided", "lower"], "contradicted"),
        ([], "not decided"),
    ],
)
def test_ahead_of_all_or_behind_one(claims, outcome):
    assert ahead(judged(*claims), "higher") == outcome
    other = {"higher": "lower", "lower": "higher"}
    assert ahead(judged(*(other.get(c, c) for c in claims)), "lower") == outcome


# -- speed and smoothness, from the curves ---------------------------------------------------------


def curves(of, epochs=10):
    """An analysis of two norms whose test accuracy by epoch `of(norm, seed)` makes."""

    def change(results):
        moved = []
        for r in results:
            values = of(r.trial.norm, r.trial.seed)
            history = tuple(
                replace(record, **{"test_accuracy_percent": float(value)})
                for record, value in zip(r.history, values, strict=True)
            )
            moved.append(r.model_copy(update={"history": history}))
        return moved

    nothing = Probes({"dead.dead": Series(np.array([0.0]), np.zeros((1, 1)))})
    return make_analysis(("bn", "ln"), 5, epochs, change=change, probes=lambda trial: nothing)


@pytest.mark.parametrize(("later", "outcome"), [(2, "supported"), (-2, "contradicted")])
def test_the_level_is_reached_sooner_or_later(later, outcome):
    def of(norm, seed):
        reached = 4 + NOISE[seed] * (3 if norm == "bn" else 1) + (later if norm == "ln" else 0)
        return 60 + 5 * (np.arange(1, 11) - reached)  # percent: 60 after so many epochs

    found = READINGS["speed"](curves(of))
    assert found.claim == "bn reaches 60 % test accuracy first"
    assert found.outcome == outcome
    differences = later - 2 * NOISE
    low, high = scipy_stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert f"ln {later:+.1f} epochs (95 %".replace("-", "−") in found.text
    assert abs(high - low) < 0.2


@pytest.mark.parametrize(("bn", "ln", "outcome"), [(3, 1, "supported"), (1, 3, "contradicted")])
def test_the_curve_falls_more_or_less(bn, ln, outcome):
    def of(norm, seed):
        fall = {"bn": bn, "ln": ln}[norm] + NOISE[seed] * (2 if norm == "bn" else -1)
        return [30, 40, 50, 60, 60 - fall, 70, 71, 72, 73, 74]

    found = READINGS["smoothness"](curves(of))
    assert found.outcome == outcome
    mean = np.mean(ln - bn - 3 * NOISE)
    assert f"ln {mean:+.2f} points".replace("-", "−") in found.text


# -- the landscape ---------------------------------------------------------------------------------


def surroundings(of, epochs=(0, 5, 10, 15), norms=("bn", "ln"), seeds=5):
    """`of`: loss and gradient change at the trained moments, by norm; seeds differ a little."""

    def probes(trial):
        if trial.norm not in of:
            return None
        losses, changes = of[trial.norm]
        loss = np.full((len(epochs), len(STEPS)), 9.0)
        change = np.full((len(epochs), len(STEPS)), 7.0)
        loss[1:, 0] = losses
        change[1:, 2] = np.array(changes) + NOISE[trial.seed] * (2 if trial.norm == "bn" else 1)
        made = {"loss_nats": loss, "gradient_change": change}
        return Probes({
            f"landscape.{name}": Series(np.array(epochs, float), values, ("step",), (STEPS,))
            for name, values in made.items()
        })  # fmt: skip

    return make_analysis(norms, seeds, probes=probes)


def test_gradients_are_compared_where_losses_are_equal():
    """bn is ahead in training: at its end its gradient changes more, at equal loss it does less.

    Of bn the change is 2 - loss, of ln 2.5 - loss; both went through losses from 0.8 to 1.0.
    """
    bn, ln = ([1.0, 0.8, 0.2], [1.0, 1.2, 1.8]), ([1.4, 1.0, 0.8], [1.1, 1.5, 1.7])
    found = READINGS["landscape"](surroundings({"bn": bn, "ln": ln}))
    assert found.outcome == "supported"
    low, high = scipy_stats.ttest_1samp(0.5 - NOISE, 0).confidence_interval()
    mean = 0.5 - NOISE.mean()
    size = f"with ln +{mean:.2f} (95 % +{low:.2f} to +{high:.2f}, 5 seeds)"
    assert f"{size} at a training loss of 0.90 nats" in found.text
    assert "where losses differ, ln −0.11" in found.limits  # 1.7 - 1.8 and the noise's mean


def test_a_rougher_landscape_contradicts():
    bn, ln = ([1.4, 1.0, 0.8], [1.1, 1.5, 1.7]), ([1.0, 0.8, 0.2], [1.0, 1.2, 1.8])
    assert READINGS["landscape"](surroundings({"bn": bn, "ln": ln})).outcome == "contradicted"


def test_losses_that_nobody_shares_are_not_compared():
    bn, ln = ([0.5, 0.4, 0.3], [1.0, 1.0, 1.0]), ([1.4, 1.0, 0.8], [1.0, 1.0, 1.0])
    assert READINGS["landscape"](surroundings({"bn": bn, "ln": ln})) is None
    assert READINGS["landscape"](surroundings({"bn": bn})) is None


# -- drift -----------------------------------------------------------------------------------------


def test_drift_by_hand():
    """Two moments of a layer of three channels, the last of them dead, and one of a pad."""
    means = np.array([[[1.0, 2.0, 0.0, np.nan]], [[1.5, 1.0, 9.0, np.nan]]])
    deviations = np.array([[[2.0, 0.5, 0.0, np.nan]], [[4.0, 0.25, 0.0, np.nan]]])
    epochs = np.array([1.0])
    assert drift_of(means, deviations, epochs, as_logarithm=False) == pytest.approx((0.25 + 2) / 2)
    assert drift_of(deviations, deviations, epochs, as_logarithm=True) == pytest.approx(np.log(2))
    assert drift_of(means, deviations, 2 * epochs, as_logarithm=False) == pytest.approx(2.25 / 4)
    assert np.isnan(drift_of(means, np.zeros((2, 1, 4)), epochs, as_logarithm=False))


def drifting(rates, seeds=5):
    """`rates`: of mean and log deviation per epoch, by norm."""

    def probes(trial):
        scale = {"bn": 0.2, "ln": 0.1}[trial.norm]
        mean, log_sd = (rate + scale * NOISE[trial.seed] for rate in rates[trial.norm])
        epochs = np.arange(4.0)
        sd = np.exp(log_sd * epochs)[:, None, None] * np.ones((4, 2, 3))
        steps = np.concatenate([[0.0], np.cumsum(mean * sd[:-1, 0, 0])])  # in deviations
        means = steps[:, None, None] * np.ones((4, 2, 3))
        means[0] = 100.0  # the untrained network counts for nothing
        names = (("a", "b"), ("0", "1", "2"))
        made = {"output_mean": means, "output_sd": sd}
        return Probes({
            f"channels.{name}": Series(epochs, values, ("norm", "channel"), names)
            for name, values in made.items()
        })  # fmt: skip

    return make_analysis(("bn", "ln"), seeds, probes=probes)


@pytest.mark.parametrize(
    ("ln", "outcome"),
    [((0.5, 0.4), "supported"), ((0.05, 0.02), "contradicted"), ((0.5, 0.02), "not decided")],
)
def test_inputs_shift_less_if_both_measures_say_so(ln, outcome):
    found = READINGS["drift"](drifting({"bn": (0.2, 0.1), "ln": ln}))
    assert found.outcome == outcome
    mean, log_sd = ln[0] - 0.2, ln[1] - 0.1
    for difference, words in ((mean, "means"), (log_sd, "logarithms")):
        mean = np.mean(difference - 0.1 * NOISE)
        size = f"{mean:+.2f} (95 %".replace("-", "−")
        told = found.text.split("; ")
        assert any(f"with ln {size}" in part and f"({words}" in part for part in told)


def test_networks_are_looked_at_at_the_same_moments():
    """ln was looked at more rarely: between the moments that both have, it shifts as bn does."""

    def probes(trial):
        epochs = np.array([0.0, 1, 2, 3, 4]) if trial.norm == "bn" else np.array([0.0, 2, 4])
        noise = (1 + trial.seed / 100) * (2 if trial.norm == "bn" else 1) / 100
        means = ((0.2 + noise) * epochs)[:, None, None] * np.ones((len(epochs), 1, 2))
        both = {"mean": means, "sd": np.ones_like(means)}
        axes, names = ("norm", "channel"), (("a",), ("0", "1"))
        return Probes({f"channels.output_{n}": Series(epochs, v, axes, names)
                       for n, v in both.items()})  # fmt: skip

    found = READINGS["drift"](make_analysis(("bn", "ln"), 5, probes=probes))
    own = np.array([-(1 + seed / 100) / 100 for seed in range(5)])
    assert f"with ln {own.mean():+.2f} (95 %".replace("-", "−") in found.text


# -- few seeds, and norms that are missing ---------------------------------------------------------


def test_a_norm_that_cannot_be_compared_is_named():
    bn, ln = ([1.0, 0.8, 0.2], [1.0, 1.2, 1.8]), ([1.4, 1.0, 0.8], [1.1, 1.5, 1.7])
    none = ([2.3, 2.2, 2.1], [1.0, 1.0, 1.0])
    made = surroundings({"bn": bn, "ln": ln, "none": none}, norms=("bn", "ln", "none"))
    found = READINGS["landscape"](made)
    assert found.outcome == "supported"
    assert "less than that of ln." in found.plain
    assert found.limits.endswith("Not compared: none.")


def test_four_seeds_decide_nothing_of_the_inside():
    bn, ln = ([1.0, 0.8, 0.2], [1.0, 1.2, 1.8]), ([1.4, 1.0, 0.8], [1.1, 1.5, 1.7])
    made = surroundings({"bn": bn, "ln": ln}, seeds=4)
    found = READINGS["landscape"](made)
    assert found.outcome == "not decided"
    assert "5 seeds are the least to decide by." in found.text
    assert READINGS["drift"](drifting({"bn": (0.2, 0.1), "ln": (0.5, 0.4)}, 4)).outcome == (
        "not decided"
    )
