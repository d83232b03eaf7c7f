"""A command that is told to stop: by Ctrl-C and its like, or without being asked."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from normscope import stopping
from normscope.cli.interrupt import exit_code, signals_heard
from normscope.stopping import Stopped

COMMAND = [sys.executable, "-m", "normscope", "compare", "--norms", "bn,gn", "--seeds", "60",
           "--epochs", "1", "--train-limit", "192", "--test-limit", "50", "--out", "e"]  # fmt: skip
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_raised_and_noticed(number):
    before = signal.getsignal(number)
    try:
        signal.signal(number, signal.SIG_DFL)
        with signals_heard():
            stopping.answer()
            with pytest.raises(Stopped) as stop:
                os.kill(os.getpid(), number)
            assert exit_code(stop.value) == 128 + number
            with pytest.raises(Stopped) as stop:
                stopping.answer()
            assert exit_code(stop.value) == 128 + number
        stopping.answer()  # and nothing is left of it
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_nohup_ignores_stays_ignored():
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with signals_heard():
            os.kill(os.getpid(), signal.SIGHUP)
            stopping.answer()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_is_said_after_the_terminal_is_gone_goes_nowhere():
    """Writing to a terminal that was closed would raise, and hide why the command ends."""
    pty = pytest.importorskip("pty")
    code = (
        "import sys, time\n"
        "from normscope.cli.interrupt import exit_code, signals_heard\n"
        "from normscope.stopping import Stopped\n"
        "try:\n"
        "    with signals_heard():\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "except Stopped as stop:\n"
        "    print('said', flush=True)\n"
        "    print('said', file=sys.stderr)\n"
        "    sys.exit(exit_code(stop))\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-c", code])
    assert os.read(terminal, 5) == b"ready"
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP


def run_heard(text, *numbers):
    """The exit code and the standard error of a program that gets signals as soon as it is ready.

    `text` runs within `signals_heard`, with a deadline of half a second.
    """
    code = (
        "import hashlib, sys, time\n"
        "from normscope import stopping\n"
        "from normscope.cli import interrupt\n"
        "interrupt.DEADLINE_S = 0.5\n"
        "try:\n"
        "    with interrupt.signals_heard():\n"
        f"        {text}\n"
        "except KeyboardInterrupt as stop:\n"
        "    print('left in good order', file=sys.stderr)\n"
        "    sys.exit(interrupt.exit_code(stop))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # under nohup as well
    )
    assert process.stdout is not None  # it is a pipe
    assert process.stdout.readline() == "ready\n"
    for number in numbers:
        time.sleep(0.3)  # until it is in the midst of what comes after that word
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "busy",
    [
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 2 * 10**9)",  # hours, in C
        "stopping.answer = print; [time.sleep(1) for _ in iter(int, 1)]",
    ],
    ids=["in a library that does not return", "deaf to requests"],
)
def test_a_command_that_does_not_end_is_ended(number, busy):
    """With the code of its signal, and a word."""
    text = f"print('ready', flush=True); {busy}"
    assert run_heard(text, number) == (128 + number, "\nStopped.\n")


def test_a_command_that_ends_in_time_is_left_alone():
    text = "print('ready', flush=True); time.sleep(60)"
    assert run_heard(text, signal.SIGTERM) == (143, "left in good order\n")


POSTPONED = "it = stopping.postponed(); it.__enter__(); print('ready', flush=True); time.sleep(60)"


def test_a_training_is_not_left_in_a_step():
    assert run_heard(POSTPONED, signal.SIGTERM) == (143, "\nStopped.\n")


def test_but_at_a_second_signal():
    assert run_heard(POSTPONED, signal.SIGINT, signal.SIGINT) == (130, "left in good order\n")


def children(parent):
    """The processes that a process started, and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def gone(process):
    """Whether a process has ended, or soon does."""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
@pytest.mark.parametrize(
    ("number", "every", "others"),
    [
        (signal.SIGTERM, "1m", "so is the state of those in training"),
        (signal.SIGHUP, "0s", "those in training are lost and begin anew"),
        (signal.SIGKILL, "1m", ""),
    ],
)
def test_workers_end_with_their_command(number, every, others, tmp_path, environment):
    process = subprocess.Popen(
        [*COMMAND, "--workers", "2", "--checkpoint-every", every],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # under nohup as well
    )
    records = tmp_path / "e" / "trials"
    deadline = time.monotonic() + 300
    while len(list(records.glob("[!.]*/record.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = children(process.pid)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert len(workers) == 2
    assert all(gone(worker) for worker in workers)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        ended = len(list(records.glob("[!.]*/record.json")))
        assert f"Stopped. Kept in e: {ended} trials that ended; {others}.\n" in stderr
        assert "Traceback" not in stderr, stderr
