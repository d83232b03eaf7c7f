"""What processes add to the contract: they can be lost, are left, and have threads of their own."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from executor_work import (
    TRIALS,
    beating,
    made_result,
    noting_its_score,
    ordinary,
    stopped_late,
    troubled,
)

from normscope.executors.processes import Processes
from normscope.observers import Observer


def lost(trial, reason, history):
    return made_result(trial, "failed", history, reason)


def processes(at_once, threads=1):
    return Processes(at_once=at_once, threads=threads, when_lost=lost)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers find the work where the tests are."""
    here = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))


def test_trials_start_in_their_order(tmp_path):
    started = []
    observer = Observer()
    observer.trial_started = started.append
    list(processes(2).run(ordinary(tmp_path), TRIALS, observer))
    assert started == TRIALS


def test_processes_are_reused_and_know_their_threads(tmp_path):
    list(processes(2, threads=3).run(ordinary(tmp_path), TRIALS, Observer()))
    noted = {tuple((tmp_path / trial.id).read_text().split()) for trial in TRIALS}
    assert len({process for process, _, _ in noted}) == 2
    assert str(os.getpid()) not in {process for process, _, _ in noted}
    assert {threads for _, threads, _ in noted} == {"3"}


def test_workers_are_told_to_keep_their_memory(tmp_path):
    list(processes(1).run(ordinary(tmp_path), TRIALS[:1], Observer()))
    assert "glibc.malloc.trim_threshold=" in (tmp_path / TRIALS[0].id).read_text()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "ZeroDivisionError: by 0"),
        (
            "is killed",
            r"worker process ended with signal 9 \(SIGKILL; if memory ran out, fewer --workers "
            r"need less\), 3 times in a row",
        ),
        ("leaves", "worker process ended with code 7, 3 times in a row"),
        ("answers what cannot be sent", "cannot pickle|Can't pickle"),
        ("answers what cannot be read", "could not be read"),
    ],
)
def test_a_lost_trial_is_told_and_the_others_are_run(how, reason, tmp_path):
    work, retried = partial(troubled, notes=tmp_path, how=how), []
    observer = Observer()
    observer.trial_retried = lambda trial, reason: retried.append((trial, reason))
    outcomes = list(processes(2).run(work, TRIALS, observer))
    (told,) = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert (told.trial.norm, told.trial.seed) == ("gn", 0)
    assert re.search(reason, told.error)
    assert len(told.history) == 1  # the epoch it had told of
    assert len(outcomes) == len(TRIALS)
    others = [trial for trial in TRIALS if trial != told.trial]
    ended = "ended" in told.error
    assert [trial for trial, _ in retried] == [told.trial] * 2 * ended
    assert all(told.error.startswith(reason) for _, reason in retried)
    processes_used = {(tmp_path / trial.id).read_text().split()[0] for trial in others}
    assert len(processes_used) <= (5 if ended else 3)


def test_a_worker_imports_what_its_parent_imports(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise RuntimeError('not this one')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (notes := tmp_path / "notes").mkdir()
    results = list(processes(1).run(ordinary(notes), TRIALS[:1], Observer()))
    assert [result.trial for result in results] == TRIALS[:1]


# -- nothing is left behind ------------------------------------------------------------------------


def gone(process: int) -> bool:
    """Whether a process has ended, or soon does."""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_closing_the_results_ends_the_processes(tmp_path):
    class Impatient(Observer):
        def epoch_ended(self, trial, record):
            raise KeyboardInterrupt

    results = processes(2).run(partial(beating, notes=tmp_path), TRIALS, Impatient())
    with pytest.raises(KeyboardInterrupt), closing(results):
        next(results)
    noted = [int((tmp_path / t.id).read_text()) for t in TRIALS if (tmp_path / t.id).exists()]
    assert noted
    assert all(gone(process) for process in noted)


def test_those_at_work_may_keep_what_they_have(tmp_path):
    """They are asked to stop, and given the time for it."""

    class Impatient(Observer):
        def epoch_ended(self, trial, record):
            raise KeyboardInterrupt

    results = processes(2).run(partial(stopped_late, notes=tmp_path), TRIALS[:1], Impatient())
    with pytest.raises(KeyboardInterrupt), closing(results):
        next(results)
    assert (tmp_path / "kept").read_text() == str(int(signal.SIGTERM))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is told whom to end first")
def test_where_memory_runs_out_a_worker_is_ended_before_its_parent(tmp_path):
    results = processes(1).run(noting_its_score, TRIALS[:1], Observer())
    (outcome,) = results
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(outcome.error) == 500 > own


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """In the middle of a trial: nothing that it still had to say would tell it."""
    code = (
        "import sys\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from executor_work import TRIALS, beating\n"
        "from normscope.executors.processes import Processes\n"
        "from normscope.observers import Observer\n"
        "executor = Processes(at_once=1, threads=1, when_lost=None)\n"
        "list(executor.run(partial(beating, notes=Path(sys.argv[1])), TRIALS, Observer()))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    heart = tmp_path / "heart"
    deadline = time.monotonic() + 60
    while not heart.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    worker = int((tmp_path / TRIALS[0].id).read_text())
    assert worker != parent.pid
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(worker)


# -- threads and cores -----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="threads and cores are counted in /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_workers_compute_with_the_threads_they_were_given(threads, tmp_path):
    """Whatever the environment of their parent says of threads and of cores."""
    code = (
        "import sys\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "import normscope.study\n"
        "import torch\n"
        "from executor_work import TRIALS, computing\n"
        "from normscope.executors.processes import Processes\n"
        "from normscope.observers import Observer\n"
        f"executor = Processes(at_once=1, threads={threads}, when_lost=print)\n"
        "list(executor.run(partial(computing, notes=Path(sys.argv[1])), TRIALS[:1], Observer()))\n"
    )
    misleading = {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "3", "OMP_THREAD_LIMIT": "1",
                  "OMP_PROC_BIND": "true", "OMP_PLACES": "{0}"}  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", code, tmp_path], env={**os.environ, **misleading}, check=True
    )
    noted, cores = (tmp_path / TRIALS[0].id).read_text().split(" cores ")
    assert set(noted.split()) == {str(threads)}
    assert int(cores) == len(os.sched_getaffinity(0))


# -- the whole program -----------------------------------------------------------------------------


def run_script(text, folder, environment):
    (folder / "script.py").write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_a_script_without_a_main_guard_can_use_processes(tmp_path, environment):
    done = run_script(
        "import normscope\n"
        "from normscope.experiment.reading import read_experiment\n"
        "experiment = read_experiment(norms=['bn', 'gn'], seeds=1, epochs=1, train_limit=192,\n"
        "                             test_limit=50)\n"
        "comparison = normscope.compare(experiment, out='e', workers=2)\n"
        "print(comparison.table()['finished'].tolist())\n",
        tmp_path,
        environment,
    )
    assert done.stdout.splitlines()[-1] == "[1, 1]", done.stderr
    assert "2 at a time on cpu" in done.stdout


def test_a_norm_of_the_users_own_program_needs_one_worker(tmp_path, environment):
    done = run_script(
        "from torch import nn\n"
        "import normscope\n"
        "from normscope.norms import NORMS\n"
        "NORMS['mine'] = lambda channels: nn.Identity()\n"
        "normscope.compare(normscope.Experiment(norms=('bn', 'mine')), out='e', workers=2)\n",
        tmp_path,
        environment,
    )
    assert "mine is of your own program, which worker processes do not see" in done.stderr
    assert not (tmp_path / "e").exists()
