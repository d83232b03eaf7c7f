"""The table of what networks said of each test image."""

import numpy as np
import pandas as pd
import pytest
from report_fakes import make_labels
from small_trials import trial
from store_fakes import IMAGES, first, flipped, make_store

from normscope.analysis import predicted
from normscope.analysis.predicted import prediction_table
from normscope.errors import RunError, UsageError
from normscope.experiment import Predictions, Result
from normscope.experiment.folds import folds_of
from normscope.store import Store
from normscope.study.comparison import Comparison


@pytest.fixture
def folder(tmp_path):
    make_store(tmp_path / "run", norms=("bn", "gn"), seeds=3)
    return tmp_path / "run"


def test_each_image_of_each_trial_has_a_row(folder):
    """Held against the files, and softmax by hand."""
    frame = Comparison.read(folder).predictions()
    names = Store(folder).facts().class_names
    assert len(frame) == 2 * 3 * IMAGES
    assert frame.columns.tolist() == [
        "norm", "batch_size", "seed", "image", "label", "predicted", "confidence",
    ]  # fmt: skip
    for result in Store(folder).records():
        kept = np.load(folder / "trials" / result.trial.id / "predictions.npz")
        own = frame[(frame.norm == result.trial.norm) & (frame.seed == result.trial.seed)]
        assert (own.batch_size == result.trial.recipe.batch_size).all()
        assert own.image.tolist() == [*range(IMAGES)]
        assert own.label.tolist() == [names[k] for k in make_labels(IMAGES)]
        assert own.predicted.tolist() == [names[k] for k in kept["classes"]]
        odds = np.exp(kept["logits"].astype(float))
        share = odds[np.arange(IMAGES), kept["classes"]] / odds.sum(axis=1)
        np.testing.assert_allclose(own.confidence, share, rtol=1e-5)
        right = 100 * (own.label == own.predicted).mean()
        assert right == pytest.approx(result.history[-1].test_accuracy_percent)


def test_trials_come_by_seed_and_then_by_norm(folder):
    frame = Comparison.read(folder).predictions()
    order = frame.drop_duplicates(["norm", "seed"])[["norm", "seed"]].to_numpy().tolist()
    assert order == [["bn", 0], ["gn", 0], ["bn", 1], ["gn", 1], ["bn", 2], ["gn", 2]]


def test_of_a_norm_by_another_name_and_of_a_seed(folder):
    comparison = Comparison.read(folder)
    whole = comparison.predictions()
    some = comparison.predictions("GroupNorm", seed=1)
    assert len(some) == IMAGES
    expected = whole[(whole.norm == "gn") & (whole.seed == 1)]
    pd.testing.assert_frame_equal(
        some.astype({"norm": str}), expected.reset_index(drop=True).astype({"norm": str})
    )
    with pytest.raises(UsageError, match="no results with seed 7, but with 0, 1, 2"):
        comparison.predictions(seed=7)
    with pytest.raises(UsageError, match=r"has no norm 'ln'; it has bn, gn"):
        comparison.predictions("ln")


def test_damage_is_told_and_hides_nothing(folder):
    comparison = Comparison.read(folder)
    flipped(first(folder, "trials/*/predictions.npz"), np.random.default_rng(0))
    with pytest.raises(RunError, match="cannot be used, being damaged"):
        comparison.predictions()


def of(own, classes):
    """A result and predictions that are sure of the given classes."""
    logits = np.where(np.arange(3) == np.array(classes)[:, None], 9, 0).astype(np.float16)
    result = Result.model_construct(trial=own, status="finished")
    return result, Predictions(np.array(classes, np.int64), logits)


def test_images_of_folds_are_told_by_their_place_among_all():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    folds = [trial(seed=seed).model_copy(update={"folds": 2}) for seed in (0, 1)]
    where = [np.flatnonzero(folds_of(labels, 2, 0) == fold) for fold in (0, 1)]
    made = [of(own, labels[places]) for own, places in zip(folds, where, strict=True)]
    frame = prediction_table(*zip(*made, strict=True), labels, ("a", "b", "c"))
    assert sorted(frame.image) == [*range(8)]
    assert frame.image.tolist() == [*where[0], *where[1]]
    assert (frame.label == frame.predicted).all()


def test_so_many_rows_that_memory_would_not_hold_them_are_refused(monkeypatch):
    monkeypatch.setattr(predicted, "MOST_ROWS", 7)
    labels = np.array([0, 1, 2, 0])
    result, found = of(trial(), labels)
    assert len(prediction_table([result], [found], labels, ("a", "b", "c"))) == 4
    with pytest.raises(UsageError, match=r"of 2 trials are 8 rows, more than 7; name a norm or"):
        prediction_table([result] * 2, [found] * 2, labels, ("a", "b", "c"))


def test_a_row_takes_few_bytes():
    """As `MOST_ROWS` says."""
    result, found = of(trial(), np.zeros(1000, np.int64))
    frame = prediction_table([result] * 50, [found] * 50, np.zeros(1000, np.int64), ("a", "b", "c"))
    assert frame.memory_usage(deep=True, index=False).sum() / len(frame) < 23.1
