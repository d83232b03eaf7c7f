"""An experiment with folds, from start to report."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from normscope.analysis.verdicts import Rules
from normscope.errors import UsageError
from normscope.experiment import Design, Experiment
from normscope.observers import Observer
from normscope.stats import t_interval
from normscope.store import Store
from normscope.study.checks import check
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.explain import explain
from normscope.study.predict import predict
from normscope.study.probe import probe
from normscope.study.trained import classifier_of


def asked(**values):
    recipe = {"base": "quick", "epochs": 1, "batch_size": 64}
    return Experiment(**{"folds": 3, "norms": ("bn", "gn"), "recipe": recipe, **values})


@pytest.fixture(scope="module")
def small():
    """As many images as a test has time for; the table has the whole set."""
    from normscope.data import DATASETS

    whole = DATASETS["shapes"]
    few = replace(
        whole, train_size=130, test_size=65, make=lambda train, test: whole.make(train, test)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "shapes", few)
        yield few


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small):
    out = tmp_path_factory.mktemp("folds") / "run"
    compare(asked(), out=out, workers=1, observer=Observer())
    return out


def test_every_image_is_tested_once_by_a_network_that_has_not_seen_it(folder):
    store = Store(folder)
    facts, results = store.facts(), list(store.records())
    assert (facts.train_size, facts.test_size, len(results)) == (130, 195, 6)
    kept = store.results([result.trial for result in results])
    assert [len(result.predictions.classes) for result in kept] == [65] * 6


def test_the_interval_is_widened_and_the_verdict_says_so(folder):
    analysis = Comparison.read(folder).analysis
    accuracies = {(t.norm, t.seed): t.metrics["test_accuracy_percent"] for t in analysis.trials}
    differences = [accuracies["gn", seed] - accuracies["bn", seed] for seed in (0, 1, 2)]
    (verdict,) = analysis.verdicts
    expected = t_interval(differences, 0.95, overlap=1 / 2)
    assert verdict.difference.low == pytest.approx(expected.low)
    assert verdict.difference.high == pytest.approx(expected.high)
    assert analysis.rules == Rules(False, 0.05, 0.5, overlap=1 / 2)
    assert "widened for what the training sets of 3 folds share" in analysis.method
    assert verdict.judgement.seeds_needed is None
    text = (folder / "summary.md").read_text(encoding="utf-8")
    assert "all 195 images in 3 folds, dealt out 1 time" in text


def test_what_is_said_of_images_is_said_of_all(folder):
    analysis = Comparison.read(folder).analysis
    counts = {norm: counts.sum() for norm, counts in analysis.mistakes.confusions.items()}
    assert counts == {"bn": 195, "gn": 195}


def test_the_same_command_again_trains_nothing_and_others_extend_it(folder):
    before = {path.name for path in (folder / "trials").iterdir()}
    compare(asked(), out=folder, workers=1, observer=Observer())
    assert {path.name for path in (folder / "trials").iterdir()} == before
    with pytest.raises(UsageError, match=r"another experiment \(folds 3, not 2\)"):
        check(asked(folds=2), out=folder)


def test_seeds_are_not_added_after_a_look(folder):
    with pytest.raises(UsageError, match="was cross-validated with 3 seeds; more of them after a"):
        check(asked(seeds=6), out=folder)


def test_copies_of_an_image_are_counted_once(small):
    dataset = small.make(40, 20)
    images = np.concatenate([dataset.train_images, dataset.test_images[:5]])
    labels = np.concatenate([dataset.train_labels, dataset.test_labels[:5]])
    doubled = replace(dataset, train_images=images, train_labels=labels).in_folds()
    plain = dataset.in_folds()
    assert len(plain.test_labels) == len(doubled.test_labels) == 60
    rows = {image.tobytes() for image in doubled.test_images}
    assert rows == {image.tobytes() for image in plain.test_images}


def test_probes_look_at_the_fold_and_heat_maps_are_refused(folder):
    probed = probe(folder, ("dead",))
    assert (probed.trials, probed.failures) == (6, {})
    with pytest.raises(UsageError, match="cross-validated: its networks have trained on most"):
        explain(folder)


def test_the_networks_of_a_fold_are_used_with_its_own_mean_and_deviation(folder, small, tmp_path):
    store, dataset = Store(folder), small.make(130, 65).in_folds()
    assert store.facts().mean is None
    scales = []
    for result in store.records():
        classifier = classifier_of(store, result, part := dataset.of(result.trial))
        right = classifier.answers(part.test_images).argmax(axis=1)
        (kept,) = store.predictions([result])
        assert right.tolist() == kept.classes.tolist()
        scales.append(tuple(classifier.mean.flatten().tolist()))
    assert len({*scales}) > 1
    image = tmp_path / "image.png"
    Image.fromarray(dataset.test_images[0]).save(image)
    assert predict(folder, [image], "bn").seeds == (0, 1, 2)


def test_seeds_are_not_added_until_decided(small):
    with pytest.raises(UsageError, match="folds share training images"):
        check(asked(), design=Design(until_decided=True), out="nowhere")


def test_more_folds_than_images_are_refused(small):
    with pytest.raises(UsageError, match="196 folds are more than the images"):
        check(asked(folds=196, norms=("bn",)), out="nowhere")


def test_the_folder_says_that_it_has_folds(folder):
    kept = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    assert kept["experiment"]["folds"] == 3
