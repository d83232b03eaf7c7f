"""How trials are put into fleets."""

from executor_work import TRIALS

from normscope.executors.fleets import fleets


def test_a_fleet_holds_what_differs_only_in_the_seed():
    bn, gn = ([trial for trial in TRIALS if trial.norm == norm] for norm in ("bn", "gn"))
    assert fleets(TRIALS, size=9) == [bn, gn]


def test_a_fleet_is_no_larger_than_it_may_and_those_of_the_first_seeds_come_first():
    grouped = fleets(TRIALS, size=2)
    assert [[(trial.norm, trial.seed) for trial in fleet] for fleet in grouped] == [
        [("bn", 0), ("bn", 1)],
        [("gn", 0), ("gn", 1)],
        [("bn", 2)],
        [("gn", 2)],
    ]


def test_fleets_of_one_keep_the_order():
    assert fleets(TRIALS, size=1) == [[trial] for trial in TRIALS]


def test_no_trials_no_fleets():
    assert fleets([], size=3) == []
