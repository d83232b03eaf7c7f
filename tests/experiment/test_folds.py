"""Cross-validation: who is in which fold, what a trial tests on, and results put together."""

import numpy as np
import pytest
from pydantic import ValidationError

from normscope.data import load_dataset
from normscope.experiment import Experiment
from normscope.experiment.folds import Pool, fold_index, folds_of, images_tested
from normscope.experiment.plan import plan

LABELS = np.repeat([0, 1, 2], [41, 7, 3])


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_class_is_dealt_out_evenly(folds):
    found = folds_of(LABELS, folds, 0)
    sizes = np.bincount(found, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(3):
        of_class = np.bincount(found[label == LABELS], minlength=folds)
        assert of_class.max() - of_class.min() <= 1


def test_each_time_the_images_are_dealt_out_anew_and_always_alike():
    first, again, second = (folds_of(LABELS, 5, time) for time in (0, 0, 1))
    assert (first == again).all()
    assert (first != second).any()


def asked(**values):
    return Experiment(**{"folds": 5, "norms": ("bn", "gn"), **values})


def test_the_seeds_of_a_time_test_every_image_once():
    trials = [trial for trial in plan(asked(seeds=10)) if trial.norm == "bn"]
    assert [trial.fold for trial in trials] == [0, 1, 2, 3, 4] * 2
    for some in (trials[:5], trials[5:]):
        together = np.concatenate([fold_index(trial, LABELS) for trial in some])
        assert sorted(together) == list(range(len(LABELS)))
    assert [images_tested(t, len(LABELS)) for t in trials[:5]] == [
        len(fold_index(t, LABELS)) for t in trials[:5]
    ]


def test_folds_are_part_of_the_id_and_trials_without_keep_theirs():
    (one, *_), (other, *_) = plan(asked()), plan(asked(folds=None, seeds=5))
    assert one.id != other.id
    assert "folds" not in other.model_dump()


def test_there_are_as_many_seeds_as_folds_or_a_multiple():
    assert asked().seeds == 5
    assert asked().slug.endswith("folds5")
    for wrong in ({"seeds": 7}, {"seeds": [0, 2, 4, 6, 8]}):
        with pytest.raises(ValidationError, match="leave seeds out, or write 5, 10, 15"):
            asked(**wrong)
    with pytest.raises(ValidationError, match="folds are of all images; leave the limits out"):
        asked(test_limit=10)
    with pytest.raises(ValidationError, match="no images to search learning rates on"):
        asked(protocol="tuned")


def test_a_fold_is_trained_on_all_other_images_and_scaled_by_them():
    dataset = load_dataset("shapes", None, 60, 40)
    whole = dataset.in_folds()
    assert len(whole.test_labels) == 100
    trial = plan(asked())[0]
    fold = whole.of(trial)
    assert (len(fold.train_labels), len(fold.test_labels)) == (80, 20)
    rows = {image.tobytes() for image in fold.train_images}
    assert not rows & {image.tobytes() for image in fold.test_images}
    pixels = fold.train_images.reshape(-1, 3) / 255
    assert fold.mean == pytest.approx(pixels.mean(axis=0), abs=6e-5)
    assert fold.std == pytest.approx(pixels.std(axis=0), abs=6e-5)
    assert dataset.of(plan(Experiment())[0]) is dataset


def test_predictions_are_put_together_in_the_order_of_all_images():
    trials = [trial for trial in plan(asked(seeds=10)) if trial.norm == "bn"]

    def said(trial):
        index = fold_index(trial, LABELS)
        return index, (LABELS[index], np.stack([index, -index], axis=1))

    pool = Pool()
    found = [pool.add(trial, *said(trial)) for trial in reversed(trials)]
    assert [each and each[0] for each in found] == [*[None] * 4, 1, *[None] * 4, 0]
    for _, (classes, pairs) in filter(None, found):
        assert (classes == LABELS).all()
        assert pairs[:, 0].tolist() == list(range(len(LABELS)))
