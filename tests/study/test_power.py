"""How many seeds to plan for."""

import pytest
from statsmodels.stats.power import TTestPower

from normscope.errors import UsageError
from normscope.study.power import plan_seeds


def test_fixed_seeds_are_those_of_a_t_test_at_holms_first_step():
    planned = plan_seeds(0.5, 0.3, 5, 0.05)
    for power, seeds in planned.fixed.items():
        for n, enough in ((seeds, True), (seeds - 1, False)):
            found = TTestPower().power(0.5 / 0.3, n, 0.05 / 4)
            assert bool(found >= power) is enough


def test_looking_after_every_seed_costs_seeds_and_more_norms_do_too():
    three, five = plan_seeds(0.5, 0.4, 3, 0.05), plan_seeds(0.5, 0.4, 5, 0.05)
    for power in three.fixed:
        assert three.fixed[power] < three.sequential[power] < five.sequential[power]


def test_what_takes_too_many_seeds_is_none():
    planned = plan_seeds(0.01, 1.0, 2, 0.05)
    assert set(planned.fixed.values()) == set(planned.sequential.values()) == {None}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.0, 0.3, 2, 0.05), "difference must be above 0"),
        ((0.5, -1, 2, 0.05), "sd must be above 0"),
        ((float("nan"), 1, 2, 0.05), "difference must be above 0"),
        ((0.5, 0.3, 1, 0.05), "two norms or more"),
        ((0.5, 0.3, 2, 0.7), "alpha must lie between"),
    ],
)
def test_values_that_make_no_plan(values, words):
    with pytest.raises(UsageError, match=words):
        plan_seeds(*values)
