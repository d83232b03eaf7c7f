"""Seeds added block by block until all is decided; before them the search for learning rates."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import chain, repeat

import pytest
from report_fakes import (
    collapsed,
    failed,
    make_experiment,
    make_facts,
    make_labels,
    make_model,
    make_results,
    right_in,
)

from normscope.errors import RunError
from normscope.experiment import RULES, Design, Request
from normscope.experiment.plan import plan
from normscope.experiment.reading import read_experiment
from normscope.experiment.tuning import SEEDS
from normscope.observers import Observer, PlainLines
from normscope.store import Store
from normscope.study.checks import check
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.doctor import examine
from normscope.study.forecast import forecast
from normscope.study.rounds import Watch, blocks_at_once, rounds, trials_per_seed
from normscope.study.status import status
from normscope.study.stored import results_stored, search_results

UNTIL = Design(until_decided=True, max_seeds=20)


class Watcher(PlainLines):
    """Remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.blocks, self.ending, self.trials, self.rounds = [], None, [], []
        self.notices = []

    def started(self, todo, stored, how):
        super().started(todo, stored, how)
        self.rounds.append((len(todo), stored))

    def trial_started(self, trial):
        self.trials.append(trial)

    def noticed(self, sentence):
        self.notices.append(sentence)

    def block_ended(self, seeds, verdicts):
        self.blocks.append((seeds, verdicts))

    def sequence_ended(self, sentence):
        self.ending = sentence


def made_up(experiment, gn_points, seed_points=0.05):
    """Results in which gn is that many points above bn, a little more or less by seed."""
    changed = []
    labels = make_labels(2000)  # one of which is the smallest difference that is asked for
    for r in make_results(experiment, labels):
        by = seed_points * (-1) ** r.trial.seed
        accuracy = 70.0 if r.trial.norm == "bn" else 70.0 + gn_points + by
        changed.append(right_in(r, labels, accuracy))
    return changed


def opened(folder, design=UNTIL, norms=("bn", "gn"), seeds=6, rules=RULES):
    experiment = make_experiment(norms=norms, seeds=seeds, epochs=2)
    request = Request(date="", command="", norms=norms, seeds=seeds, design=design,
                      results_before=0, rules=rules)  # fmt: skip
    store = Store.create(folder, experiment, request)
    store.describe(
        make_facts(test_size=2000), make_labels(2000), [make_model(norm) for norm in norms]
    )
    return store


def played(store, design, outcomes, workers=2, budget_s=None):
    """Run the rounds with made-up results; `outcomes` makes them from an experiment."""
    watcher, asked = Watcher(), []
    watch = Watch(store, design, watcher)
    for todo in rounds(store, design, budget_s, workers, watcher):
        asked.append(len(todo))
        by_trial = {r.trial.id: r for r in outcomes(store.experiment)}
        for trial in todo:
            store.add(by_trial[trial.id])
            watch.added(by_trial[trial.id])
    return watcher, asked


def test_it_stops_at_six_seeds_when_all_is_decided(tmp_path):
    watcher, asked = played(opened(tmp_path), UNTIL, lambda e: made_up(e, 2.0))
    assert asked == [12]
    assert watcher.ending == "Stopped after 6 seeds: every comparison is decided."
    assert [seeds for seeds, _ in watcher.blocks] == [1, 2, 3, 4, 5, 6]
    assert watcher.blocks[-1][1][0].endswith(" better")
    assert "undecided" in watcher.blocks[2][1][0]


def test_fewer_seeds_than_six_are_the_most_allowed_and_not_decided(tmp_path):
    """There is no look before the sixth, and so nothing to decide by."""
    few = Design(until_decided=True, max_seeds=5)
    watcher, asked = played(opened(tmp_path, seeds=5), few, lambda e: made_up(e, 2.0))
    assert asked == [10]
    assert "undecided" in watcher.blocks[-1][1][0]
    assert watcher.ending == "Stopped after 5 seeds: that is the most allowed (5)."


def test_it_goes_on_block_by_block_until_all_is_decided(tmp_path):
    store = opened(tmp_path)
    watcher, asked = played(store, UNTIL, lambda e: made_up(e, 0.5, seed_points=0.5))
    seeds = store.experiment.seeds
    assert 6 < seeds < 20
    assert asked == [12, *[2] * (seeds - 6)]
    assert watcher.ending == f"Stopped after {seeds} seeds: every comparison is decided."
    assert Store(tmp_path).experiment.seeds == seeds
    assert len(Store(tmp_path).requests) == 1


def test_it_stops_at_the_most_seeds_and_goes_on_when_more_are_allowed(tmp_path):
    few = Design(until_decided=True, max_seeds=8)
    store = opened(tmp_path)
    watcher, _ = played(store, few, lambda e: made_up(e, 0.5, seed_points=5.0))
    assert watcher.ending == "Stopped after 8 seeds: that is the most allowed (8)."
    more = Design(until_decided=True, max_seeds=9)
    watcher, asked = played(Store(tmp_path), more, lambda e: made_up(e, 0.5, seed_points=5.0))
    assert asked == [0, 2]
    assert [seeds for seeds, _ in watcher.blocks] == [9]


SHORT = "what is left of the budget of time is too short to go on"


@pytest.mark.parametrize(
    ("budget_s", "seeds"),
    [(0.0, 1), (20.0, 1), (39.9, 1), (40.0, 2), (125.0, 6), (141.0, 7), (1e9, 20)],
)
def test_a_budget_begins_no_seed_that_does_not_fit(tmp_path, monkeypatch, budget_s, seeds):
    """Two trials per seed at 10 s each; the first seed is run in any case."""
    now = 0.0
    monkeypatch.setattr("normscope.study.rounds.time.monotonic", lambda: now)
    store, watcher = opened(tmp_path), Watcher()
    for todo in rounds(store, UNTIL, budget_s, 2, watcher):
        now += 10.0 * len(todo)
        by_trial = {r.trial.id: r for r in made_up(store.experiment, 0.5, 5.0)}
        for trial in todo:
            store.add(by_trial[trial.id])
    reason = SHORT if seeds < 20 else "that is the most allowed (20)"
    plural = "" if seeds == 1 else "s"
    assert watcher.ending == f"Stopped after {seeds} seed{plural}: {reason}."
    assert len(results_stored(store)) == 2 * seeds
    assert store.experiment.seeds == max(6, seeds)
    analysis = Comparison.read(tmp_path).analysis
    assert [norm.finished for norm in analysis.norms] == [seeds, seeds]


def test_a_budget_goes_by_the_slowest_round(tmp_path, monkeypatch):
    """Trials take 5 s each, but 20 s in the second round, which brings it to six seeds."""
    now, took = 0.0, chain([5.0, 20.0], repeat(5.0))
    monkeypatch.setattr("normscope.study.rounds.time.monotonic", lambda: now)
    store, watcher = opened(tmp_path), Watcher()
    for todo in rounds(store, UNTIL, 300.0, 2, watcher):
        now += next(took) * len(todo)
        by_trial = {r.trial.id: r for r in made_up(store.experiment, 0.5, 5.0)}
        for trial in todo:
            store.add(by_trial[trial.id])
    assert now == 270.0
    assert watcher.ending == f"Stopped after 12 seeds: {SHORT}."


def test_it_stops_when_a_trial_failed(tmp_path):
    def broken(experiment):
        return [*made_up(experiment, 2.0)[:-1], failed(made_up(experiment, 2.0)[-1], "no memory")]

    watcher, _ = played(opened(tmp_path / "b"), UNTIL, broken)
    assert watcher.ending == "Stopped after 5 seeds: a trial failed."
    assert [seeds for seeds, _ in watcher.blocks] == [1, 2, 3, 4, 5]


def test_collapsed_trials_are_outcomes_that_decide_and_are_not_run_again(tmp_path):
    """If all signs agree, the evidence after n seeds is 2^n / (n + 1): 16 after 7, 28.4 after 8."""

    def guessing(experiment):
        return [collapsed(r) if r.trial.norm == "gn" else r for r in made_up(experiment, 2.0)]

    watcher, asked = played(opened(tmp_path), UNTIL, guessing)
    assert asked == [12, 2, 2]
    assert watcher.ending == "Stopped after 8 seeds: every comparison is decided."
    assert watcher.blocks[-1] == (8, ["gn: worse, by signs, since trials collapsed"])
    _, asked = played(Store(tmp_path), UNTIL, guessing)
    assert asked == [0]


def test_a_fixed_design_is_one_round_and_shows_no_verdict_on_the_way(tmp_path):
    watcher, asked = played(opened(tmp_path, Design()), Design(), lambda e: made_up(e, 2.0))
    assert (asked, watcher.blocks, watcher.ending) == ([12], [], None)


@pytest.mark.parametrize(
    ("norms", "workers", "blocks"), [(3, 2, 2), (2, 2, 1), (3, 3, 1), (4, 6, 3), (3, 16, 6)]
)
def test_blocks_are_added_so_that_no_worker_idles(tmp_path, norms, workers, blocks):
    store = opened(tmp_path, norms=tuple(f"n{i}" for i in range(norms)))
    assert blocks_at_once(trials_per_seed(store.experiment), workers) == blocks
    assert blocks * norms % workers == 0 or workers > 6


def test_seeds_that_were_planned_and_never_run_are_not_asked_for(tmp_path):
    store = opened(tmp_path, design=Design(), seeds=12)
    for result in made_up(store.experiment, 2.0)[:6]:  # three blocks of the twelve
        store.add(result)
    watcher, asked = played(Store(tmp_path), UNTIL, lambda e: made_up(e, 2.0))
    assert asked == [6]
    assert watcher.ending == "Stopped after 6 seeds: every comparison is decided."


def test_seeds_that_another_process_may_train_stay_planned(tmp_path):
    store = opened(tmp_path, seeds=8)
    for alone, seeds in ((False, 8), (True, 6)):
        next(rounds(store, UNTIL, None, 2, Observer(), lambda now=alone: now))
        assert Store(tmp_path).experiment.seeds == seeds
        assert store.experiment.seeds == seeds


def test_seeds_that_another_process_has_stored_meanwhile_stay_planned(tmp_path):
    store = opened(tmp_path, seeds=8)
    assert store.records() == []
    other = Store(tmp_path)
    for result in made_up(other.experiment, 2.0)[:16]:
        other.add(result)
    next(rounds(store, UNTIL, None, 2, Observer()), None)
    assert store.experiment.seeds == Store(tmp_path).experiment.seeds == 8


def test_more_seeds_than_the_most_allowed_may_be_stored(tmp_path):
    store = opened(tmp_path, design=Design(), seeds=9)
    for result in made_up(store.experiment, 0.5, 5.0):
        store.add(result)
    few = Design(until_decided=True, max_seeds=4)
    watcher, asked = played(Store(tmp_path), few, lambda e: made_up(e, 0.5, 5.0))
    assert asked == [0]
    assert "stored already, and no more than 4 were asked for" in watcher.ending


# -- on real trainings -----------------------------------------------------------------------------


def small(**changes):
    values = {"epochs": 1, "train_limit": 128, "test_limit": 100, "norms": ["bn", "gn"]}
    return read_experiment(**{**values, **changes})


def test_seeds_are_trained_until_the_most_allowed_and_continued(tmp_path, undrawn):
    design = Design(until_decided=True, max_seeds=2, margin_points=0.01)
    first = Watcher()
    compare(small(), out=tmp_path, workers=1, observer=first, design=design)
    assert [(t.norm, t.seed) for t in first.trials] == [("bn", 0), ("gn", 0), ("bn", 1), ("gn", 1)]
    more, second = design.model_copy(update={"max_seeds": 3}), Watcher()
    comparison = compare(small(), out=tmp_path, workers=1, observer=second, design=more)
    assert [(t.norm, t.seed) for t in second.trials] == [("bn", 2), ("gn", 2)]
    assert comparison.analysis.rules.sequential
    assert "Sequential design, seeds added until decided" in comparison.analysis.method
    assert [r.results_before for r in comparison.analysis.requests] == [0, 4]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder, watcher = tmp_path_factory.mktemp("tuned") / "e", Watcher()
    experiment = small(norms=["bn"], seeds=1, protocol="tuned")
    return compare(experiment, out=folder, workers=1, observer=watcher), watcher


def test_rates_are_searched_on_held_out_images_before_the_experiment(tuned):
    comparison, watcher = tuned
    *tuning, last = watcher.trials
    assert len(tuning) >= 10
    assert all(t.validation and t.seed in SEEDS for t in tuning)
    (search,) = comparison.analysis.searches
    assert (last.validation, last.seed, last.recipe.max_lr) == (False, 0, search.best)
    assert comparison.analysis.norms[0].finished == 1  # the search counts nowhere else
    remark = comparison.analysis.findings[0]
    assert remark.topic == "Tuning"
    assert remark.text.startswith("the learning rates chosen on held-")
    stored = {t.id for t in tuning}
    for trial in stored:
        assert {p.name for p in (comparison.folder / "trials" / trial).iterdir()} == {"record.json"}


def test_a_finished_search_is_not_repeated(tuned, tmp_path, undrawn):
    comparison, _ = tuned
    folder, watcher = shutil.copytree(comparison.folder, tmp_path / "e"), Watcher()
    again = small(norms=["bn"], seeds=2, protocol="tuned")
    compare(again, out=folder, workers=1, observer=watcher)
    assert [(t.validation, t.seed) for t in watcher.trials] == [(False, 1)]


def test_a_search_that_lost_a_record_goes_on_and_keeps_the_trials(tuned, tmp_path, undrawn):
    """What an error about a damaged record advises: remove its folder, run it again."""
    comparison, watcher = tuned
    folder, again = shutil.copytree(comparison.folder, tmp_path / "e"), Watcher()
    shutil.rmtree(folder / "trials" / watcher.trials[3].id)
    assert len(results_stored(Store(folder))) == 1
    compare(small(norms=["bn"], seeds=1, protocol="tuned"), out=folder, workers=1, observer=again)
    assert [t.id for t in again.trials] == [watcher.trials[3].id]
    # Counted, and given its threads, as one of the grid of five rates and two seeds.
    assert again.rounds == [(1, 9), (0, 1)]


def test_an_unfinished_search_is_among_the_caveats(tuned, tmp_path):
    comparison, watcher = tuned
    folder = shutil.copytree(comparison.folder, tmp_path / "e")
    shutil.rmtree(folder / "trials" / watcher.trials[3].id)
    caveats = Comparison.read(folder).analysis.caveats
    assert any("search for learning rates is not finished for 1 of 1" in c.text for c in caveats)


def test_a_search_that_was_altered_is_refused(tuned, tmp_path):
    comparison, watcher = tuned
    folder = shutil.copytree(comparison.folder, tmp_path / "e")
    one, other = (folder / "trials" / t.id for t in watcher.trials[:2])
    shutil.rmtree(other)
    one.rename(other)
    with pytest.raises(RunError, match="holds no trial of"):
        results_stored(Store(folder))


def test_a_search_in_which_trials_fail_says_so(tmp_path, monkeypatch):
    from normscope.training import trial as run

    def broken(*arguments, **keywords):
        raise MemoryError("no room")

    monkeypatch.setattr(run, "fit_fleet", broken)
    with pytest.raises(
        RunError, match=r"10 trials of the search .* failed \(bn, .*MemoryError: no room"
    ):
        compare(small(norms=["bn"], seeds=1, protocol="tuned"), out=tmp_path, workers=1)


def test_a_forecast_foresees_the_search_and_the_seeds_it_begins_with(tmp_path):
    experiment = small(norms=["bn"], seeds=1, protocol="tuned")
    foreseen = forecast(check(experiment, out=tmp_path / "e"))
    assert [t.validation for t in foreseen.trials] == [True] * 10 + [False]
    until = forecast(check(small(), out=tmp_path / "e", design=UNTIL))
    assert len(until.trials) == 12


def test_batch_sizes_are_trained_and_compared_apart(tmp_path):
    experiment = small(seeds=2, batch_sizes=(32, 64))
    comparison = compare(experiment, out=tmp_path, workers=1)
    found = [(n.norm, n.batch_size, n.finished) for n in comparison.analysis.by_batch_size]
    assert found == [("bn", 32, 2), ("gn", 32, 2), ("bn", 64, 2), ("gn", 64, 2)]
    assert {t.recipe.max_lr for t in plan(experiment) if t.recipe.batch_size == 32} == {0.05}
    assert comparison.analysis.norms[0].batch_size == 64
    assert comparison.analysis.norms[1].verdict.judgement.family == 2
    assert len(comparison.analysis.answers) == 2
    header = json.loads((tmp_path / "experiment.json").read_text())
    assert header["experiment"]["batch_sizes"] == [32, 64]


def test_a_budget_holds_in_the_search_too_and_the_report_says_what_is_open(tmp_path, monkeypatch):
    """Although it seemed to have room for all of it."""
    watcher = Watcher()
    experiment = small(norms=["bn", "gn"], protocol="tuned")
    monkeypatch.setattr("normscope.study.budget.forecast", lambda c: replace(forecast(c), todo=()))
    comparison = compare(
        experiment, out=tmp_path, workers=1, observer=watcher, design=UNTIL, budget_s=1e-6
    )
    assert watcher.ending == f"Stopped after 0 seeds: {SHORT} with the search for learning rates."
    assert len(search_results(Store(tmp_path))) == 1
    assert watcher.rounds == [(1, 0)]  # of a search of 20; the others are not stored
    assert results_stored(Store(tmp_path)) == []
    assert any("search" in caveat.text for caveat in comparison.analysis.caveats)
    assert (tmp_path / "report.html").is_file()


# -- norms that are decided ------------------------------------------------------------------------


def in_turn(experiment):
    """gn is decided at once and ln later; the seeds differ more in ln."""
    labels = make_labels(2000)
    points = {"bn": (70.0, 0.0), "gn": (72.0, 0.05), "ln": (70.6, 0.5)}
    return [
        right_in(r, labels, points[r.trial.norm][0]
                 + points[r.trial.norm][1] * (1 if r.trial.seed % 2 else -1))
        for r in make_results(experiment, labels)
    ]  # fmt: skip


THREE = ("bn", "gn", "ln")


@pytest.fixture
def played_in_turn(tmp_path):
    watcher, asked = played(opened(tmp_path, norms=THREE), UNTIL, in_turn, workers=1)
    return Store(tmp_path), watcher, asked


def test_a_decided_norm_is_trained_no_further(played_in_turn):
    store, watcher, asked = played_in_turn
    seeds = store.experiment.seeds
    assert 6 < seeds < 20
    assert asked == [18, *[2] * (seeds - 6)]
    counts = Counter(result.trial.norm for result in results_stored(store))
    assert counts == {"bn": seeds, "gn": 6, "ln": seeds}
    assert watcher.ending == f"Stopped after {seeds} seeds: every comparison is decided."
    assert [seeds for seeds, _ in watcher.blocks] == [*range(1, seeds + 1)]
    assert watcher.notices == ["Decided, and trained no further: gn."]


def test_a_report_says_which_norms_were_trained_no_further(played_in_turn):
    store, _, _ = played_in_turn
    analysis = Comparison.of(store).analysis
    told = " Decided, and so trained no further: gn after 6 seeds. Protocol drop-in: one recipe"
    assert told in analysis.method
    assert not [caveat for caveat in analysis.caveats if caveat.kind == "unfinished trials"]
    assert {norm.norm: (norm.finished, norm.trials) for norm in analysis.norms}["gn"] == (6, 6)
    (found,) = status(store.folder)
    assert (found.state, found.missing) == ("complete", 0)


def test_the_doctor_misses_no_trial_of_a_norm_that_is_decided(played_in_turn, normscope):
    """It counts what is not there for want of a decision, or of facts by which to know of one."""
    store, _, _ = played_in_turn
    lacking = store.experiment.seeds - 6
    found = examine(store.folder)
    assert (found.without_record, found.dropped) == (0, lacking)
    said = normscope("doctor", store.folder).stdout
    assert said.endswith(f"\n{lacking} planned trials not trained, since decided.\n")
    assert "without a record" not in said
    shutil.rmtree(min(store.files.trials.glob("gn-*")))  # of five seeds none is decided
    lost = json.loads(normscope("doctor", store.folder, "--json").stdout)
    assert (lost["without_record"], lost["dropped"]) == (1 + lacking, 0)
    store.files.dataset.write_text("{}")
    found = examine(store.folder)
    assert (found.without_record, found.dropped) == (1 + lacking, 0)


def test_the_same_command_again_trains_nothing(played_in_turn):
    store, _, _ = played_in_turn
    watcher, asked = played(Store(store.folder), UNTIL, in_turn)
    assert asked == [0]
    assert watcher.ending.endswith("every comparison is decided.")


def test_a_number_of_seeds_trains_what_decided_norms_lack(played_in_turn):
    """So that the winner set rests on all of the seeds."""
    store, _, _ = played_in_turn
    seeds = store.experiment.seeds
    _, asked = played(Store(store.folder), Design(), in_turn)
    assert asked == [seeds - 6]
    assert Counter(r.trial.norm for r in results_stored(store.newest()))["gn"] == seeds


def test_a_winner_set_trains_what_decided_norms_lack_and_drops_none(played_in_turn, tmp_path):
    store, _, _ = played_in_turn
    seeds, for_winners = store.experiment.seeds, UNTIL.model_copy(update={"winner_set": True})
    watcher, asked = played(Store(store.folder), for_winners, in_turn)
    assert sum(asked) == seeds - 6
    assert Counter(r.trial.norm for r in results_stored(store.newest()))["gn"] == seeds
    assert watcher.ending.endswith("every comparison is decided.")
    fresh = opened(tmp_path / "fresh", design=for_winners, norms=THREE)
    watcher, _ = played(fresh, for_winners, in_turn, workers=1)
    assert Counter(r.trial.norm for r in results_stored(fresh)) == dict.fromkeys(THREE, seeds)
    assert watcher.notices == []
    analysis = Comparison.of(fresh.newest()).analysis
    assert "trained no further" not in analysis.method
    assert analysis.winners == ("gn",)


def test_a_norm_that_is_added_is_trained_from_the_first_seed(played_in_turn, tmp_path):
    store, _, _ = played_in_turn
    seeds = store.experiment.seeds
    wider = store.experiment.model_copy(update={"norms": (*THREE, "in")})
    request = store.requests[0].model_copy(update={"norms": wider.norms, "seeds": seeds})
    store.ask(wider, request)

    def with_another(experiment):
        own = experiment.model_copy(update={"norms": THREE})
        like_bn = [r for r in in_turn(own) if r.trial.norm == "bn"]
        trials = {trial.seed: trial for trial in plan(experiment) if trial.norm == "in"}
        added = [r.model_copy(update={"trial": trials[r.trial.seed]}) for r in like_bn]
        labels = make_labels(2000)
        return [*in_turn(own), *(right_in(r, labels, 65 + r.trial.seed % 3) for r in added)]

    _, asked = played(Store(store.folder), UNTIL, with_another, workers=1)
    counts = Counter(result.trial.norm for result in results_stored(Store(store.folder)))
    assert counts["in"] == 6  # by then it is decided
    assert asked[0] == 6


def test_the_first_version_of_the_rules_drops_no_norm(tmp_path):
    store = opened(tmp_path, norms=THREE, rules=1)
    _, asked = played(store, UNTIL, in_turn, workers=1)
    assert set(asked[1:]) == {3}
    method = Comparison.of(Store(tmp_path)).analysis.method
    assert "By the first version of the rules, under which this experiment was begun." in method


def test_a_collapsed_trial_keeps_its_denominator_where_a_norm_is_dropped(tmp_path):
    def outcomes(experiment):
        return [
            collapsed(r) if (r.trial.norm, r.trial.seed) == ("gn", 2) else r
            for r in in_turn(experiment)
        ]

    played(opened(tmp_path, norms=THREE), UNTIL, outcomes)
    analysis = Comparison.of(Store(tmp_path)).analysis
    counts = Counter(result.trial.norm for result in analysis.all_results)
    (gn, _) = analysis.verdicts
    assert gn.guessing[0].trials == counts["gn"]


def test_a_failed_trial_of_a_dropped_norm_does_not_stop_the_others(tmp_path):
    """Of seeds that ran at once, one may decide the norm, and another fail."""

    def outcomes(experiment):
        return [
            failed(r, "Traceback\nValueError: no") if at_seven(r, "gn") else r
            for r in in_turn(experiment)
        ]

    def at_seven(result, norm):
        return (result.trial.norm, result.trial.seed) == (norm, 7)

    store = opened(tmp_path, norms=THREE, seeds=8)
    played(store, Design(), outcomes)
    watcher, _ = played(Store(tmp_path), UNTIL, outcomes)
    assert watcher.ending.endswith("every comparison is decided.")


def test_a_baseline_that_collapses_later_takes_nothing_from_a_dropped_norm(tmp_path):
    def outcomes(experiment):
        return [
            collapsed(r) if (r.trial.norm, r.trial.seed) == ("bn", 8) else r
            for r in in_turn(experiment)
        ]

    _, asked = played(opened(tmp_path, norms=THREE), UNTIL, outcomes, workers=1)
    assert asked[:4] == [18, 2, 2, 2]
    counts = Counter(result.trial.norm for result in results_stored(Store(tmp_path)))
    assert counts["gn"] == 6
    gn, ln = Comparison.of(Store(tmp_path)).analysis.verdicts
    assert (gn.outcome, gn.judgement.pairs.ordinal, gn.guessing_in_all.total) == (
        "better",
        False,
        0,
    )
    assert ln.judgement.pairs.ordinal


def test_seeds_of_several_batch_sizes_are_counted_where_they_go_on(tmp_path):
    sizes = (64, 128)
    experiment = make_experiment(norms=("bn", "gn"), seeds=6, epochs=2, batch_sizes=sizes)
    request = Request(date="", command="", norms=("bn", "gn"), seeds=6, design=UNTIL,
                      results_before=0, batch_sizes=sizes, rules=RULES)  # fmt: skip
    store = Store.create(tmp_path, experiment, request)
    store.describe(
        make_facts(test_size=2000), make_labels(2000), [make_model(n) for n in ("bn", "gn")]
    )

    def outcomes(experiment):
        labels, changed = make_labels(2000), []
        for r in make_results(experiment, labels):
            by = 0.05 if r.trial.recipe.batch_size == 64 else 0.5
            points = 0.0 if r.trial.norm == "bn" else 0.6
            points += by * (1 if r.trial.seed % 2 else -1) * (r.trial.norm == "gn")
            changed.append(right_in(r, labels, 70.0 + points))
        return changed

    watcher, asked = played(store, UNTIL, outcomes, workers=1)
    seeds = Store(tmp_path).experiment.seeds
    assert asked == [24, *[2] * (seeds - 6)]
    assert [told for told, _ in watcher.blocks] == [*range(1, seeds + 1)]
    assert watcher.notices == ["Decided, and trained no further: gn at batch size 64."]
    assert watcher.ending == f"Stopped after {seeds} seeds: every comparison is decided."
