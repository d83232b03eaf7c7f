"""When a network that was trained to the end has collapsed: the rule at its edge, and trainings."""

import pytest
import torch
from scipy import stats as scipy_stats
from small_trials import CPU, trial
from torch import nn

from normscope.models import MODELS
from normscope.models.layers import conv2d
from normscope.norms import NORMS
from normscope.training import trial as training
from normscope.training.collapse import LEAST_STEPS, why_collapsed
from normscope.training.trial import run_fleet, run_trial

# -- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "largest_class", "most"),
    [
        (900, 90, 117),  # 90 + 3 sqrt(90 * 810 / 900) = 90 + 3 * 9
        (400, 320, 344),  # 320 + 3 sqrt(320 * 80 / 400) = 320 + 3 * 8
        (50_000, 5_000, 5_201),  # CIFAR-10: 5000 + 3 sqrt(4500) = 5201.2
    ],
)
def test_at_most_three_standard_errors_above_guessing_the_largest_class(
    images, largest_class, most
):
    def collapsed(right):
        return why_collapsed(100 * right / images, images, largest_class, LEAST_STEPS) is not None

    assert collapsed(0)
    assert collapsed(most)
    assert not collapsed(most + 1)
    assert not collapsed(images)


def test_a_network_that_guesses_is_taken_for_another_once_in_740_times():
    assert 1 / scipy_stats.norm.sf(3) == pytest.approx(740, abs=1)
    assert scipy_stats.binom.sf(5_201, 50_000, 0.1) == pytest.approx(1 / 740, rel=0.05)


@pytest.mark.parametrize(("steps", "judged"), [(99, False), (100, True)])
def test_a_network_after_fewer_than_100_steps_has_not_begun(steps, judged):
    assert (why_collapsed(10.0, 50_000, 5_000, steps) is not None) == judged


def test_the_reason_is_one_sentence_with_both_accuracies():
    assert why_collapsed(10.12, 50_000, 5_000, 1_470) == (
        "train accuracy in the last epoch was 10.1 %, where guessing the largest class gives 10.0 %"
    )


# -- trainings -----------------------------------------------------------------------------------


class Silence(nn.Module):
    """A norm that lets nothing through."""

    def __init__(self, num_channels):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x_NCHW):
        return 0 * x_NCHW + self.weight[:, None, None]


def one_convolution(make_norm, num_classes, init, dropout):
    """A network that is trained in a moment."""
    return nn.Sequential(
        conv2d(3, 16, 5, generator=init),
        nn.ReLU(),
        make_norm(16),
        nn.AvgPool2d(28),
        conv2d(16, num_classes, 1, generator=init),
        nn.Flatten(),
    )


@pytest.fixture(autouse=True)
def of_the_test(monkeypatch):
    monkeypatch.setitem(NORMS, "silence", Silence)
    monkeypatch.setitem(MODELS, "one convolution", one_convolution)


def tiny(norm, epochs, seed=0, validation=False):
    """256 images in batches of 8: 32 steps per epoch."""
    made = trial(norm, seed, epochs=epochs, batch_size=8)
    return made.model_copy(update={"model": "one convolution", "validation": validation})


def largest_class_percent(dataset):
    return 100 * max((dataset.train_labels == c).mean() for c in range(10))


def test_a_network_that_stays_at_chance_has_collapsed_and_keeps_everything(shapes):
    result = run_trial(tiny("silence", epochs=4), shapes, CPU)
    assert result.status == "collapsed"
    assert len(result.history) == 4
    last = result.history[-1]
    assert result.error == (
        f"train accuracy in the last epoch was {last.train_accuracy_percent:.1f} %, where guessing "
        f"the largest class gives {largest_class_percent(shapes):.1f} %"
    )
    assert len(set(result.predictions.classes.tolist())) == 1
    assert result.weights["0.weight"].shape == (16, 3, 5, 5)
    assert result.peak_memory_mib > 0


@pytest.mark.parametrize(
    ("norm", "epochs"), [("bn", 4), ("silence", 3)], ids=["what learns", "what has hardly begun"]
)
def test_that_has_finished(shapes, norm, epochs):
    result = run_trial(tiny(norm, epochs), shapes, CPU)
    assert (result.status, result.error) == ("finished", None)


@pytest.mark.parametrize(("epochs", "status"), [(4, "collapsed"), (3, "finished")])
def test_a_trial_of_the_search_for_rates_is_judged_by_the_images_it_saw(shapes, epochs, status):
    """Nine tenths of 256 images, in 29 batches: 87 steps in three epochs, 116 in four."""
    result = run_trial(tiny("silence", epochs, validation=True), shapes, CPU)
    assert result.status == status
    assert result.predictions is result.weights is None
    if status == "collapsed":
        expected = largest_class_percent(shapes.held_out())
        assert expected != largest_class_percent(shapes)
        assert result.error.endswith(f"guessing the largest class gives {expected:.1f} %")


def test_the_members_of_a_fleet_collapse_one_by_one(shapes, monkeypatch):
    build = training.build

    def dead_with_seed_1(a_trial, train, num_classes):
        built = build(a_trial, train, num_classes)
        with torch.no_grad():
            built.model[0].weight *= float(a_trial.seed != 1)
        return built

    monkeypatch.setattr(training, "build", dead_with_seed_1)
    results = run_fleet([tiny("bn", 4, seed) for seed in range(3)], shapes, CPU)
    assert [result.status for result in results] == ["finished", "collapsed", "finished"]
    assert [result.error is None for result in results] == [True, False, True]
    assert all(result.predictions and result.weights for result in results)
