"""The one line on top, on numbers that decide, that do not, and that say nothing of a training."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import collapsed, make_analysis

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
            "Use bn: 75.2 % over 4 seeds, ahead of ln and gn, by 1.2 to 1.5 points.",
        ),
        (
            {"bn": BN, "gn": shifted(1.5), "ln": shifted(-1.0)},
            ("gn",),
            "Use gn: 76.7 % over 4 seeds, ahead of bn and ln, by 1.5 to 2.5 points.",
        ),
        (
            {"bn": BN, "gn": shifted(2.0)},
            ("gn",),
            "Use gn: 77.2 % over 4 seeds, ahead of bn, by 2.0 points.",
        ),
        (
            {"bn": BN, "gn": shifted(0.04, (0.001, -0.001, 0.002, 0.0))},
            ("gn",),
            "Use gn: 75.2 % over 4 seeds, ahead of bn, by 0.04 points.",
        ),
        (
            {"bn": BN, "gn": shifted(0.0), "ln": shifted(-1.0)},
            ("bn", "gn"),
            "Use bn or gn: gn is equivalent to bn (75.2 %) within 0.5 points; ln is behind bn.",
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
        "No recommendation: gn and ln are ahead of bn, and nothing tells gn and ln apart."
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
    assert f"({least} to {most}) would probably decide it" in str(found.recommendation)


def test_one_run_each_says_what_would_help():
    _, text = recommended({"bn": [75.0], "gn": [74.0]})
    assert text == (
        "No recommendation: gn is undecided against bn; one run each decides nothing, and "
        "--until-decided adds seeds."
    )


def test_a_norm_is_ahead_only_where_its_own_verdict_says_so():
    """The pairs of two norms are tested at twice alpha, which the answers do not promise."""
    differences = [0.6, 1.4, -0.2, 0.9, 1.6, 0.1]
    bn = [75.0] * 6
    found = with_finals({"bn": bn, "gn": [75.0 + d for d in differences]})
    (verdict,) = found.verdicts
    assert (verdict.outcome, found.winners) == ("undecided", ("gn",))
    assert found.recommendation.norms == ()


def test_whoever_is_ahead_of_the_baseline_is_better_and_it_is_ahead_of_who_is_worse():
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(60):
        points, sd = rng.normal(0, 1, 2), rng.uniform(0.05, 0.8)
        gn, ln = (BN + own + rng.normal(0, sd, 4) for own in points)
        found = with_finals({"bn": BN, "gn": gn, "ln": ln})
        outcomes = {verdict.norm: verdict.outcome for verdict in found.verdicts}
        (*norms,) = found.recommendation.norms
        kinds.add((len(norms), norms[:1] == ["bn"]))
        if norms == ["bn"]:
            assert {*outcomes.values()} == {"worse"}
        elif len(norms) == 1:
            assert outcomes[norms[0]] == "better"
        else:
            assert {outcomes[norm] for norm in norms[1:]} <= {"equivalent"}
        assert "undecided" not in outcomes.values() or len(norms) < 2
    assert {(1, True), (1, False), (0, False)} <= kinds


def test_one_that_is_better_and_one_that_is_as_good_as_the_baseline_are_not_told_apart():
    some = (0.03, -0.02, 0.02, -0.03)
    norms, text = recommended({"bn": BN, "gn": shifted(0.3), "ln": shifted(0.2, some)})
    assert norms in ((), ("gn",))
    assert " are ahead" not in text


def test_of_several_batch_sizes_it_is_said_which():
    analysis = make_analysis(seeds=4, batch_sizes=(512, 64))
    assert str(analysis.recommendation).endswith(", at batch size 512.")


def test_collapses_are_said_and_no_lead_in_points_is():
    def lost(results):
        where = [("gn", seed) for seed in range(12)] + [("bn", 3)]
        return [collapsed(r) if (r.trial.norm, r.trial.seed) in where else r for r in results]

    analysis = make_analysis(seeds=12, norms=("bn", "gn"), change=lost)
    text = str(analysis.recommendation)
    assert text.startswith("Use bn: 7")
    assert text.endswith("over 11 seeds, ahead of gn; but it collapsed in 1 of 12 seeds.")


def test_where_no_norm_learned_none_is_recommended():
    chance = {"bn": [10.0, 10.1, 9.9, 10.0], "gn": [10.6, 10.7, 10.5, 10.6]}
    norms, text = recommended(chance)
    assert norms == ()
    assert text == "No recommendation: no norm has learned more than guessing."


def test_one_norm_alone_is_not_recommended():
    _, text = recommended({"bn": BN})
    assert text == "No recommendation: there is no other norm to compare bn with."


def test_a_short_training_is_said():
    analysis = make_analysis(seeds=4, epochs=2)
    text = str(analysis.recommendation)
    assert "after 196 of the recipe's 1,470 steps, which says nothing of full training" in text


def test_full_names_are_used_where_they_are_known():
    finals = {"bn": BN, "gn": shifted(-1.5), "ln": shifted(-1.2)}
    text = str(recommendation_of(replace(with_finals(finals), titles=TITLES)))
    ahead = "ahead of LayerNorm (over C, H, W) and GroupNorm (4 groups), by 1.2 to 1.5 points."
    assert text == f"Use BatchNorm: 75.2 % over 4 seeds, {ahead}"
