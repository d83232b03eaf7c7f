"""`kill -9` at any moment costs no trial that ended, and changes nothing of what comes out."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from disturbed import COMPARE, check_kept, check_whole, outcome
from warm import PHASES, STARTING

MOMENTS = (STARTING, *PHASES)


@pytest.mark.parametrize("kills", [50, pytest.param(500, marks=pytest.mark.soak)])
def test_a_command_that_is_killed_goes_on(warm, undisturbed, kills, tmp_path):
    """Whatever it was doing. When it comes to an end, the next one begins in another folder."""
    usual, expected = undisturbed
    drawn, hits, ends = random.Random(kills), Counter(), 0
    moments = itertools.cycle(MOMENTS)
    folder, before = tmp_path / "0", {}
    while hits.total() < kills:
        command = warm.start(*COMPARE, "--workers", "1", "--out", folder)
        phase = next(moments)
        if command.reaches(phase, visit=drawn.choice((1, 1, 2))):
            time.sleep(drawn.uniform(0, usual.seconds(phase)))
        command.send(signal.SIGKILL)
        code = command.ends()
        if code == -signal.SIGKILL:
            hits[command.phase] += 1
            before = check_kept(folder, before)
        else:
            assert code == 0, command.said
            check_kept(folder, before)
            check_whole(folder, expected)
            ends += 1
            folder, before = tmp_path / str(ends), {}
    assert warm.run(*COMPARE, "--workers", "1", "--out", folder).code == 0
    check_whole(folder, expected)
    assert hits[STARTING] + hits["data"]
    assert hits["training"]
    assert hits["reporting"]


# -- commands with workers -------------------------------------------------------------------------


def two_cores():
    """Then a worker has one thread, as the command has that nothing disturbed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def started(folder, environment):
    return subprocess.Popen(
        [sys.executable, "-m", "normscope", *COMPARE, "--workers", "2", "--out", folder],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=two_cores,
    )  # fmt: skip


# What is in the folder when a command is killed, a moment after more of it has come.
RECORDS = "trials/[!.]*/record.json"
MARKS = ("experiment.json", RECORDS, RECORDS)


@pytest.mark.parametrize("times", [1, pytest.param(7, marks=pytest.mark.soak)])
def test_so_does_one_with_workers(undisturbed, times, tmp_path, environment):
    """Its workers end with it. One that has nothing left to train may end before it is killed."""
    drawn, killed = random.Random(times), 0
    for number in range(times):
        folder, before = tmp_path / str(number), {}
        for mark in MARKS:
            there, process = {*folder.glob(mark)}, started(folder, environment)
            while process.poll() is None and {*folder.glob(mark)} <= there:
                time.sleep(0.01)
            time.sleep(drawn.uniform(0, 0.3))
            process.kill()
            _, stderr = process.communicate()
            assert process.returncode in (-signal.SIGKILL, 0), stderr
            killed += process.returncode != 0
            before = check_kept(folder, before)
        process = started(folder, environment)
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
        check_kept(folder, before)
        # It measures memory, draws all figures and names other workers, which the summary says.
        summary = {"summary.md": outcome(folder)["summary.md"]}
        check_whole(folder, undisturbed[1] | summary)
    assert killed >= 2 * times
