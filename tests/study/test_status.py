"""What another terminal is told of an experiment: from its folder, and from who trains into it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from report_fakes import failed, make_experiment, make_facts, make_labels, make_model, make_result

from normscope.errors import RunError, UsageError
from normscope.experiment import Design, Request
from normscope.experiment.plan import plan
from normscope.experiment.progress import Progress, Running
from normscope.experiment.tuning import tuning_plan
from normscope.observers import Observer
from normscope.store import Store, records
from normscope.store.folder import ExperimentFolder
from normscope.store.progress import read_progress, write_progress
from normscope.study.heartbeat import heartbeat, today
from normscope.study.status import is_alive, status

LABELS = make_labels(50)


def gone_process():
    """The id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def progress(**changes):
    values = {"process": os.getpid(), "host": os.uname().nodename, "started": today()}
    return Progress(**{"updated": today(), **values, **changes})


def process_of(store, name):
    """The folder of a process that trains into the store."""
    process = ExperimentFolder(store.folder).process(name)
    process.path.mkdir(parents=True, exist_ok=True)
    return process


@pytest.fixture
def store(tmp_path):
    """bn finished in 3 of 3 seeds, gn in one; one of gn failed and one is missing."""
    experiment = make_experiment(norms=("bn", "gn"), seeds=3, epochs=3)
    request = Request(date="2026-01-01", command="x", norms=experiment.norms, seeds=3)
    store = Store.create(tmp_path / "e", experiment, request)
    models = [make_model("bn"), make_model("gn")]
    store.describe(make_facts(test_size=50), LABELS, models)
    results = [make_result(experiment, trial, LABELS) for trial in plan(experiment)]
    bn, gn = ([r for r in results if r.trial.norm == norm] for norm in ("bn", "gn"))
    for result in (*bn, gn[0], failed(gn[1], "it raised")):
        store.add(result)
    return store


def test_trials_are_counted_by_norm(store):
    (found,) = status(store.folder)
    bn, gn = found.norms
    assert (bn.planned, bn.finished, bn.failed, bn.guessing) == (3, 3, 0, 0)
    assert (gn.planned, gn.finished, gn.failed, gn.guessing) == (3, 1, 1, 0)
    assert (found.planned, found.ended, found.failed, found.missing) == (6, 4, 1, 1)
    assert found.state == "stopped"
    of_bn = [r.history[-1].test_accuracy_percent for r in store.records() if r.trial.norm == "bn"]
    assert bn.test_accuracy_percent == pytest.approx(sum(of_bn) / 3)


def test_the_missing_take_as_long_as_those_of_their_norm(store):
    seconds = [r.seconds for r in store.records() if (r.trial.norm, r.status) == ("gn", "finished")]
    assert status(store.folder)[0].seconds_missing == pytest.approx(seconds[0])


def test_a_folder_that_is_just_being_begun_is_no_damaged_one(tmp_path, normscope):
    """Between its making and the description of the images, which the verdicts need."""
    experiment = make_experiment(norms=("bn", "gn"), seeds=6)
    design = Design(until_decided=True)
    asked = Request(date="2026-01-01", command="x", norms=("bn", "gn"), seeds=6, design=design)
    store = Store.create(tmp_path / "e", experiment, asked)
    (found,) = status(store.folder)
    assert (found.state, found.verdicts, found.planned, found.ended) == (
        "just being begun", (), 12, 0
    )  # fmt: skip
    said = normscope("status", store.folder)
    assert said.returncode == 0, said.stderr
    assert "just being begun, 0 of 12 trials ended" in " ".join(said.stdout.split())
    store.describe(make_facts(test_size=50), LABELS, [make_model("bn"), make_model("gn")])
    assert status(store.folder)[0].state == "stopped"
    store.add(make_result(experiment, plan(experiment)[0], LABELS))
    store.files.dataset.unlink()
    with pytest.raises(RunError, match=r"dataset\.json"):
        status(store.folder)


def test_a_fixed_design_has_no_verdicts_before_its_end(store):
    (found,) = status(store.folder)
    assert (found.sequential, found.verdicts) == (False, ())


def test_it_is_said_on_a_terminal(store, normscope):
    write_progress(
        process_of(store, "1-a"),
        progress(
            process=1,  # of root, and always there
            todo=2,
            running=(Running(trial="x", name="gn seed 2", epoch=1, epochs=3),),
            seconds_left=100.0,
        ),
    )
    said = normscope("status", store.folder).stdout
    assert "training, 4 of 6 trials ended, 1 failed, 2 min left" in " ".join(said.split())
    assert "\n  gn seed 2  epoch 1/3\n" in said
    assert "fixed design gives its verdicts when all of its trials are there" in " ".join(
        said.split()
    )
    (as_json,) = json.loads(normscope("status", store.folder, "--json").stdout)
    assert (as_json["state"], as_json["missing"]) == ("training", 1)
    assert as_json["processes"][0]["running"][0]["epoch"] == 1


def test_several_processes_share_what_is_left(store, normscope):
    for number, seconds in enumerate((300.0, 150.0, None)):
        trial = Running(trial="x", name="gn seed 2", epoch=1, epochs=3)
        said = progress(process=1, todo=2, running=(trial,), seconds_left=seconds)
        write_progress(process_of(store, f"1-{number}"), said)
    assert status(store.folder)[0].seconds_left is None
    idle = progress(process=1, todo=2, seconds_left=0.0)  # it reports, or waits for others
    write_progress(process_of(store, "1-3"), idle)
    shutil.rmtree(process_of(store, "1-2").path)
    assert status(store.folder)[0].seconds_left == pytest.approx(100.0)
    said = " ".join(normscope("status", store.folder).stdout.split())
    assert "training, 4 of 6 trials ended, 1 failed, 3 processes, 2 min left" in said


def test_once_nothing_runs_it_says_how_to_go_on(store, normscope):
    said = " ".join(normscope("status", store.folder).stdout.split())
    assert "stopped, 4 of 6 trials ended, 1 failed, 1 missing:" in said
    assert f"normscope retry {store.folder}" in said.replace("- ", "-")


def test_a_folder_of_experiments_shows_each(store):
    (found,) = status(store.folder.parent)
    assert found.folder == store.folder
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        status(store.folder / "trials")


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"state": "ended"}, False),
        ({"state": "stopped"}, False),
        ({"process": "gone"}, False),
        ({"host": "another"}, True),
        ({"host": "another", "process": "gone"}, True),  # a number means nothing there
        ({"host": "another", "updated": "two minutes ago"}, False),
        ({"updated": "two minutes ago"}, False),  # its number has been given again
    ],
)
def test_whether_it_still_trains(changes, alive):
    if changes.get("process") == "gone":
        changes = {**changes, "process": gone_process()}
    if "updated" in changes:
        earlier = datetime.now(timezone.utc) - timedelta(minutes=2)
        changes = {**changes, "updated": earlier.isoformat()}
    assert is_alive(progress(**changes)) is alive


def test_an_experiment_whose_rates_are_still_searched_is_not_complete(tmp_path):
    experiment = make_experiment(norms=("bn", "gn"), seeds=1, protocol="tuned")
    request = Request(date="2026-01-01", command="x", norms=experiment.norms, seeds=1)
    store = Store.create(tmp_path / "e", experiment, request)
    store.describe(make_facts(test_size=50), LABELS, [make_model("bn"), make_model("gn")])
    due = tuning_plan(experiment, [])
    (found,) = status(store.folder)
    assert (found.planned, found.searching, found.state) == (0, len(due), "stopped")
    result = make_result(experiment, due[0], LABELS).model_copy(update={"predictions": None})
    store.add(result)
    (found,) = status(store.folder)
    assert (found.tuning, found.searching) == (1, len(due) - 1)


# -- the sign of life ------------------------------------------------------------------------------


def test_a_training_leaves_signs_of_life(store):
    seen = []

    class Watcher(Observer):
        def epoch_ended(self, trial, record):
            seen.append((trial, record.epoch))

    result = store.records()[0]
    process = process_of(store, "1-a")
    with heartbeat(process, Watcher(), every_s=0.01) as observer:
        observer.started([result.trial], 0, "in haste")
        observer.trial_started(result.trial)
        at_once = replace(result.history[0], train_seconds=0.0, test_seconds=0.0)
        observer.epoch_ended(result.trial, at_once)
        deadline = time.monotonic() + 60
        while not read_progress(store.folder)[0].running and time.monotonic() < deadline:
            time.sleep(0.01)
        (said,) = read_progress(store.folder)
    assert seen == [(result.trial, 1)]
    assert (said.state, said.todo, said.done, said.how) == ("training", 1, 0, "in haste")
    assert (said.running[0].trial, said.running[0].epoch) == (result.trial.id, 1)
    assert said.running[0].test_accuracy_percent == result.history[0].test_accuracy_percent
    assert said.seconds_left is not None
    (ended,) = read_progress(store.folder)
    assert (ended.state, ended.running) == ("ended", ())


def test_trials_of_other_processes_count_as_done(store):
    result, lost = store.records()[0], failed(store.records()[0], "it raised")
    with heartbeat(process_of(store, "1-a"), Observer(), every_s=0.01) as observer:
        observer.started([result.trial, lost.trial], 0, "in haste")
        observer.trial_found(result)
        observer.trial_found(lost)
    (said,) = read_progress(store.folder)
    assert (said.done, said.failed) == (2, 1)


def test_one_that_is_stopped_says_so(store):
    with pytest.raises(KeyboardInterrupt), heartbeat(process_of(store, "1-a"), Observer()):
        raise KeyboardInterrupt
    assert read_progress(store.folder)[0].state == "stopped"


def test_a_disk_that_takes_no_sign_of_life_stops_nothing(store, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with heartbeat(process_of(store, "1-a"), Observer(), every_s=0.01):
        time.sleep(0.05)
    monkeypatch.undo()
    assert read_progress(store.folder) == []


def test_what_is_no_sign_of_life_is_none(store):
    process_of(store, "1-a").progress.write_text('{"process": "x"')
    process_of(store, "1-b").progress.symlink_to(store.folder / "dataset.json")
    assert read_progress(store.folder) == []
    assert status(store.folder)[0].alive is False


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")
def test_a_real_training_is_seen_from_beside_it_and_missed_when_it_is_killed(
    tmp_path, environment, process
):
    command = "compare --norms bn,gn --seeds 40 --epochs 1 --train-limit 192 --test-limit 50"
    training = subprocess.Popen(
        [sys.executable, "-m", "normscope", *command.split(), "--out", "e", "--workers", "2"],
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list((tmp_path / "e").glob("trials/*/record.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    (found,) = json.loads(process("status", "e", "--json").stdout)
    training.send_signal(signal.SIGKILL)
    training.wait()
    assert (found["state"], found["planned"]) == ("training", 80)
    assert 1 <= found["ended"] < 80
    assert [each["process"] for each in found["processes"]] == [training.pid]
    watched = process("status", "e", "--watch").stdout  # and it does not wait for ever
    assert "e: stopped, " in watched


def test_verdicts_take_no_predictions(store, monkeypatch):
    """They would be those of all trials, to be read anew every two seconds."""
    experiment = store.experiment.with_seeds(4)
    request = store.requests[0].model_copy(update={"seeds": 4, "results_before": 5})
    store.ask(experiment, request)
    monkeypatch.setattr(records, "read_predictions", None)
    (found,) = status(store.folder)
    assert found.sequential
    assert len(found.verdicts) == len(experiment.norms) - 1
