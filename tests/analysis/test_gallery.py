"""What norms say of the images that are shown, and how far trials agree: recomputed by hand."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import make_analysis, make_labels
from scipy.special import softmax

from normscope.analysis.agreement import Split
from normscope.experiment import Design


@pytest.fixture(scope="module")
def analysis():
    return make_analysis(epochs=1, seeds=3, test_size=300)


def finished(analysis, norm):
    return [r.predictions for r in analysis.results if r.trial.norm == norm]


def test_probabilities_are_means_of_softmax_over_seeds(analysis):
    index = min(analysis.images)
    (gn,) = (answer for answer in analysis.images[index].norms if answer.norm == "gn")
    logits = [each.logits[index].astype(np.float64) for each in finished(analysis, "gn")]
    by_hand = 100 * softmax(logits, axis=1)
    np.testing.assert_allclose(gn.percent, by_hand.mean(axis=0))
    np.testing.assert_allclose(gn.low, by_hand.min(axis=0))
    np.testing.assert_allclose(gn.high, by_hand.max(axis=0))
    assert gn.percent.sum() == pytest.approx(100)


def test_the_true_class_comes_first_and_then_the_likeliest(analysis):
    for image in analysis.images.values():
        assert image.classes[0] == image.true == make_labels(300)[image.index]
        mean = np.mean([answer.percent for answer in image.norms], axis=0)
        others = sorted((c for c in range(10) if c != image.true), key=lambda c: -mean[c])
        assert list(image.classes[1:]) == others[:3]


def test_it_is_counted_who_errs(analysis):
    labels, seen = make_labels(300), set()
    assert set(analysis.images) == analysis.mistakes.pictures()
    for index, image in analysis.images.items():
        wrong = {
            norm: sum(int(p.classes[index] != labels[index]) for p in finished(analysis, norm))
            for norm in ("bn", "gn", "ln")
        }
        assert {a.norm: a.wrong for a in image.norms} == wrong
        erring = [norm for norm, count in wrong.items() if count]
        if sum(wrong.values()) == 9:
            expected = "hard for all"
        elif len(erring) == 1:
            expected = f"only {erring[0]} errs"
        else:
            expected = ", ".join(f"{norm} {wrong[norm]}" for norm in erring) + " err"
        assert image.agreement == expected
        seen.add(expected.split()[0])
    assert {"hard", "only", "bn"} <= seen


def test_images_are_split_by_how_many_trials_are_right():
    right = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 1, 1], [1, 1, 0, 0, 1]], dtype=bool)
    assert Split.of(right) == Split(trials=3, right=2, wrong=1, mixed=2)


def test_the_sentences_carry_the_counts(analysis):
    labels = make_labels(300)
    right = np.array([r.predictions.classes == labels for r in analysis.results])
    always, never = right.all(axis=0).sum(), (~right.any(axis=0)).sum()
    first, second = analysis.agreement.sentences
    assert first.startswith(f"Of 300 test images {always} ({100 * always / 300:.1f} %) are right")
    assert f", {never} ({100 * never / 300:.1f} %) are wrong in all of them" in first
    shared = analysis.agreement.shared
    assert f"have {shared.within:.1f} % of their mistakes" in second
    assert f"norm and seed {shared.between:.1f} %" in second


def test_whether_norms_make_other_mistakes_is_said_at_the_alpha_asked_for(analysis):
    p = analysis.agreement.shared.p_value
    shown, open_ = (replace(analysis.agreement, alpha=alpha) for alpha in (p, p - 1e-6))
    assert "So norms make other mistakes than seeds alone do" in shown.sentences[1]
    assert "This does not show that norms make other mistakes" in open_.sentences[1]
    strict = make_analysis(seeds=2, epochs=1, test_size=100, design=Design(alpha=0.01))
    assert strict.agreement.alpha == 0.01


def test_what_there_is_too_little_of_is_not_said():
    one = make_analysis(norms=("gn",), seeds=1, epochs=1, test_size=100)
    assert one.agreement.sentences[0].startswith("The one finished trial is wrong on ")
    assert len(one.agreement.sentences) == 1
    assert len(make_analysis(seeds=1, epochs=1, test_size=100).agreement.sentences) == 1
    assert make_analysis(epochs=1, test_size=100, change=lambda r: []).agreement is None
