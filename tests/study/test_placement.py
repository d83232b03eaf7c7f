"""Who runs where, with what share of the machine."""

from dataclasses import replace

import pytest
import torch
from report_fakes import make_experiment, make_labels, make_result
from torch import nn

from normscope.errors import UsageError
from normscope.executors.ray import Node, OnRay
from normscope.experiment import ProbePlan
from normscope.experiment.plan import plan
from normscope.observers import Observer
from normscope.study import placement
from normscope.study.placement import Machine, place
from normscope.training.forward import Planned
from normscope.training.lanes import target
from normscope.training.trial import lost_trial

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
TRIALS = plan(make_experiment(norms=("bn", "gn"), seeds=3))


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(placement, "available_cores", lambda: 8)


@pytest.mark.parametrize(
    ("machine", "executor", "at_once", "threads"),
    [
        (Machine(CPU, None), "processes", 6, 1),  # no more than there are trials
        (Machine(CPU, 2), "processes", 2, 4),
        (Machine(CPU, 1), "inline", 1, 1),
        (Machine(CUDA, None), "fleet", 3, 8),
    ],
)
def test_each_machine_has_its_executor_and_its_share(machine, executor, at_once, threads):
    placed = place(TRIALS, TRIALS, machine)
    assert (machine.executor, placed.at_once, placed.threads) == (executor, at_once, threads)
    assert placed.words.startswith(f"{at_once} at a time on {machine.device.type}, fp32")


@pytest.mark.parametrize(
    ("device", "executor", "words"),
    [
        ("cpu", "inline", "1 at a time on cpu, fp32, threads: "),
        ("cpu", "processes", "6 at a time on cpu, fp32, threads: 1 each, "),
        ("cpu", "fleet", "3 at a time on cpu, fp32, as one network"),
    ],
)
def test_another_executor_is_chosen_by_its_name(device, executor, words):
    placed = place(TRIALS, TRIALS, Machine.chosen(device, None, executor))
    assert placed.words.startswith(words)


@pytest.mark.parametrize(
    ("kernels", "words"),
    [
        ({"bn": "lanes", "gn": "lanes"}, "samples in lanes"),
        ({"bn": "numba", "gn": "numba"}, "norms by numba"),
        ({"bn": "lanes", "lrn": "numba", "gn": "lanes"},
         "norms by numba; bn, gn with samples in lanes"),
        ({"bn": "torch"}, "norms by torch"),
    ],
)  # fmt: skip
def test_what_computes_the_networks_is_told(kernels, words):
    placed = place(TRIALS, TRIALS, replace(Machine(CPU, None), kernels=kernels))
    assert placed.words.endswith(f", {words}")


@pytest.mark.parametrize(
    ("asked_for", "words"),
    [("numba", "norms by numba"), ("torch", "norms by torch"),
     ("", "samples in lanes where that is faster")],
)  # fmt: skip
def test_what_may_compute_them_is_told_where_no_more_is_known(monkeypatch, asked_for, words):
    if not asked_for and target() is None:
        pytest.skip("no vectors that lanes are for")
    monkeypatch.setenv("NORMSCOPE_KERNELS", asked_for)
    assert place(TRIALS, TRIALS, Machine(CPU, None)).words.endswith(f", {words}")


def test_a_machine_plans_for_each_network(monkeypatch):
    monkeypatch.setenv("NORMSCOPE_KERNELS", "numba")
    networks = {"bn": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))}
    known = Machine(CPU, None).knowing(networks, "fp32", (32, 32, 3))
    assert (known.kernels, known.compiles) == ({"bn": "numba"}, False)
    fleet = Machine(CPU, None, "fleet")
    assert fleet.knowing(networks, "fp32", (32, 32, 3)) is fleet


def test_compiling_is_foreseen_on_this_machine_alone(monkeypatch):
    monkeypatch.setattr(placement, "plan_kernels", lambda *_: Planned("lanes", compiles=True))
    for executor, compiles in (("processes", True), ("inline", True), ("ray", False)):
        known = Machine(CPU, None, executor).knowing({"bn": nn.ReLU()}, "fp32", (32, 32, 3))
        assert known.compiles == compiles


NODES = (Node(4, 0), Node(2, 2))


@pytest.mark.parametrize(
    ("on_ray", "workers", "networks", "words"),
    [
        (OnRay(), None, 6,
         "6 at a time on ray (2 nodes, 6 CPUs), fp32, threads: 1 each, "),
        (OnRay(), 2, 2,
         "2 at a time on ray (2 nodes, 6 CPUs), fp32, threads: 1 each, "),
        (OnRay(cpus_per_trial=2), None, 3,
         "3 at a time on ray (2 nodes, 6 CPUs), fp32, threads: 2 each, "),
        (OnRay(gpus_per_trial=1), None, 2,
         "2 at a time on ray (2 nodes, 6 CPUs, 2 GPUs), fp32, each on a GPU"),
        (OnRay(gpus_per_trial=0.5), None, 2,
         "4 at a time on ray (2 nodes, 6 CPUs, 2 GPUs), fp32, 2 as one network"),
    ],
)  # fmt: skip
def test_on_ray_the_cluster_and_what_a_trial_takes_of_it_say_how(on_ray, workers, networks, words):
    device = CUDA if on_ray.gpus_per_trial else CPU
    placed = place(TRIALS, TRIALS, Machine(device, workers, "ray", on_ray, NODES))
    assert placed.words.startswith(words)
    assert placed.networks_at_once == networks
    assert placed.threads == on_ray.threads


@pytest.mark.parametrize(
    ("device", "workers", "executor", "message"),
    [
        ("cpu", None, "rey", "unknown executor 'rey'; known: inline, processes, fleet, ray; did"),
        ("cpu", 2, "inline", "inline runs one trial at a time, not 2; leave out --workers"),
        ("cuda", None, OnRay(), "on Ray a trial has the GPU that it reserves"),
        ("cpu", None, OnRay(gpus_per_trial=0.5), "leave out --device cpu"),
        ("cpu", None, OnRay(cpus_per_trial=9), "no node of the Ray cluster has room for a trial"),
    ],
)
def test_what_does_not_go_together_is_refused(device, workers, executor, message, monkeypatch):
    nodes = [Node(8, 1)]
    monkeypatch.setattr(placement, "nodes_of", lambda address, here: nodes)
    with pytest.raises(UsageError, match=message):
        Machine.chosen(device, workers, executor)


def test_processes_do_not_share_a_gpu(monkeypatch):
    monkeypatch.setattr(placement, "choose_device", lambda name: CUDA)
    with pytest.raises(UsageError, match="processes share the cores of a CPU, not a GPU"):
        Machine.chosen("auto", None, "processes")


def test_a_trial_that_is_lost_with_a_gpu_of_another_machine_says_so():
    assert lost_trial(CUDA, TRIALS[0], "gone", []).environment.device.lower() != "cpu"
    assert Machine(CUDA, None).here.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_threads_depend_on_the_whole_experiment_and_not_on_what_is_left():
    machine = Machine(CPU, None)
    assert place(TRIALS, TRIALS[:1], machine).threads == place(TRIALS, TRIALS, machine).threads


def test_one_core_runs_one_trial_however_many_are_asked_for(monkeypatch):
    monkeypatch.setattr(placement, "available_cores", lambda: 1)
    placed = place(TRIALS, TRIALS, Machine(CPU, 2))
    assert (placed.machine.executor, placed.at_once, placed.threads) == ("inline", 1, 1)


def test_in_this_process_a_container_limits_the_threads_of_torch(monkeypatch):
    """A quota of two cores on a large host: torch counts the host's."""
    monkeypatch.setattr(placement, "available_cores", lambda: 2)
    before, seen = torch.get_num_threads(), []

    def work(trials, *, on_epoch, dataset, device, probes, keeping):
        seen.append(torch.get_num_threads())
        return [make_result(make_experiment(), trial, make_labels(20)) for trial in trials]

    monkeypatch.setattr(placement, "run_fleet", work)
    torch.set_num_threads(3)
    try:
        placed = place(TRIALS[:1], TRIALS[:1], Machine(CPU, 1))
        results = list(placed.run(TRIALS[:1], None, Observer(), ProbePlan()))
        assert torch.get_num_threads() == 3  # as it was
    finally:
        torch.set_num_threads(before)
    assert "threads: 2," in placed.words
    assert (seen, len(results)) == ([2], 1)
