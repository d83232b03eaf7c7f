"""One contract for every executor of the table."""

import os
import re
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from executor_work import (
    EPOCHS,
    TRIALS,
    beating,
    killed_at_first,
    made_result,
    ordinary,
    troubled,
    waiting_at_the_last,
)

from normscope.executors import EXECUTORS
from normscope.observers import Observer

IN_PROCESSES = ["processes", "ray"]  # those that lose a worker without being lost with it


class Watcher(Observer):
    """Remembers what it is told of each trial: its start as epoch 0, and that it is retried."""

    def __init__(self):
        self.seen = []

    def trial_started(self, trial):
        self.seen.append((trial, 0))

    def epoch_ended(self, trial, record):
        self.seen.append((trial, record.epoch))

    def trial_retried(self, trial, reason):
        self.seen.append((trial, "retried"))

    def results(self, outcomes):
        """The outcomes as they come, each remembered beside what was told."""
        for outcome in outcomes:
            self.seen.append((outcome.trial, "ended"))
            yield outcome

    def of(self, trial):
        return [epoch for seen, epoch in self.seen if seen == trial]


def lost(trial, reason, history):
    return made_result(trial, "failed", history, reason)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers find the work where the tests are."""
    here = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))


@pytest.fixture(params=EXECUTORS)
def kind(request):
    return entry(request)


@pytest.fixture(params=IN_PROCESSES)
def kind_in_processes(request):
    return entry(request)


def entry(request):
    """That of the table which a fixture is asked for, with what it needs."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return EXECUTORS[request.param]


@pytest.fixture(params=[1, 2, 9], ids="{} at once".format)
def executor(kind, request):
    return kind(at_once=request.param, threads=1, when_lost=lost)


def test_every_trial_is_run_once_and_told_of(executor, tmp_path):
    watcher = Watcher()
    results = list(executor.run(ordinary(tmp_path), TRIALS, watcher))
    assert sorted(result.trial.id for result in results) == sorted(trial.id for trial in TRIALS)
    assert {result.status for result in results} == {"finished"}
    assert {path.name for path in tmp_path.iterdir()} == {trial.id for trial in TRIALS}
    for trial in TRIALS:
        assert watcher.of(trial) == list(range(EPOCHS + 1))
    if executor.at_once == 1:
        assert [trial for trial, epoch in watcher.seen if epoch == 0] == TRIALS


def test_nothing_to_do(executor, tmp_path):
    assert list(executor.run(ordinary(tmp_path), [], Watcher())) == []


def test_only_what_it_may_take_is_run_and_it_asks_when_there_is_room(executor, tmp_path):
    """As where another process trains some of the trials, and may take more of them."""
    watcher, asked, ended = Watcher(), [], []

    def take(group):
        asked.extend(group)
        assert len(asked) - len(group) - 2 * len(ended) <= 2 * executor.at_once
        return [trial for trial in group if trial.seed % 2]

    for result in executor.run(ordinary(tmp_path), TRIALS, watcher, take):
        ended.append(result)
    odd = [trial for trial in TRIALS if trial.seed % 2]
    assert 0 < len(odd) < len(TRIALS)
    assert sorted(result.trial.id for result in ended) == sorted(trial.id for trial in odd)
    assert {trial for trial, _ in watcher.seen} == set(odd)
    assert sorted(trial.id for trial in asked) == sorted(trial.id for trial in TRIALS)
    assert list(executor.run(ordinary(tmp_path), TRIALS, watcher, lambda group: [])) == []


def test_a_result_comes_before_the_others_end(executor, tmp_path):
    work = partial(waiting_at_the_last, go=tmp_path / "go")
    with closing(executor.run(work, TRIALS, Watcher())) as results:
        first = next(results)
        (tmp_path / "go").touch()
        rest = list(results)
    assert first.trial != TRIALS[-1]
    assert [result.error for result in [first, *rest]] == [None] * len(TRIALS)


def test_what_a_work_raises_is_the_outcome_of_its_group(executor, tmp_path):
    work = partial(troubled, notes=tmp_path, how="raises")
    outcomes = list(executor.run(work, TRIALS, Watcher()))
    assert sorted(outcome.trial.id for outcome in outcomes) == sorted(t.id for t in TRIALS)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert {outcome.trial.norm for outcome in failed} == {"gn"}
    assert 0 in [outcome.trial.seed for outcome in failed]
    assert len(failed) <= executor.at_once
    for outcome in failed:
        assert re.search(r"(?s)Traceback.*ZeroDivisionError: by 0", outcome.error)
        assert [record.epoch for record in outcome.history] == [1]


@pytest.mark.parametrize("how", ["raises", "raises at once"])
def test_a_trial_is_told_to_start_before_its_epochs_and_before_its_end(executor, how, tmp_path):
    watcher, work = Watcher(), partial(troubled, notes=tmp_path, how=how)
    failed = [
        outcome.trial
        for outcome in watcher.results(executor.run(work, TRIALS, watcher))
        if outcome.status == "failed"
    ]
    assert failed
    for trial in TRIALS:
        of_failed = [0, "ended"] if "at once" in how else [0, 1, "ended"]
        of_others = [*range(EPOCHS + 1), "ended"]
        assert watcher.of(trial) == (of_failed if trial in failed else of_others)


def test_a_trial_whose_worker_ends_is_told_to_be_retried_and_tells_its_epochs_anew(
    kind_in_processes, tmp_path
):
    executor, watcher = kind_in_processes(at_once=2, threads=1, when_lost=lost), Watcher()
    work = partial(killed_at_first, notes=tmp_path)
    results = list(watcher.results(executor.run(work, TRIALS[:2], watcher)))
    assert [result.error for result in results] == [None, None]
    for trial in TRIALS[:2]:
        told = watcher.of(trial)
        again = told.index("retried")
        assert told[:again] in ([0, 1], [0])  # what a worker told last may be lost with it
        assert told[again + 1 :] == [1, 2, "ended"]


def test_a_trial_whose_workers_end_before_they_tell_of_it_is_told_to_start_first(
    kind_in_processes, tmp_path
):
    executor, watcher = kind_in_processes(at_once=2, threads=1, when_lost=lost), Watcher()
    work = partial(troubled, notes=tmp_path, how="is killed at once")
    outcomes = list(watcher.results(executor.run(work, TRIALS, watcher)))
    (told,) = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert watcher.of(told.trial) == [0, "retried", "retried", "ended"]
    assert told.history == ()


def still(heart):
    """Whether nothing beats, or soon stops."""
    for _ in range(50):
        before = heart.read_text() if heart.exists() else ""
        time.sleep(0.2)
        if (heart.read_text() if heart.exists() else "") == before:
            return True
    return False


def test_closing_the_results_stops_what_runs(executor, tmp_path):
    work = partial(beating, notes=tmp_path, spared=TRIALS[0])
    watcher = Watcher()
    with closing(executor.run(work, TRIALS, watcher)) as results:
        assert TRIALS[0] in [next(results).trial]
    assert still(tmp_path / "heart")
    started = [trial for trial, epoch in watcher.seen if epoch == 0]
    assert len(started) <= executor.at_once + 1


@pytest.mark.parametrize("reason", [KeyboardInterrupt, BrokenPipeError])
@pytest.mark.parametrize("method", ["trial_started", "epoch_ended"])
def test_an_observer_that_raises_stops_everything(kind, method, reason, tmp_path):
    def fail(*arguments):
        raise reason

    observer = Observer()
    setattr(observer, method, fail)
    executor = kind(at_once=2, threads=1, when_lost=lost)
    work = partial(beating, notes=tmp_path)
    with pytest.raises(reason), closing(executor.run(work, TRIALS, observer)) as results:
        next(results)
    assert still(tmp_path / "heart")
