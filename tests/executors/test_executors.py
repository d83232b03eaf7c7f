"""One contract for every executor, and what processes add: they can be lost, and left."""

import os
import re
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from executor_work import TRIALS, allocator, endless, ordinary, troubled

from normscope.executors.inline import Inline
from normscope.executors.processes import Processes
from normscope.observers import PlainLines


def lost(trial, reason, history):
    return trial, reason, len(history)


EXECUTORS = {
    "inline": Inline,
    "one process": lambda: Processes(1, 1, lost),
    "two processes": lambda: Processes(2, 3, lost),
    "more processes than trials": lambda: Processes(9, 1, lost),
}


class Watcher(PlainLines):
    def __init__(self):
        super().__init__()
        self.seen = []

    def trial_started(self, trial):
        self.seen.append((trial.id, 0))

    def epoch_ended(self, trial, record):
        self.seen.append((trial.id, record.epoch))


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers find the work where the tests are."""
    here = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))


@pytest.fixture(params=EXECUTORS)
def executor(request):
    return EXECUTORS[request.param]()


def test_every_trial_is_run_once_and_told_of(executor, tmp_path):
    watcher = Watcher()
    results = list(executor.run(ordinary(tmp_path), TRIALS, watcher))
    assert sorted(r.trial.id for r in results) == sorted(t.id for t in TRIALS)
    assert all(r.predictions is not None for r in results)
    for trial in TRIALS:
        assert [epoch for name, epoch in watcher.seen if name == trial.id] == [0, 1, 2]
    started = [name for name, epoch in watcher.seen if epoch == 0]
    assert started == [trial.id for trial in TRIALS]


def test_nothing_to_do(executor, tmp_path):
    assert list(executor.run(ordinary(tmp_path), [], Watcher())) == []


def test_processes_are_reused_and_know_their_threads(tmp_path):
    list(Processes(2, 3, lost).run(ordinary(tmp_path), TRIALS, Watcher()))
    notes = [(tmp_path / trial.id).read_text().split() for trial in TRIALS]
    assert len({process for process, _ in notes}) == 2
    assert str(os.getpid()) not in {process for process, _ in notes}
    assert {threads for _, threads in notes} == {"3"}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "ZeroDivisionError: by 0"),
        ("is killed", "ended with signal 9"),
        ("answers what cannot be sent", "cannot pickle|Can't pickle"),
        ("answers what cannot be read", "could not be read"),
    ],
)
def test_a_lost_trial_is_told_and_the_others_are_run(how, reason, tmp_path):
    work = partial(troubled, notes=tmp_path, how=how)
    outcomes = list(Processes(2, 1, lost).run(work, TRIALS, Watcher()))
    (told,) = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    assert (told[0].norm, told[0].seed) == ("gn", 0)
    assert re.search(reason, told[1])
    assert told[2] == 1  # the epoch it had told of
    assert len(outcomes) == len(TRIALS)
    processes = {(tmp_path / t.id).read_text().split()[0] for t in TRIALS if t is not told[0]}
    assert len(processes) <= 3


def test_a_worker_imports_what_its_parent_imports(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise RuntimeError('not this one')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (notes := tmp_path / "notes").mkdir()
    results = list(Processes(1, 1, lost).run(ordinary(notes), TRIALS[:1], Watcher()))
    assert [result.trial for result in results] == TRIALS[:1]


def gone(process: int) -> bool:
    """Whether a process has ended, or soon does."""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_closing_the_results_stops_the_processes(tmp_path):
    class Impatient(Watcher):
        def epoch_ended(self, trial, record):
            raise KeyboardInterrupt

    results = Processes(2, 1, lost).run(partial(endless, notes=tmp_path), TRIALS, Impatient())
    with pytest.raises(KeyboardInterrupt), closing(results):
        next(results)
    processes = [int(note.read_text()) for note in tmp_path.iterdir()]
    assert processes
    assert all(gone(process) for process in processes)


def test_a_script_without_a_main_guard_can_use_processes(tmp_path, environment):
    (tmp_path / "script.py").write_text(
        "import normscope\n"
        "from normscope.experiment.reading import read_experiment\n"
        "experiment = read_experiment(norms=['bn', 'gn'], seeds=1, epochs=1, train_limit=192,\n"
        "                             test_limit=50)\n"
        "comparison = normscope.compare(experiment, out='e', workers=2)\n"
        "print(comparison.table()['finished'].tolist())\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[1, 1]", done.stderr
    assert "2 at a time on cpu" in done.stdout


def test_the_cores_are_those_this_process_may_use():
    pytest.importorskip("resource")  # only Linux can hold a process to a core
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from normscope.executors.processes import available_cores; print(available_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_workers_are_told_to_keep_their_memory(tmp_path):
    (result,) = Processes(1, 1, lost).run(partial(allocator, notes=tmp_path), TRIALS[:1], Watcher())
    assert "glibc.malloc.trim_threshold=" in (tmp_path / "allocator").read_text()
    assert result.trial == TRIALS[0]


def test_a_norm_of_the_users_own_program_needs_one_worker(tmp_path, environment):
    (tmp_path / "script.py").write_text(
        "from torch import nn\n"
        "import normscope\n"
        "from normscope.norms import NORMS\n"
        "NORMS['mine'] = lambda channels: nn.Identity()\n"
        "normscope.compare(normscope.Experiment(norms=('bn', 'mine')), out='e', workers=2)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "the norm mine is of your own program; use --workers 1" in done.stderr
    assert not (tmp_path / "e").exists()
