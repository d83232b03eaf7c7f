import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from report_fakes import (
    make_experiment,
    make_facts,
    make_labels,
    make_model,
    make_predictions,
    make_results,
)

from normscope.analysis import Contents, analyse, tallies
from normscope.analysis.tallies import Tallies, WrongAnswers, scores_of, with_scores


def test_trials_that_are_scored_together_have_the_scores_of_each_alone(monkeypatch):
    labels = make_labels(60)
    results = make_results(make_experiment(seeds=4), labels)
    results[1] = results[1].model_copy(update={"status": "failed", "predictions": None})
    read = [(result, result.predictions) for result in results]
    monkeypatch.setattr(tallies, "AT_ONCE", 5 * 600)  # five of twelve
    found = list(with_scores(read, labels))
    assert [result for (result, _), _ in found] == results
    for (result, predictions), scores in found:
        if result is results[1]:
            assert scores is None
            continue
        (alone,) = scores_of([predictions], labels)
        np.testing.assert_array_equal(scores.confusion, alone.confusion)
        assert replace(scores, confusion=None) == replace(alone, confusion=None)


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
        found.add(result, result.predictions)
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

        def predictions(some):
            return (make_predictions(labels, 10, 0.1, rng) for _ in some)

        contents = Contents(experiment, [], make_facts(test_size=len(labels)), models, results,
                            labels, predictions=predictions)  # fmt: skip
        tracemalloc.start()
        analyse(contents)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is imported and kept on the first call
    more_trials, of_one = 2 * (24 - 8), labels.nbytes + 2 * 10 * len(labels)
    assert peak(24) - peak(8) < 0.5 * more_trials * of_one
