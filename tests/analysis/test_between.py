"""Verdicts between two experiments: against scipy, by hand, and how often they are wrong."""

import numpy as np
import pytest
from between_fakes import asked, epoch, make_both, make_side
from report_fakes import MACHINE, make_experiment, make_facts
from scipy import stats

from normscope.analysis.between import between
from normscope.analysis.sides import Both, identical
from normscope.experiment import RECIPES, Design

A = {"bn": [75.1, 75.9, 75.4, 76.0, 75.6], "gn": [73.2, 74.8, 74.1, 74.0, 73.3],
     "ln": [74.0, 74.9, 75.2, 73.8, 74.4]}  # fmt: skip
B = {"bn": [78.0, 78.9, 78.1, 79.2, 78.6], "gn": [74.0, 75.1, 75.3, 74.6, 74.9],
     "ln": [74.3, 74.8, 75.0, 74.2, 74.5]}  # fmt: skip


def judged(both, alpha=0.05, margin=0.5):
    return between(both, alpha, margin)


def by_norm(family):
    return {compared.asked.norm: compared for compared in family}


def holm(p_values):
    """By hand: the smallest times the number, and so on, never falling."""
    order = np.argsort(p_values)
    adjusted, highest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


# -- against scipy ---------------------------------------------------------------------------------


def test_each_norm_is_compared_with_itself_as_scipy_has_it():
    found = by_norm(judged(make_both(A, B)).compared)
    tests = {norm: stats.ttest_rel(B[norm], A[norm]) for norm in A}
    expected = dict(zip(A, holm([test.pvalue for test in tests.values()]), strict=True))
    for norm, compared in found.items():
        verdict = compared.verdict
        assert verdict.judgement.p_value == pytest.approx(expected[norm], rel=1e-9)
        assert verdict.judgement.family == 3
        ends = tests[norm].confidence_interval(1 - 0.05 / 3)
        assert verdict.judgement.simultaneous == pytest.approx([*ends], abs=1e-8)
        assert verdict.difference.mean == pytest.approx(np.mean(B[norm]) - np.mean(A[norm]))
        assert (compared.a.mean, compared.b.mean) == pytest.approx(
            (np.mean(A[norm]), np.mean(B[norm]))
        )
        assert compared.b.sd == pytest.approx(np.std(B[norm], ddof=1))
    assert [compared.outcome for compared in found.values()] == ["better", "better", "equivalent"]


def test_p_values_are_corrected_for_the_family():
    """One norm alone is decided that is not among three."""
    b = {**A, "gn": [v + d for v, d in zip(A["gn"], [0.4, 1.5, 0.9, 0.2, 1.4], strict=True)]}
    raw = stats.ttest_rel(b["gn"], A["gn"]).pvalue
    assert 0.05 / 3 < raw < 0.05
    alone = judged(make_both({"gn": A["gn"]}, {"gn": b["gn"]}))
    b |= {norm: [v + d for v, d in zip(A[norm], [2, -2, 1, -2, 2], strict=True)]
          for norm in ("bn", "ln")}  # fmt: skip
    assert by_norm(alone.compared)["gn"].outcome == "better"
    assert by_norm(judged(make_both(A, b)).compared)["gn"].outcome == "undecided"


def test_the_gaps_to_the_baseline_are_a_family_of_their_own():
    found = judged(make_both(A, B))
    gaps = by_norm(found.gaps)
    assert [*gaps] == ["gn", "ln"]
    of_a, of_b = ({n: np.subtract(side[n], side["bn"]) for n in gaps} for side in (A, B))
    tests = [stats.ttest_rel(of_b[norm], of_a[norm]) for norm in gaps]
    expected = holm([test.pvalue for test in tests])
    for norm, p in zip(gaps, expected, strict=True):
        verdict = gaps[norm].verdict
        assert verdict.judgement.p_value == pytest.approx(p, rel=1e-6)
        assert verdict.judgement.family == 2
        assert gaps[norm].a.mean == pytest.approx(of_a[norm].mean())
        assert gaps[norm].b.mean == pytest.approx(of_b[norm].mean())
    assert [each.outcome for each in gaps.values()] == ["worse", "worse"]
    assert "In this family of 3 comparisons" in found.method
    assert "The gaps to bn are a family of their own, of 2 comparisons" in found.method
    sentence = str(found.answers[3])
    assert sentence.startswith("gn loses 2.06 points against bn in B (95 % interval ")
    assert sentence.endswith("Its gap is −3.78 points there, −1.72 in A.")


def test_a_gap_that_shrinks_is_a_gain():
    gn = by_norm(judged(make_both(B, A)).gaps)["gn"]
    assert gn.outcome == "better"
    assert str(judged(make_both(B, A)).answers[3]).startswith("gn gains 2.06 points on bn in B")


def test_accuracies_may_change_while_the_gap_stays():
    shifted = {norm: [v + 3 + s / 50 for s, v in enumerate(A[norm])] for norm in A}
    shifted["gn"] = [v + d for v, d in zip(shifted["gn"], [0.1, -0.1, 0, 0.1, 0], strict=True)]
    shifted["ln"] = [v + d for v, d in zip(shifted["ln"], [0, 0.1, 0, -0.1, 0], strict=True)]
    found = judged(make_both(A, shifted))
    assert {each.outcome for each in found.compared} == {"better"}
    assert {each.outcome for each in found.gaps} == {"equivalent"}
    assert "The gap of gn to bn is equivalent in B: it changes by +0.02 points (90 %" in str(
        found.answers[3]
    )


def test_false_claims_are_as_rare_as_promised(monkeypatch):
    """Six hundred pairs of experiments that differ by chance alone: at most 5 % say otherwise."""
    monkeypatch.setattr("normscope.analysis.verdicts.seeds_to_decide", lambda *_: None)  # slow
    rng, norms, seeds, rounds = np.random.default_rng(11), ("bn", "gn", "ln", "in"), 5, 600
    wrong = np.zeros(2)
    for _ in range(rounds):
        of_seed = rng.normal(75, 0.3, seeds)
        a, b = (
            {norm: (of_seed + rng.normal(0, 0.4, seeds)).tolist() for norm in norms}
            for _ in range(2)
        )
        found = judged(make_both(a, b))
        for place, family in enumerate((found.compared, found.gaps)):
            wrong[place] += any(each.outcome in ("better", "worse") for each in family)
    error = 2 * np.sqrt(0.05 * 0.95 / rounds)
    assert (wrong / rounds < 0.05 + error).all()
    assert wrong[0] / rounds > 0.05 - error  # four independent comparisons use all they may


# -- which trials are a pair -----------------------------------------------------------------------


def test_trials_are_paired_by_seed_and_not_by_place():
    experiment = make_experiment(("bn", "gn"), 5).model_copy(update={"own_seeds": (4, 2, 9, 0, 1)})
    b = {"bn": [1.6, 1.4, 50.0, 1.1, 1.9], "gn": [3.3, 4.1, 50.0, 3.2, 4.8]}
    b = {norm: [70 + value for value in values] for norm, values in b.items()}
    a = {"bn": [70.0] * 5, "gn": [70.0] * 5}
    found = judged(make_both(a, b, experiment=experiment))
    bn, gn = found.compared
    assert bn.verdict.judgement.pairs.seeds == (0, 1, 2, 4)
    assert bn.verdict.judgement.pairs.differences == pytest.approx((1.1, 1.9, 1.4, 1.6))
    assert gn.verdict.judgement.pairs.differences == pytest.approx((3.2, 4.8, 4.1, 3.3))
    assert found.caveats[-2:] == (
        "Left out, as only A has it: seed 3.",
        "Left out, as only B has it: seed 9.",
    )


def test_what_only_one_has_is_left_out_and_named():
    b = {"bn": [75.0] * 9, "in": [70.0] * 9, "gn": [74.0, 74.5] + [73.0] * 7}
    found = judged(make_both(A, b))
    assert [each.asked.norm for each in found.compared] == ["bn", "gn"]
    assert found.caveats == (
        "Left out, as only A has it: ln.",
        "Left out, as only B has it: in, seeds 5 to 8.",
    )


def test_without_the_same_baseline_no_gaps_are_compared():
    found = judged(make_both(A, {norm: B[norm] for norm in ("gn", "bn", "ln")}))
    assert len(found.compared) == 3
    assert found.gaps == ()
    assert "gaps" not in found.method


def with_sizes(values, sizes):
    return {(n, size): [v - size / 64 for v in own] for n, own in values.items() for size in sizes}


def test_batch_sizes_that_both_have_are_one_family():
    experiments = [make_experiment([*A], 5, batch_sizes=sizes) for sizes in ((32, 64), (64, 128))]
    a, b = (with_sizes(*each) for each in ((A, (32, 64)), (B, (64, 128))))
    found = judged(Both(make_side(a, experiments[0]), make_side(b, experiments[1])))
    assert {each.asked.sizes for each in found.compared} == {(64, 64)}
    assert "Left out, as only A has it: batch size 32." in found.caveats
    assert "Left out, as only B has it: batch size 128." in found.caveats
    found = judged(Both(make_side(a, experiments[0]), make_side(a, experiments[0], loss=0.6)))
    assert [each.asked.sizes for each in found.compared] == [(32, 32)] * 3 + [(64, 64)] * 3
    assert {each.verdict.judgement.family for each in found.compared} == {6}
    assert "bn in B against bn in A at batch size 64 is undecided" in str(found.answers[3])


def test_where_each_has_one_batch_size_they_may_differ_in_it():
    recipe = RECIPES["s8"].with_batch_size(128)
    other = make_experiment([*A], 5, batch_sizes=(128,)).model_copy(update={"recipe": recipe})
    found = judged(make_both(A, B, experiment=other))
    assert [each.asked.sizes for each in found.compared] == [(512, 128)] * 3
    assert [(each.what, each.a, each.b) for each in found.differing] == [
        ("batch_size", "512", "128"),
        ("max_lr", "0.02", "0.005"),
    ]


# -- trials without a number -----------------------------------------------------------------------


def test_of_trials_that_diverged_only_the_signs_count():
    a = {"bn": [75.0 + s for s in range(8)], "gn": [74.0 + s for s in range(8)]}
    b = {"bn": a["bn"], "gn": ["diverged", *([60.0] * 6), "collapsed"]}
    found = judged(make_both(a, b))
    gn = by_norm(found.compared)["gn"]
    assert gn.verdict.judgement.pairs.ordinal
    assert gn.verdict.judgement.p_value == pytest.approx(2 * 2 / 2**8)  # of two comparisons
    assert (gn.outcome, gn.b.n, gn.a.n) == ("worse", 6, 8)
    assert (
        "gn in B is worse than gn in A: ahead in 0 and behind in 8 of 8 seeds; gn in B diverged in "
        "1 and collapsed in 1 of 8 seeds, which counts as guessing; sign-flip test, p 0.016."
    ) in map(str, found.answers)
    assert str(found.answers[2]) == (
        "gn loses against bn in B: the gap is higher there in 0 and lower in 8 of 8 seeds; trials "
        "diverged or collapsed, which counts as guessing; sign-flip test, p 0.0078."
    )


def test_a_failed_trial_leaves_a_fixed_design_undecided():
    b = {**B, "bn": [*B["bn"][:4], "failed"], "gn": [*B["gn"][:3], None, None]}
    found = judged(make_both(A, b))
    assert [each.outcome for each in found.compared] == ["undecided", "undecided", "equivalent"]
    assert {each.outcome for each in found.gaps} == {"undecided"}
    assert [(each.verdict.difference.n, each.planned) for each in found.compared] == [
        (4, 5), (3, 5), (5, 5),
    ]  # fmt: skip
    assert "2 of their trials have not finished. Where both finished, the mean" in str(
        found.answers[1]
    )
    assert found.caveats == (
        "3 trials of the seeds that both plan did not finish or have not been run (bn, gn). In a "
        "fixed design that leaves their comparisons undecided, because the trials that are missing "
        "may be those that went worst.",
    )


# -- looks -----------------------------------------------------------------------------------------

UNTIL = Design(until_decided=True)


@pytest.mark.parametrize(
    ("of_a", "of_b", "looked"),
    [
        ([(5, 0)], [(5, 0)], False),
        ([(3, 0), (5, 9)], [(5, 0)], True),
        ([(5, 0)], [(3, 0), (5, 9)], True),
        ([(5, None)], [(5, 0)], False),  # the first time there is nothing to look at
        ([(3, None), (5, None)], [(5, 0)], True),  # nobody knows
        ([(3, 0), (5, 0)], [(5, 0)], False),  # more were asked for before there was a result
        ([(3, 0), (4, 0), (5, 6)], [(5, 0)], True),
    ],
)
def test_seeds_that_were_added_after_a_look_make_the_rules_sequential(of_a, of_b, looked):
    experiment = make_experiment([*A], 5)
    sides = [
        make_side(values, experiment, [asked(experiment, *each) for each in requests], loss=loss)
        for values, requests, loss in ((A, of_a, 0.5), (B, of_b, 0.6))
    ]
    found = judged(Both(*sides))
    assert found.rules.sequential == looked
    assert found.method.startswith("Sequential design" if looked else "Fixed design, n = 5")
    assert any("before there are 6" in caveat for caveat in found.caveats) == looked


def test_seeds_that_are_shared_decide_it_and_not_those_that_came_later():
    """The first three were asked for in both when there was nothing to look at."""
    experiment = make_experiment([*A], 5)
    requests = [asked(experiment, 3), asked(experiment, 5, 9, UNTIL)]
    three = {norm: values[:3] for norm, values in B.items()}
    found = judged(Both(make_side(A, experiment, requests), make_side(three, loss=0.6)))
    assert not found.rules.sequential
    assert "Left out, as only A has it: seeds 3, 4." in found.caveats


def test_of_looks_the_newest_rules_hold_and_seeds_that_one_dropped_lack_nothing():
    rng = np.random.default_rng(2)
    a = {"bn": rng.normal(75, 0.2, 12).tolist(), "gn": [*rng.normal(74, 0.2, 7), *[None] * 5]}
    b = {"bn": rng.normal(77, 0.2, 12).tolist(), "gn": rng.normal(76, 0.2, 12).tolist()}
    experiment = make_experiment(("bn", "gn"), 12)
    requests = [asked(experiment, 6, 0, UNTIL, rules=1)]
    found = judged(Both(make_side(a, experiment, requests), make_side(b, loss=0.6)))
    assert (found.rules.sequential, found.rules.version) == (True, 2)
    bn, gn = found.compared
    assert (bn.verdict.difference.n, gn.verdict.difference.n) == (12, 7)
    assert (bn.outcome, gn.outcome, gn.verdict.unfinished) == ("better", "better", 0)
    differences = np.subtract(b["gn"][:7], a["gn"][:7])
    half_width = 4.1025 * differences.std(ddof=1) / np.sqrt(7)  # b(7) at 5 %: docs/statistics.md
    last = gn.verdict.difference
    assert last.mean == pytest.approx(differences.mean())
    assert last.low >= differences.mean() - half_width - 1e-3  # earlier looks may have narrowed it
    assert found.caveats[-1] == "Left out, as only B has it: seeds 7 to 11 of gn."


def test_folds_widen_the_interval_and_are_never_sequential():
    experiment = make_experiment([*A], 5).model_copy(update={"folds": 5})
    requests = [asked(experiment, 3), asked(experiment, 5, 9)]
    found = judged(Both(*(make_side(v, experiment, requests, loss=v["bn"][0]) for v in (A, B))))
    assert not found.rules.sequential
    assert found.rules.overlap == 1 / 4
    differences = np.subtract(B["bn"], A["bn"])
    half = stats.t.ppf(1 - 0.05 / 6, 4) * differences.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    low, high = by_norm(found.compared)["bn"].verdict.judgement.simultaneous
    assert (high - low) / 2 == pytest.approx(half)
    assert "widened for what the training sets of 5 folds share" in found.method


@pytest.mark.parametrize(("seeds", "words"), [(1, "One seed in common: no"), (2, "Two seeds in")])
def test_few_seeds_are_no_conclusion(seeds, words):
    a, b = ({norm: values[:seeds] for norm, values in side.items()} for side in (A, B))
    found = judged(make_both(a, b))
    assert found.caveats[0].startswith(words)
    if seeds == 1:
        assert str(found.answers[0]) == (
            "bn in B against bn in A: +2.90 points in one seed: no conclusion."
        )
        assert str(found.answers[3]) == (
            "The gap of gn to bn in B against A: −2.10 points in one seed: no conclusion."
        )
        assert found.method == ""
        assert not any(
            answer.decided for answer in found.answers if "conclusion" not in str(answer)
        )


# -- the same trials -------------------------------------------------------------------------------


def test_trials_that_left_the_same_are_identical_and_not_undecided():
    found = judged(Both(make_side(A), make_side(A)))
    assert (found.trials, found.repeated, found.identical) == (15, 15, 15)
    assert {each.outcome for each in (*found.compared, *found.gaps)} == {"identical"}
    assert found.method == ""  # nothing is tested
    assert found.sameness == (
        "Nothing that is recorded differs: the same trials twice. 15 of 15 trials that were asked "
        "for alike left the same losses and accuracies in every epoch, to the last bit."
    )
    assert str(found.answers[0]) == (
        "bn is identical in A and B: in each of 5 seeds the trials left the same losses and "
        "accuracies, to the last bit."
    )
    assert found.caveats == ()


def test_trials_that_should_have_left_the_same_and_did_not_are_told():
    other = {**A, "gn": [*A["gn"][:4], A["gn"][4] + 0.01]}
    found = judged(Both(make_side(A), make_side(other)))
    assert (found.repeated, found.identical) == (15, 14)
    assert found.sameness.endswith(
        "The others did not, so that something differs that is not recorded, such as the code of a "
        "development version."
    )
    assert [each.outcome for each in found.compared] == ["identical", "equivalent", "identical"]


def test_identical_is_to_the_last_bit_of_a_loss_whatever_the_time():
    (first, *_), (second, *_) = (
        [*make_side(A, loss=loss).results.values()] for loss in (0.5, np.nextafter(0.5, 1))
    )
    assert not identical(first, second)
    slower = first.model_copy(update={"history": (epoch(75.1),), "seconds": 9.0})
    assert identical(first, slower)
    assert not identical(*[first.model_copy(update={"status": "failed", "history": ()})] * 2)


# -- what differs ----------------------------------------------------------------------------------


def rows_of(found):
    return [(each.what, each.a, each.b) for each in found.differing]


def changed(**values):
    experiment = make_experiment([*A], 5)
    recipe = experiment.recipe.model_copy(update=values)
    return experiment.model_copy(update={"recipe": recipe})


def test_values_of_the_recipe_that_differ_are_named():
    found = judged(make_both(A, B, experiment=changed(max_lr=0.1, augmentation=("flip", "crop"))))
    assert rows_of(found) == [("max_lr", "0.02", "0.1"), ("augmentation", "none", "flip,crop")]
    assert found.caveats == (
        "They differ in several things (max_lr, augmentation), so that no single one of them can "
        "be called the cause of a difference.",
    )
    assert found.sameness == ""


def test_one_cause_needs_no_caveat_and_a_name_is_none():
    found = judged(make_both(A, B, experiment=changed(name="mine", epochs=3)))
    assert rows_of(found) == [("recipe", "s8", "mine"), ("epochs", "15", "3")]
    assert found.caveats == ()


def test_several_machines_of_one_experiment_are_told_together():
    def machine(trial):
        return MACHINE.model_copy(update={"threads": 1 + trial.seed % 2, "torch": "2.14.0"})

    found = judged(make_both(A, B, change=machine))
    assert rows_of(found) == [("torch", "2.13.0+cpu", "2.14.0"), ("threads", "2", "1, 2")]


def test_machines_that_trained_other_seeds_are_told():
    sides = [
        make_side(A, loss=shift,
                  change=lambda t, shift=shift: MACHINE.model_copy(
                      update={"threads": 1 + (t.seed + shift) % 2}))
        for shift in (0, 1)
    ]  # fmt: skip
    found = judged(Both(*sides))
    assert rows_of(found) == [("threads", "1, 2", "2, 1")]
    assert found.repeated == 15
    assert found.sameness.startswith("0 of 15 trials that were asked for alike")


def test_precision_says_what_computed_it():
    def computed(words):
        return lambda _: MACHINE.model_copy(update={"precision": words})

    bf16 = changed(precision="bf16")
    found = judged(make_both(A, B, experiment=bf16, change=computed("bfloat16")))
    assert rows_of(found) == [("precision", "fp32", "bf16")]
    found = judged(make_both(A, B, change=computed("float32, convolutions in TF32")))
    assert rows_of(found) == [("arithmetic", "float32", "float32, convolutions in TF32")]


def test_rates_that_were_tuned_are_told_by_norm():
    side = make_side(B, loss=0.6)
    tuned = make_experiment([*A], 5, protocol="tuned")
    rates = {"bn": 0.04, "gn": 0.02, "ln": 0.04}
    results = [
        r.model_copy(update={"trial": r.trial.model_copy(update={
            "recipe": r.trial.recipe.model_copy(update={"max_lr": rates[r.trial.norm]})})})
        for r in side.results.values()
    ]  # fmt: skip
    found = judged(Both(make_side(A), side.of(tuned, side.requests, side.facts, results)))
    assert rows_of(found) == [
        ("max_lr", "0.02", "0.04 (bn, ln), 0.02 (gn)"),
        ("protocol", "drop-in", "tuned"),
    ]
    assert found.caveats == ()


def test_other_training_images_are_told():
    other = make_facts().model_copy(
        update={"checksums": {"train_images": "ef" * 32, "test_images": "cd" * 32}}
    )
    found = judged(make_both(A, B, facts=other))
    assert rows_of(found) == [("training images", "50,000", "50,000, others")]
    limited = make_experiment([*A], 5, train_limit=1000)
    found = judged(make_both(A, B, facts=other, experiment=limited))
    assert rows_of(found) == [("train_limit", "none", "1000")]
