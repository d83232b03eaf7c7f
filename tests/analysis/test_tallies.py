import tracemalloc
from collections import Counter

import numpy as np
import pytest
from report_fakes import (
    make_experiment,
    make_facts,
    make_labels,
    make_model,
    make_predictions,
    make_result,
    make_results,
)

from normscope.analysis import Contents, analyse, tallies
from normscope.analysis.tallies import Scoring, Tallies, WrongAnswers, answered, scored
from normscope.experiment import Told, folds
from normscope.experiment.plan import plan


def test_trials_that_are_scored_together_have_the_scores_of_each_alone():
    labels = make_labels(60)
    results = make_results(make_experiment(seeds=4), labels)
    together = Scoring(labels)(list(map(Told.by, results)), [each.predictions for each in results])
    assert len(together) == len(results) == 12
    for result, found in zip(results, together, strict=True):
        (alone,) = scored([result.predictions], labels)
        assert found.scores == alone.scores
        assert (found.classes == result.predictions.classes).all()
        np.testing.assert_array_equal(found.confidences, result.predictions.confidences())
    assert len({found.scores.macro_f1 for found in together}) > 1


def test_folds_are_scored_on_the_images_that_each_is_tested_on():
    labels = make_labels(60)
    experiment = make_experiment(seeds=6, norms=("bn",)).model_copy(update={"folds": 3})
    trials = plan(experiment)
    results = [make_result(experiment, t, folds.tested_labels(t, labels)) for t in trials]
    together = Scoring(labels)(list(map(Told.by, results)), [each.predictions for each in results])
    for trial, result, found in zip(trials, results, together, strict=True):
        right = (result.predictions.classes == folds.tested_labels(trial, labels)).mean()
        assert found.scores.images == 20
        assert found.scores.balanced_accuracy == pytest.approx(right, abs=0.02)


def test_wrong_answers_are_counted_by_image_and_class(monkeypatch):
    monkeypatch.setattr(tallies, "MERGED", 7)  # so that they are added up several times
    rng = np.random.default_rng(0)
    norms, counts, sums = [WrongAnswers(4), WrongAnswers(4)], Counter(), Counter()
    for trial in range(30):
        images = np.flatnonzero(rng.random(12) < 0.4)
        answers, sure = rng.integers(0, 4, len(images)), rng.random(len(images))
        norms[trial % 2].add(images, answers, sure)
        for image, answer, confidence in zip(images, answers, sure, strict=True):
            counts[image, answer] += 1
            sums[image, answer] += confidence
    everyone = WrongAnswers.together(norms)
    images = np.array(sorted({image for image, _ in counts}))
    predicted, confidence = everyone.usual(images)
    for place, image in enumerate(images):
        usual = max(range(4), key=lambda each: (counts[image, each], -each))
        assert predicted[place] == usual
        assert confidence[place] == pytest.approx(sums[image, usual] / counts[image, usual])


def test_predictions_of_a_norm_that_was_not_asked_for_are_left_out():
    labels = make_labels(20)
    found = Tallies(["bn"], labels, 10)
    for result in make_results(make_experiment(seeds=2), labels):
        found.add(result, *answered([], [result.predictions]))
    assert list(found.by_norm) == ["bn"]
    assert found.by_norm["bn"].trials == 2


def test_memory_does_not_hold_the_predictions_of_all_trials():
    """They come one by one; twice the trials take a small part of twice their predictions more."""
    labels, rng = make_labels(4000), np.random.default_rng(0)

    def peak(seeds):
        experiment = make_experiment(norms=("bn", "gn"), seeds=seeds)
        results = [
            each.model_copy(update={"predictions": None})
            for each in make_results(experiment, labels[:10])
        ]
        models = {norm: make_model(norm) for norm in experiment.norms}

        def summarised(some, summarise):
            for each in some:
                predictions = make_predictions(labels, 10, 0.1, rng)
                yield summarise([Told.by(each)], [predictions])[0]

        contents = Contents(experiment, [], make_facts(test_size=len(labels)), models, results,
                            labels, summarised=summarised)  # fmt: skip
        tracemalloc.start()
        analyse(contents)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is imported and kept on the first call
    more_trials, of_one = 2 * (24 - 8), labels.nbytes + 2 * 10 * len(labels)
    assert peak(24) - peak(8) < 0.5 * more_trials * of_one
