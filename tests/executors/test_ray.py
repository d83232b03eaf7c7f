"""What Ray adds to the contract: workers and nodes may be lost, and trials give the same bits."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pytest
from executor_work import (
    EPOCHS,
    PATIENCE_S,
    TRIALS,
    beating,
    held,
    killed,
    made_result,
    ordinary,
    troubled,
)

import normscope
from normscope.cores import available_cores
from normscope.errors import RunError, UsageError
from normscope.executors.fleets import fleets
from normscope.executors.processes import Lost
from normscope.executors.ray import Gone, Node, OnRay, Ray, connected, nodes_of
from normscope.experiment.reading import read_experiment
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.stored import results_stored, trials_planned


def lost(trial, reason, history):
    return made_result(trial, "failed", history, reason)


def on_ray(at_once=2, **share):
    return Ray(at_once=at_once, threads=1, when_lost=lost, cluster=OnRay(**share))


class Listener(Observer):
    """Keeps the epochs that it is told of since a trial's last try, and what was tried again."""

    def __init__(self):
        self.epochs, self.retried, self.how = [], [], []

    def started(self, todo, stored, how):
        self.how.append(how)

    def epoch_ended(self, trial, record):
        self.epochs.append((trial.id, record.epoch))

    def trial_retried(self, trial, reason):
        self.epochs = [(its, number) for its, number in self.epochs if its != trial.id]
        self.retried.append((trial.id, reason))


def wait_for_nodes(count):
    """Until the cluster has no more nodes than that: one that is removed stays for a moment."""
    import ray

    deadline = time.monotonic() + 60
    while sum(node["Alive"] for node in ray.nodes()) > count and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def two_nodes(request):
    """What a test has added is gone before the next one begins."""
    yield
    if "ray_cluster" in request.fixturenames:
        wait_for_nodes(2)


EVERY_EPOCH = sorted((trial.id, number) for trial in TRIALS for number in range(1, EPOCHS + 1))


# -- what is lost ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "told", "error"),
    [
        ([Lost("no such package")], [], "no such package"),
        ([Gone("so", "its node was lost")] * 3, ["its node was lost"] * 2, "lost 3 times"),
    ],
)
def test_a_trial_that_is_lost_before_it_began_is_told_to_start_first(
    answers, told, error, monkeypatch
):
    """As where a package is missing on a node; bars know only trials that started."""

    class Tasks:
        def __init__(self, work, cluster):
            self.running = {}

        def start(self, group):
            self.running[id(group)] = group

        def messages(self):
            for key, group in list(self.running.items()):
                del self.running[key]
                group.attempts += 1
                yield group, answers[group.attempts - 1]

        def close(self):
            pass

    monkeypatch.setattr("normscope.executors.ray._Tasks", Tasks)
    monkeypatch.setattr("normscope.executors.ray.connected", lambda address: nullcontext())
    seen, observer = [], Observer()
    observer.trial_started = lambda trial: seen.append((trial, "started"))
    observer.trial_retried = lambda trial, reason: seen.append((trial, reason))
    outcomes = list(on_ray().run(ordinary, TRIALS, observer))
    assert [error in outcome.error for outcome in outcomes] == [True] * len(TRIALS)
    for trial in TRIALS:
        assert [what for its, what in seen if its == trial] == ["started", *told]


@pytest.mark.parametrize("times", [1, 2])
def test_a_trial_whose_worker_is_killed_runs_again(times, ray_cluster, tmp_path):
    listener = Listener()
    work = partial(killed, notes=tmp_path, times=times)
    results = list(on_ray().run(work, TRIALS, listener))
    assert sorted(result.trial.id for result in results) == sorted(trial.id for trial in TRIALS)
    assert {result.status for result in results} == {"finished"}
    assert sorted(listener.epochs) == EVERY_EPOCH
    (gn,) = [trial for trial in TRIALS if (trial.norm, trial.seed) == ("gn", 0)]
    assert listener.retried == [(gn.id, "its worker was lost")] * times


def test_a_trial_that_kills_three_workers_has_failed_and_the_others_are_run(ray_cluster, tmp_path):
    work = partial(killed, notes=tmp_path, times=9)
    outcomes = list(on_ray().run(work, TRIALS, Observer()))
    (told,) = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert (told.trial.norm, told.trial.seed) == ("gn", 0)
    assert "the worker was lost 3 times" in told.error
    assert [record.epoch for record in told.history] == [1]
    assert len(list(tmp_path.glob("attempt*"))) == 3
    assert len(outcomes) == len(TRIALS)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("answers what cannot be sent", "cannot pickle|Can't pickle"),
        ("answers what cannot be read", "could not be read"),
    ],
)
def test_an_answer_that_does_not_arrive_is_the_outcome_of_its_trial(
    how, reason, ray_cluster, tmp_path
):
    work = partial(troubled, notes=tmp_path, how=how)
    outcomes = list(on_ray().run(work, TRIALS, Observer()))
    (told,) = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert re.search(reason, told.error)
    assert len(outcomes) == len(TRIALS)


@pytest.mark.soak  # a node that comes or goes beside other work takes its time
def test_what_a_node_takes_with_it_is_run_again_on_the_others(ray_cluster, tmp_path):
    node = ray_cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    running = set()

    class Remover(Listener):
        def epoch_ended(self, trial, record):
            super().epoch_ended(trial, record)
            running.add(trial.id)
            if len(running) == 3 and not self.retried and not (tmp_path / "go").exists():
                ray_cluster.remove_node(node, allow_graceful=False)
                wait_for_nodes(2)  # or its worker might end in time
                (tmp_path / "go").touch()

    remover = Remover()
    (notes := tmp_path / "notes").mkdir()
    work = partial(held, notes=notes, go=tmp_path / "go")
    results = list(on_ray(at_once=3).run(work, TRIALS, remover))
    assert sorted(result.trial.id for result in results) == sorted(trial.id for trial in TRIALS)
    assert {result.status for result in results} == {"finished"}
    assert sorted(remover.epochs) == EVERY_EPOCH
    assert [reason for _, reason in remover.retried] == ["its node was lost"]


def test_closing_the_results_ends_the_tasks(ray_cluster, tmp_path):
    class Impatient(Observer):
        def epoch_ended(self, trial, record):
            raise KeyboardInterrupt

    results = on_ray().run(partial(beating, notes=tmp_path), TRIALS, Impatient())
    with pytest.raises(KeyboardInterrupt), closing(results):
        next(results)
    noted = [int(file.read_text()) for file in tmp_path.glob("*-seed*")]
    assert noted
    until(lambda: not any(map(psutil.pid_exists, noted)), seconds=PATIENCE_S / 2)


@pytest.mark.soak  # a node that comes or goes beside other work takes its time
def test_workers_have_the_threads_that_they_reserve_and_keep_their_memory(ray_cluster, tmp_path):
    node = ray_cluster.add_node(num_cpus=3, object_store_memory=100 << 20)
    try:
        list(on_ray(cpus_per_trial=3).run(ordinary(tmp_path), TRIALS[:2], Observer()))
    finally:
        ray_cluster.remove_node(node)
    for trial in TRIALS[:2]:
        _, threads, allocator = (tmp_path / trial.id).read_text().split()
        assert threads == "3"
        assert "glibc.malloc.trim_threshold=" in allocator


# -- the whole program -----------------------------------------------------------------------------

OWN = """
from torch import nn

class Grouped(nn.GroupNorm):
    def __init__(self, channels):
        super().__init__(2, channels)
"""


def small(**values):
    return read_experiment(**{"epochs": 1, "train_limit": 96, "test_limit": 50, **values})


def weights_of(folder):
    """The weights of every trial, by its id; all have finished."""
    store = Store(Path(folder))
    trials = [result.trial for result in results_stored(store) if result.status == "finished"]
    assert store.missing(trials_planned(store)) == []
    assert len({trial.id for trial in trials}) == len(trials)
    return {trial.id: store.weights(trial) for trial in trials}


def assert_equal_bits(weights, expected):
    assert sorted(weights) == sorted(expected)
    for trial in expected:
        for name, values in expected[trial].items():
            np.testing.assert_array_equal(weights[trial][name], values, err_msg=f"{trial} {name}")


def test_a_trial_has_the_bits_that_it_has_in_a_process_also_with_a_norm_of_ones_own(
    ray_cluster, tmp_path, monkeypatch, undrawn
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    experiment, listener = small(norms=["bn", "own.py:Grouped"], seeds=1), Listener()
    normscope.compare(experiment, out="ray", executor=OnRay(), observer=listener)
    normscope.compare(
        experiment, out="processes", executor="processes", workers=available_cores(),
        observer=Observer(),
    )  # fmt: skip
    assert_equal_bits(weights_of("ray"), weights_of("processes"))
    (how,) = listener.how
    assert how.startswith("2 at a time on ray (2 nodes, 2 CPUs), fp32, threads: 1 each, ")


SCRIPT = """
import sys
import normscope
from normscope.experiment.reading import read_experiment

experiment = read_experiment(norms=["bn", "in"], seeds=int(sys.argv[2]), epochs=int(sys.argv[3]),
                             train_limit=96, test_limit=50)
normscope.compare(experiment, out="e", executor=normscope.OnRay(sys.argv[1]))
"""


def workers_of(cluster):
    """The processes of the cluster that are at work on a trial."""
    raylets = [psutil.Process(node.all_processes["raylet"][0].process.pid)
               for node in cluster.list_all_nodes()]  # fmt: skip
    workers = [worker for raylet in raylets for worker in raylet.children()]
    return [worker for worker in workers if re.match(r"ray::(bn|in)-seed", name_of(worker))]


def name_of(process):
    try:
        return process.name()
    except psutil.NoSuchProcess:  # it ended meanwhile
        return ""


def told_by_driver():
    return Path("told.txt").read_text(encoding="utf-8")


def times_lost():
    """How many workers the driver says it has lost."""
    return told_by_driver().count("its worker was lost; it is tried again")


def until(what, seconds=300):  # workers are at niceness 15, and other work may fill the cores
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("seeds", "workers", "epochs"),
    [(2, 1, 2), pytest.param(12, 10, 20, marks=pytest.mark.soak)],  # long enough for all to be hit
)
def test_workers_a_node_and_the_driver_are_killed_and_every_trial_is_there_once(
    seeds, workers, epochs, ray_cluster, tmp_path, monkeypatch, undrawn
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "driver.py").write_text(SCRIPT, encoding="utf-8")
    driving = [sys.executable, "-u", "driver.py", ray_cluster.address, str(seeds), str(epochs)]
    node = ray_cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    with open("told.txt", "w", encoding="utf-8") as told:
        driver = subprocess.Popen(driving, stdout=told, stderr=told)
    killed = set()  # trials, each once: with its node, it may lose its worker a second time
    while (lost := times_lost()) < workers:
        at_work = until(
            lambda: (
                [
                    (name, worker)
                    for worker in workers_of(ray_cluster)
                    if (name := name_of(worker)) not in ("", *killed)
                ]
                or driver.poll() is not None
            )
        )
        assert driver.poll() is None, "it ended before all workers were killed"
        name, worker = at_work[lost % len(at_work)]  # on each node in turn
        killed.add(name)
        worker.kill()
        heard_by = time.monotonic() + 10  # it may just have ended its trial
        while times_lost() == lost and time.monotonic() < heard_by:
            time.sleep(0.05)
    until(partial(workers_of, ray_cluster))
    ray_cluster.remove_node(node, allow_graceful=False)
    until(lambda: list(tmp_path.glob("e/trials/[!.]*/record.json")))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until(lambda: not workers_of(ray_cluster))  # none goes on without its driver
    assert "raylet" not in told_by_driver()
    assert " failed: " not in told_by_driver()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("e/trials/[!.]*/record.json")}

    again = subprocess.run(driving, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before  # not trained again
    experiment = small(norms=["bn", "in"], seeds=seeds, epochs=epochs)
    normscope.compare(experiment, out="inline", executor="inline", observer=Observer())
    assert len(weights_of("e")) == 2 * seeds
    assert_equal_bits(weights_of("e"), weights_of("inline"))


def left_over(token):
    """What still runs of the Ray that was started with a token."""

    def has_it(process):
        try:
            return process.environ().get("RAY_AUTH_TOKEN") == token
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if has_it(process)]


LOCAL = ["compare", "--executor", "ray", "--norms", "bn", "--seeds", "1", "--train-limit", "96",
         "--test-limit", "50"]  # fmt: skip


def test_without_an_address_a_ray_is_started_for_the_command_alone(process, environment):
    pytest.importorskip("ray")
    environment["RAY_AUTH_TOKEN"] = "0" * 63 + "1"
    done = process(*LOCAL, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert "1 at a time on ray (1 node, " in done.stdout
    assert done.stderr == ""
    assert until(lambda: not left_over("0" * 63 + "1"))


def test_a_command_that_is_told_to_stop_takes_its_ray_with_it(environment, tmp_path):
    pytest.importorskip("ray")
    environment["RAY_AUTH_TOKEN"] = "0" * 63 + "2"
    running = subprocess.Popen(
        [sys.executable, "-m", "normscope", *LOCAL, "--epochs", "9999"],
        cwd=tmp_path, env={**environment, "PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    until(lambda: "epoch 1/9999" in running.stdout.readline())
    running.terminate()
    _, told = running.communicate()
    assert running.returncode == 128 + signal.SIGTERM
    assert "Stopped." in told
    assert until(lambda: not left_over("0" * 63 + "2"))


# -- what a trial takes of a cluster ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "nodes", "room"),
    [
        ({}, [Node(4, 0), Node(2, 0)], 6),
        ({"cpus_per_trial": 3}, [Node(4, 0), Node(2, 0), Node(8, 1)], 3),
        ({"cpus_per_trial": 0.5}, [Node(1, 0)], 2),
        ({"cpus_per_trial": 0.1}, [Node(1, 0)], 10),
        ({"gpus_per_trial": 1}, [Node(4, 2), Node(64, 0)], 2),
        ({"gpus_per_trial": 0.25}, [Node(4, 1), Node(1, 2)], 8),  # a CPU for each network of four
        ({"gpus_per_trial": 0.1}, [Node(4, 1)], 10),
        ({"gpus_per_trial": 0.1667}, [Node(4, 1)], 6),
        ({"gpus_per_trial": 0.3333, "cpus_per_trial": 2}, [Node(4, 1)], 3),
    ],
)
def test_how_many_trials_have_room(share, nodes, room):
    assert OnRay(**share).room(nodes) == room


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ({"cpus_per_trial": 5}, "no node .* has room for a trial with 5 CPU .*2 CPU, 0 GPU; 4 CPU"),
        ({"gpus_per_trial": 0.5}, "has room for a trial with 1 CPU and 0.5 GPU"),
        ({"cpus_per_trial": 0}, "--cpus-per-trial .* a number above 0"),
        ({"gpus_per_trial": 2}, "on one GPU or a share of it, not on 2"),
        ({"gpus_per_trial": -1}, "a number from 0 to 1"),
    ],
)
def test_a_trial_that_no_node_has_room_for_is_refused(share, message):
    with pytest.raises(UsageError, match=message):
        OnRay(**share).room([Node(4, 0), Node(2, 0)])


@pytest.mark.soak  # a node that comes or goes beside other work takes its time
def test_trials_that_share_a_gpu_are_one_task(ray_cluster, tmp_path):
    node = ray_cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=100 << 20)
    started, observer = [], Observer()
    observer.trial_started = started.append
    try:
        list(on_ray(2, gpus_per_trial=0.5).run(ordinary(tmp_path), TRIALS, observer))
    finally:
        ray_cluster.remove_node(node)
    assert started == [trial for fleet in fleets(TRIALS, 2) for trial in fleet]


@pytest.fixture(scope="module")
def started():
    """The environment of commands for a Ray that `ray start --head` has started, and its port.

    It is ended by the processes that have its token; `ray stop` would end those of others, too.
    """
    pytest.importorskip("ray")
    token = secrets.token_hex(32)
    with TemporaryDirectory(prefix="normscope-") as folder, socket.socket() as free:
        environment = {**os.environ, "RAY_AUTH_TOKEN": token, "RAY_TMPDIR": folder}
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        # As docs/cluster.md says, but for the memory and for ports that others may have.
        start = f"--head --port={port} --include-dashboard=false --disable-usage-stats --num-cpus=1"
        small = ["--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"]
        try:
            subprocess.run(
                [Path(sys.executable).with_name("ray"), "start", *start.split(), *small],
                env=environment, check=True, capture_output=True,
            )  # fmt: skip
            yield environment, port
        finally:
            for process in left_over(token):
                process.kill()
            until(lambda: not left_over(token))


def test_a_ray_that_a_user_has_started_is_joined_and_left_running(
    started, process, environment, tmp_path
):
    of_ray, port = started
    environment |= {name: of_ray[name] for name in ("RAY_AUTH_TOKEN", "RAY_TMPDIR")}
    first = process(*LOCAL, "--epochs", "1", "--address", "auto", "--out", "e")
    assert first.returncode == 0, first.stderr
    assert "1 at a time on ray (1 node, 1 CPU), " in first.stdout
    assert first.stderr == ""
    again = process(*LOCAL, "--epochs", "1", "--address", f"127.0.0.1:{port}", "--out", "e")
    assert again.returncode == 0, again.stderr
    assert "0 trials to run, 1 stored" in again.stdout
    assert again.stderr == ""


@pytest.mark.soak  # Ray asks for half a minute
def test_with_another_token_a_user_is_told_so_in_a_line(started, process, environment):
    _, port = started
    environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    done = process(*LOCAL, "--epochs", "1", "--address", f"127.0.0.1:{port}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"joined at 127.0.0.1:{port} " in done.stderr
    assert "token is missing or incorrect" in done.stderr


def test_why_a_cluster_cannot_be_joined_is_part_of_the_error(monkeypatch, capfd):
    """As Ray tells it: the reason with a date, straight to standard error, and then an error."""
    ray = pytest.importorskip("ray")

    def refused(address, **options):
        os.write(2, b"[2026-11-30 16:07:08 W 1 1] gcs_client.cc:210: No.\n" * 2)
        raise ConnectionError("Failed\nto connect")

    monkeypatch.setattr(ray, "init", refused)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match=r"\(Failed to connect: gcs_client.cc:210: No.\); start"):
        nodes_of("auto", Node(1, 0))
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied", "/tmp/ray"), r"\[Errno 13\] .*: '/tmp/ray'"),
        (Exception("Timed out.\n" + "A line of a log.\n" * 99), r"Timed out. A line [^\n]{,280}"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_ray_that_does_not_start_is_told_in_a_line(error, reason, monkeypatch):
    ray = pytest.importorskip("ray")

    def failing(address, **options):
        assert address == "local"
        raise error

    monkeypatch.setattr(ray, "init", failing)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    message = rf"^Ray could not be started on this machine \({reason}\); .*--executor processes"
    with pytest.raises(RunError, match=message), connected(None):
        raise AssertionError("connected")


def test_a_folder_that_ray_cannot_write_to_is_told_in_a_line(process, environment, tmp_path):
    pytest.importorskip("ray")
    (tmp_path / "file").touch()
    environment["RAY_TMPDIR"] = str(tmp_path / "file")
    done = process(*LOCAL, "--epochs", "1")
    assert done.returncode == 3
    assert done.stderr.startswith("normscope: Ray could not be started on this machine ([Errno")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "no Ray cluster could be joined at 127.0.0.1:9 .*`ray start --head`"),
        ("nowhere", "'nowhere' is no address of a Ray cluster; write auto, or HOST:PORT"),
        ("ray://10.0.0.1:10001", "no Ray cluster could be joined|is no address"),
    ],
)
def test_where_no_cluster_is_a_user_is_told_so(address, message, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match=message):
        nodes_of(address, Node(1, 0))


def test_without_ray_a_user_is_told_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=re.escape('pip install "normscope[ray]"')):
        nodes_of(None, Node(1, 0))
