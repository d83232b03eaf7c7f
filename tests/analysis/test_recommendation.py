"""The one line on top, on numbers that decide, that do not, and that say nothing of a training."""

from dataclasses import replace

import pytest
from report_fakes import make_analysis

from normscope.analysis.recommendation import recommendation_of
from tests.analysis.test_analyse import with_finals

TITLES = {"bn": "BatchNorm", "gn": "GroupNorm (4 groups)", "ln": "LayerNorm (over C, H, W)"}


def recommended(finals):
    found = with_finals(finals).recommendation
    return found.norms, str(found)


BN = [75.0, 75.4, 75.2, 75.1]


def shifted(points, noise=(0.02, -0.03, 0.01, 0.0)):
    return [bn + points + own for bn, own in zip(BN, noise, strict=True)]


@pytest.mark.parametrize(
    ("finals", "norms", "text"),
    [
        (
            {"bn": BN, "gn": shifted(-1.5), "ln": shifted(-1.2)},
            ("bn",),
            "Use bn: 75.2 %, ahead of gn and ln, by 1.2 to 1.5 points.",
        ),
        (
            {"bn": BN, "gn": shifted(1.5), "ln": shifted(-1.0)},
            ("gn",),
            "Use gn: 76.7 %, ahead of bn and ln, by 1.5 to 2.5 points.",
        ),
        ({"bn": BN, "gn": shifted(2.0)}, ("gn",), "Use gn: 77.2 %, ahead of bn, by 2.0 points."),
        (
            {"bn": BN, "gn": shifted(0.0), "ln": shifted(-1.0)},
            ("bn", "gn"),
            "Use bn or gn: 75.2 %, equivalent to bn within 0.5 points, and ahead of ln.",
        ),
    ],
)
def test_what_is_decided_is_recommended(finals, norms, text):
    assert recommended(finals) == (norms, text)


def test_two_that_are_ahead_are_told_apart_by_all_pairs():
    """Both are better than bn; only the pairs say which of the two is ahead."""
    apart = {"bn": BN, "gn": shifted(1.0), "ln": shifted(3.0, (0.0, 0.1, -0.1, 0.05))}
    assert recommended(apart)[0] == ("ln",)
    alike = {"bn": BN, "gn": shifted(2.0, (0.3, -0.3, 0.2, -0.2)), "ln": shifted(2.0)}
    norms, text = recommended(alike)
    assert norms == ()
    assert text == (
        "No recommendation: gn and ln are ahead of bn, and nothing tells which of them is best."
    )


def test_what_is_undecided_is_not_recommended():
    far = [-3.0, 3.1, -2.9, 2.7]
    norms, text = recommended({"bn": BN, "gn": shifted(0.0, far), "ln": shifted(-1.0)})
    assert norms == ()
    assert text.startswith("No recommendation: gn is undecided against bn")


def test_seeds_that_would_decide_are_named():
    some = [-1.1, 1.4, -1.3, 1.2, -1.2, 1.0, -1.4, -0.9]
    bn = [75.0] * 8
    gn = [75.0 + own for own in some]
    found = with_finals({"bn": bn, "gn": gn})
    (verdict,) = found.verdicts
    assert not verdict.decided
    about, least, most = verdict.judgement.more_seeds
    assert f"about {about} more seed" in str(found.recommendation)
    assert f"({least} to {most}) would decide" in str(found.recommendation)


def test_one_run_each_says_what_would_help():
    _, text = recommended({"bn": [75.0], "gn": [74.0]})
    assert text == (
        "No recommendation: gn is undecided against bn; one run each decides nothing: "
        "`--seeds 5`, or `--until-decided`."
    )


def test_one_norm_alone_is_not_recommended():
    _, text = recommended({"bn": BN})
    assert text == "No recommendation: there is no other norm to compare it with."


def test_a_short_training_is_said():
    analysis = make_analysis(seeds=4, epochs=2)
    text = str(analysis.recommendation)
    assert "after 196 of the recipe's 1,470 steps, which says nothing of full training" in text


def test_full_names_are_used_where_they_are_known():
    finals = {"bn": BN, "gn": shifted(-1.5), "ln": shifted(-1.2)}
    text = str(recommendation_of(replace(with_finals(finals), titles=TITLES)))
    assert text.startswith("Use BatchNorm: 75.2 %, ahead of GroupNorm (4 groups) and LayerNorm")
