"""A budget of time: what it has room for before anything starts, and where it ends."""

import re

import pytest
from report_fakes import (
    make_experiment,
    make_facts,
    make_labels,
    make_model,
    make_results,
    right_in,
)

from normscope.analysis.verdicts import is_sequential
from normscope.cli.options import seconds
from normscope.errors import UsageError
from normscope.experiment import RULES, Design, Request
from normscope.experiment.reading import read_experiment
from normscope.observers import Observer
from normscope.store import Store
from normscope.study import budget
from normscope.study.checks import check
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.forecast import forecast
from normscope.study.rounds import Budget, rounds
from normscope.study.stored import results_stored
from normscope.training.estimate import Cost

UNTIL = Design(until_decided=True, max_seeds=20)
SECONDS, WORKERS = 30.0, 2  # of a trial, and how many at once


def small(**changes):
    values = {"epochs": 1, "train_limit": 128, "test_limit": 100, "norms": ["bn", "gn"]}
    return read_experiment(**{**values, **changes})


@pytest.fixture
def timed(monkeypatch):
    """Trials that take so many seconds for every epoch, and how often one was timed."""
    asked = []

    def estimate(trial, size, device, threads):
        asked.append(trial.norm)
        return Cost(SECONDS * trial.recipe.epochs * size.train_images / 128, 1000)

    monkeypatch.setattr("normscope.study.forecast.estimate_trial", estimate)
    return asked


def fitted(experiment, folder, budget_s, design=None):
    asked = check(experiment, out=folder, workers=WORKERS, design=design, budget_s=budget_s)
    return budget.fitted(asked)


# -- before anything starts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget_s", "seeds"), [(150.0, 5), (179.0, 5), (180.0, 6), (600.0, 20), (1e6, 30)]
)
def test_a_fixed_design_gets_the_seeds_that_fit(tmp_path, timed, budget_s, seeds):
    """Two norms, 30 s for each trial and two at once: half a minute for a seed."""
    found, foreseen = fitted(small(), tmp_path / "e", budget_s)
    assert found.seeds_by_time
    assert (found.asked.seeds, found.experiment.seeds) == (seeds, seeds)
    assert len(foreseen.todo) == 2 * seeds
    assert foreseen.seconds == 30.0 * seeds <= budget_s
    assert f"has room for {seeds} seeds of each norm" in foreseen.notices[-1]
    assert sorted(timed) == ["bn", "gn"]  # once each


def test_max_seeds_are_the_most(tmp_path, timed):
    assert fitted(small(), tmp_path / "e", 1e6, Design(max_seeds=8))[0].asked.seeds == 8
    found, foreseen = fitted(small(), tmp_path / "e", 1e6, Design(max_seeds=2))
    assert (found.seeds_by_time, len(foreseen.todo)) == (False, 4)  # fewer than the usual ones


@pytest.mark.parametrize(
    ("changes", "design"), [({"seeds": 3}, None), ({"folds": 4, "train_limit": None,
                                                    "test_limit": None}, None), ({}, UNTIL),
                          ({"protocol": "tuned"}, None)]
)  # fmt: skip
def test_what_fixes_its_seeds_or_looks_keeps_them(tmp_path, timed, changes, design):
    found, foreseen = fitted(small(**changes), tmp_path / "e", 1e9, design)
    assert not found.seeds_by_time
    assert re.search("has room for|includes the search", foreseen.notices[-1])


def test_a_folder_that_is_there_keeps_its_seeds(tmp_path, timed):
    """More would be a look; fewer than the usual ones, too."""
    first = small(seeds=[4, 9])
    request = Request(date="", command="", norms=first.norms, seeds=2, rules=RULES)
    store = Store.create(tmp_path, first, request)
    store.describe(make_facts(), make_labels(100), [make_model("bn"), make_model("gn")])
    found, foreseen = fitted(small(), tmp_path, 1e6)
    assert not found.seeds_by_time
    assert (found.asked.seed_numbers, found.experiment.seed_numbers) == ((4, 9), (4, 9))
    assert foreseen.notices[-1].endswith("has room for what is to be trained: about 60 s.")
    with_more, _ = fitted(small(seeds=[4, 9, 11]), tmp_path, 1e6)
    assert with_more.experiment.seed_numbers == (4, 9, 11)


def test_until_decided_it_says_for_how_many_seeds_there_is_room(tmp_path, timed):
    _, foreseen = fitted(small(), tmp_path / "e", 300.0, UNTIL)
    assert foreseen.notices[-1] == "The budget of 5 min has room for about 10 seeds."
    _, foreseen = fitted(small(), tmp_path / "e", 3000.0, UNTIL)
    assert foreseen.notices[-1].endswith("has room for about 100 seeds, of 20 at most.")


def test_without_a_budget_nothing_changes(tmp_path, timed):
    asked = check(small(), out=tmp_path / "e", workers=WORKERS)
    found, foreseen = budget.fitted(asked)
    assert found is asked
    assert foreseen == forecast(asked)


def test_what_does_not_fit_is_refused_with_what_would(tmp_path, timed):
    experiment = small(epochs=12, train_limit=4096, test_limit=100)
    with pytest.raises(UsageError) as refused:
        fitted(experiment, tmp_path / "e", 18_000.0)
    words = str(refused.value)
    assert "too short for 10 trials (5 seeds of each norm), which take about 16 h" in words
    assert not (tmp_path / "e").exists()
    ways = re.findall(r"--epochs \d+(?: --train-limit \d+)?", words)
    assert len(ways) == 2
    for way in ways:
        numbers = [int(each) for each in re.findall(r"\d+", way)]
        changes = dict(zip(("epochs", "train_limit"), numbers, strict=False))
        changed = small(**{"epochs": 12, "train_limit": 4096, "test_limit": 100, **changes})
        _, foreseen = fitted(changed, tmp_path / "e", 18_000.0)
        assert foreseen.seconds > 9_000.0  # not much shorter than it need be
    longer = seconds(re.search(r"--budget (\w+)", words)[1])
    assert fitted(experiment, tmp_path / "e", longer)


def test_far_too_little_time_proposes_no_training_that_shows_nothing(tmp_path, timed):
    with pytest.raises(UsageError, match=r"what would fit: --budget 3m$"):
        fitted(small(), tmp_path / "e", 1.0)
    with pytest.raises(UsageError, match=r"fit: leave out --until-decided, or --budget 4m$"):
        fitted(small(), tmp_path / "e", 1.0, UNTIL)


@pytest.mark.parametrize("span", [0.0, -5.0, float("nan"), float("inf")])
def test_a_budget_that_is_no_time(tmp_path, span):
    with pytest.raises(UsageError, match="is no time"):
        check(small(), out=tmp_path / "e", budget_s=span)


# -- while it runs ---------------------------------------------------------------------------------


def opened(folder, seeds=3):
    experiment = make_experiment(norms=("bn", "gn"), seeds=seeds, epochs=2)
    request = Request(date="", command="", norms=("bn", "gn"), seeds=seeds, results_before=0,
                      rules=RULES)  # fmt: skip
    store = Store.create(folder, experiment, request)
    labels = make_labels(2000)
    store.describe(make_facts(test_size=2000), labels, [make_model("bn"), make_model("gn")])
    return store


def played(store, monkeypatch, budget_s, seeds_by_time=True, alone=lambda: True):
    """Run the rounds; each trial takes 10 s. The trials of each round, the endings, the time."""
    now, asked, endings = 0.0, [], []
    monkeypatch.setattr("normscope.study.rounds.time.monotonic", lambda: now)
    observer = Observer()
    observer.sequence_ended = endings.append
    for todo in rounds(store, Design(), budget_s, WORKERS, observer, alone, seeds_by_time):
        asked.append(len(todo))
        now += 10.0 * len(todo)
        labels = make_labels(2000)
        by_trial = {r.trial.id: r for r in make_results(store.experiment, labels)}
        for trial in todo:
            store.add(right_in(by_trial[trial.id], labels, 70.0 + trial.seed % 3))
    return asked, endings, now


def test_what_fits_is_trained_and_the_design_is_fixed(tmp_path, monkeypatch):
    store = opened(tmp_path, seeds=12)
    asked, endings, passed = played(store, monkeypatch, 400.0)
    assert sum(asked) == 24
    assert (store.experiment.seeds, Store(tmp_path).experiment.seeds) == (12, 12)
    assert [request.seeds for request in Store(tmp_path).requests] == [12]
    assert not is_sequential(Store(tmp_path).requests)
    assert (endings, passed) == ([], 240.0)


def test_a_machine_slower_than_foreseen_has_fewer_seeds_in_time(tmp_path, monkeypatch):
    store = opened(tmp_path, seeds=30)
    asked, endings, passed = played(store, monkeypatch, 200.0)
    kept = Store(tmp_path)
    assert (store.experiment.seeds, kept.experiment.seeds) == (10, 10)
    assert [request.seeds for request in kept.requests] == [10]
    assert len(results_stored(kept)) == 20
    assert passed == 200.0
    assert endings == [
        "Stopped after 10 seeds: what is left of the budget of time is too short to go on."
    ]
    assert asked[0] == 2
    assert max(asked) == 8  # half of what fits, so that workers start less often
    analysis = Comparison.read(tmp_path).analysis
    assert not analysis.rules.sequential
    assert all(verdict.unfinished == 0 for verdict in analysis.verdicts)
    later = kept.requests[-1].model_copy(update={"seeds": 12, "results_before": 20})
    assert is_sequential([*kept.requests, later])  # more of them would be after a look


def test_seeds_that_were_named_are_still_wanted_when_time_is_over(tmp_path, monkeypatch):
    store = opened(tmp_path, seeds=30)
    played(store, monkeypatch, 200.0, seeds_by_time=False)
    assert Store(tmp_path).experiment.seeds == 30
    assert all(verdict.unfinished for verdict in Comparison.read(tmp_path).analysis.verdicts)


def test_beside_another_process_the_plan_stays(tmp_path, monkeypatch):
    store = opened(tmp_path, seeds=30)
    played(store, monkeypatch, 200.0, alone=lambda: False)
    assert Store(tmp_path).experiment.seeds == 30


def test_a_plan_is_not_cut_where_somebody_asked_for_more_or_results_would_be_lost(tmp_path):
    store = opened(tmp_path / "asked", seeds=5)
    other = Store(tmp_path / "asked")
    other.ask(other.experiment, other.requests[-1].model_copy(update={"command": "another"}))
    assert not store.plan_fewer(3)
    assert Store(tmp_path / "asked").experiment.seeds == 5
    store = opened(tmp_path / "stored", seeds=5)
    store.add(make_results(store.experiment, make_labels(2000))[-1])
    assert not store.plan_fewer(3)
    assert Store(tmp_path / "stored").experiment.seeds == 5


def test_blocks_that_begin_at_once():
    limited = Budget(100.0)
    assert limited.blocks(2, 2) == 2  # nothing is known yet
    limited.seconds_per_trial = 1.0
    assert limited.blocks(10, 2) in (4, 5)
    assert limited.blocks(1, 2) == 10  # of 20 at most
    assert limited.blocks(60, 3) == 3


def test_compare_fits_its_seeds_and_leaves_a_fixed_design(tmp_path):
    """Really trained, in more time than any machine takes for so few steps."""
    comparison = compare(
        small(train_limit=64, test_limit=50), out=tmp_path / "e", workers=1,
        observer=Observer(), design=Design(max_seeds=6), budget_s=3600.0,
    )  # fmt: skip
    assert comparison.analysis.experiment.seeds == 6
    assert [norm.finished for norm in comparison.analysis.norms] == [6, 6]
    assert not comparison.analysis.rules.sequential
    again = compare(
        small(train_limit=64, test_limit=50), out=tmp_path / "e", workers=1,
        observer=Observer(), budget_s=3600.0,
    )  # fmt: skip
    assert again.analysis.experiment.seeds == 6  # more would be a look
    assert not again.analysis.rules.sequential
