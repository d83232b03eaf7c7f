"""Several commands in one folder: each trial is trained once, and each command ends with all."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from report_fakes import failed
from store_fakes import make_store, make_trials

from normscope.experiment.plan import plan
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.doctor import examine
from normscope.study.sharing import Sharing

COMMAND = [
    "compare",
    "--epochs",
    "1",
    "--train-limit",
    "192",
    "--test-limit",
    "50",
    "--workers",
    "1",
]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are ended by signals")


class Noting(Observer):
    def __init__(self):
        self.said = []

    def noticed(self, sentence):
        self.said.append(sentence)


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "e", seeds=2, trials=False)


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr("normscope.study.sharing.LOOK_EVERY_S", 0.02)


# -- one round, two who share it -------------------------------------------------------------------


def two(store, todo):
    """Two processes' views of a round, within their claims, and what each noticed of the other."""
    stores = [store, Store(store.folder)]
    assert [each.records() for each in stores] == [[], []]
    claims = [Store.claims(each.folder) for each in stores]
    found = [[], []]
    observers = [Noting(), Noting()]
    sides = [
        Sharing(*each) for each in zip(stores, claims, [todo] * 2, observers,
                                       [some.append for some in found], strict=True)
    ]  # fmt: skip
    return stores, claims, sides, found, observers


def test_each_trial_is_one_processs_and_its_result_is_noticed_by_the_other(store, fast):
    results = make_trials(store.experiment)
    todo = [result.trial for result in results]
    stores, claims, (one, other), found, _ = two(store, todo)
    with claims[0], claims[1]:
        assert one.left() == other.left() == todo
        assert one.take(todo[:2]) == todo[:2]
        assert other.take(todo[:3]) == [todo[2]]
        stores[0].add(results[0])
        one.stored(results[0])
        assert other.take([todo[0]]) == []
        assert [each.trial for each in found[1]] == [todo[0]]
        assert claims[0].free([todo[0]]) == [todo[0]]  # what was looked at in vain is left
        assert other.left() == todo[2:]
        assert found[0] == []


def test_what_another_has_is_waited_for_and_what_it_left_is_trained(store, fast):
    results = make_trials(store.experiment)
    todo = [result.trial for result in results]
    stores, claims, (one, other), found, observers = two(store, todo[:3])
    with claims[0]:
        with claims[1]:
            other.take(todo[:3])
            stores[1].add(results[0])
            other.stored(results[0])
            lost = failed(results[1], "it raised")
            stores[1].add(lost.model_copy(update={"weights": None, "probes": None}))
            other.stored(lost)
        assert one.left() == [todo[2]]  # it was being trained when the other ended
        assert one.take([todo[2]]) == [todo[2]]
        assert [each.status for each in found[0]] == ["finished", "failed"]
        stores[0].add(results[2])
        one.stored(results[2])
        assert one.left() == []
    assert observers[0].said == []


def test_that_it_waits_is_said_once(store, monkeypatch):
    results = make_trials(store.experiment)
    todo = [result.trial for result in results][:2]
    stores, claims, (one, other), _, observers = two(store, todo)
    with claims[0], claims[1]:
        other.take(todo)
        waited = []

        def sleep(seconds):
            waited.append(seconds)
            if len(waited) > 1:
                result = results[len(waited) - 2]
                stores[1].add(result)
                other.stored(result)

        monkeypatch.setattr(time, "sleep", sleep)
        assert one.left() == []
    assert observers[0].said == ["Waiting for 2 trials that another normscope trains."]
    assert len(waited) == 3


# -- whole commands --------------------------------------------------------------------------------


def start(folder, environment, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "normscope", *COMMAND, *options, "--out", "e"],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def accuracies(folder):
    """The accuracies of all trials in a folder, by id."""
    found = {}
    for path in Path(folder).glob("trials/*/record.json"):
        record = json.loads(path.read_text())
        found[path.parent.name] = [e["test_accuracy_percent"] for e in record["history"]]
    return found


def test_two_commands_share_the_work_and_both_report_all_of_it(tmp_path, environment, normscope):
    """They begin at once; each trial is trained by one of them, as if there were one alone."""
    options = "--norms", "bn,gn", "--seeds", "6"
    both = [start(tmp_path, environment, *options) for _ in range(2)]
    outputs = [each.communicate(timeout=300)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], outputs
    assert normscope(*COMMAND, *options, "--out", "alone").returncode == 0
    assert accuracies(tmp_path / "e") == accuracies(tmp_path / "alone")
    assert sum(output.count("trained by another normscope") for output in outputs) == 12
    assert examine(tmp_path / "e").well
    assert list((tmp_path / "e" / "processes").iterdir()) == []


def test_one_that_asks_for_more_goes_on_with_what_a_killed_one_left(tmp_path, environment):
    """They begin at once; the one that is killed is the one that asks for more seeds."""
    more_seeds = start(tmp_path, environment, "--norms", "bn,gn", "--seeds", "12")
    more_norms = start(tmp_path, environment, "--norms", "bn,gn,in", "--seeds", "2")
    deadline = time.monotonic() + 300
    while len(accuracies(tmp_path / "e")) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    more_seeds.send_signal(signal.SIGKILL)
    more_seeds.communicate()
    output = more_norms.communicate(timeout=300)[0]
    assert more_norms.returncode == 0, output
    store = Store(tmp_path / "e")
    planned = plan(store.experiment)
    own = [trial for trial in planned if trial.seed < 2]
    assert set(store.experiment.norms) == {"bn", "gn", "in"}
    assert store.experiment.seeds in (2, 12)  # 2 if the other was killed before it could ask
    assert not {trial.id for trial in own} & {trial.id for trial in store.missing(planned)}
    # What it was just writing stays until the next command opens the folder.
    assert {finding.state for finding in examine(tmp_path / "e").findings} <= {"left over"}
