"""How many seeds to plan for."""

from pathlib import Path

import pytest
from report_fakes import make_experiment, make_labels, make_results
from statsmodels.stats.power import TTestPower

from normscope.errors import UsageError
from normscope.experiment import Design
from normscope.study.power import pace, pilot_in, plan_seeds

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_fixed_seeds_are_those_of_a_t_test_at_holms_first_step():
    planned = plan_seeds(0.5, 0.3, 5)
    for power, seeds in planned.fixed.items():
        for n, enough in ((seeds, True), (seeds - 1, False)):
            found = TTestPower().power(0.5 / 0.3, n, 0.05 / 4)
            assert bool(found >= power) is enough


def test_looking_after_every_seed_costs_seeds_and_more_comparisons_do_too():
    three, five = plan_seeds(0.5, 0.4, 3), plan_seeds(0.5, 0.4, 5)
    for power in three.fixed:
        assert three.fixed[power] < three.sequential[power] < five.sequential[power]
        assert three.fixed_equivalent[power] < three.sequential_equivalent[power]
    assert plan_seeds(0.5, 0.4, 3, 2).sequential == five.sequential  # four comparisons as well
    assert plan_seeds(0.5, 0.4, 3, 2).trials_per_seed == 6


def test_a_wider_margin_finds_equal_norms_sooner_and_none_does_never():
    wide, usual = (plan_seeds(0.5, 0.4, 3, design=Design(margin_points=m)) for m in (1.0, 0.5))
    assert wide.sequential_equivalent[0.5] < usual.sequential_equivalent[0.5]
    assert wide.sequential == usual.sequential
    without = plan_seeds(0.5, 0.4, 3, design=Design(margin_points=0.0))
    assert {*without.fixed_equivalent.values(), *without.sequential_equivalent.values()} == {None}


def test_what_takes_too_many_seeds_is_none():
    planned = plan_seeds(0.01, 1.0, 2)
    assert set(planned.fixed.values()) == set(planned.sequential.values()) == {None}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.0, 0.3, 2), "difference must be above 0"),
        ((0.5, -1, 2), "sd must be above 0"),
        ((float("nan"), 1, 2), "difference must be above 0"),
        ((0.5, 0.3, 1), "two norms or more"),
        ((0.5, 0.3, 2, 0), "one batch size or more, not 0"),
        ((0.5, 0.3, 2, 1, Design(max_seeds=5)), "nothing is decided before 6 seeds"),
        ((0.5, 0.3, 2, 1, Design(max_seeds=1001)), "nothing is planned beyond 1,000"),
    ],
)
def test_values_that_make_no_plan(values, words):
    with pytest.raises(UsageError, match=words):
        plan_seeds(*values)


# -- what a folder says ----------------------------------------------------------------------------


def ran(started, seconds):
    experiment = make_experiment(norms=("bn",), seeds=1)
    result = make_results(experiment, make_labels(100))[0]
    return result.model_copy(update={"started": started, "seconds": seconds})


def test_the_pace_counts_what_ran_beside_each_other_once():
    at = "2026-01-01T00:00:{:02d}+00:00".format
    assert pace([]) is None
    assert pace([ran(at(0), 10.0), ran(at(10), 20.0)]) == 15.0
    assert pace([ran(at(0), 10.0), ran(at(0), 10.0)]) == 5.0
    assert pace([ran(at(0), 30.0), ran(at(10), 5.0), ran(at(20), 20.0)]) == pytest.approx(40 / 3)
    assert pace([ran(at(50), 2.0), ran(at(0), 2.0)]) == 2.0  # nothing ran between them


def test_a_folder_with_several_batch_sizes_counts_them_all():
    known = pilot_in(RESULTS / "cifar10-s8-s8-batchsizes")
    assert "gn at 8 " in known.words
    assert known.norms == len(known.experiment.norms)


def test_regrouped_norms_are_not_among_those_that_one_chooses_between():
    known = pilot_in(RESULTS / "cifar10-s8-channels")
    assert known.norms < len(known.experiment.norms)
    assert "order=" not in known.words
