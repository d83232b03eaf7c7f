"""Who runs where, with what share of the machine."""

import pytest
import torch
from report_fakes import make_experiment, make_labels, make_result

from normscope.experiment import ProbePlan
from normscope.experiment.plan import plan
from normscope.observers import Observer
from normscope.study import placement
from normscope.study.placement import Machine, place

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
        (Machine(CUDA, None), "fleets", 3, 8),
    ],
)
def test_each_machine_has_its_executor_and_its_share(machine, executor, at_once, threads):
    placed = place(TRIALS, TRIALS, machine)
    assert (machine.executor, placed.at_once, placed.threads) == (executor, at_once, threads)
    assert placed.words.startswith(f"{at_once} at a time on {machine.device.type}, fp32")


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
