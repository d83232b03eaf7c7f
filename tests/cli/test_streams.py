"""A shell may close the standard streams of a command."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = shlex.join([
    sys.executable, "-m", "normscope", "compare", "--dataset", "shapes", "--norms", "bn,gn",
    "--seeds", "1", "--epochs", "1", "--train-limit", "128", "--test-limit", "50", "--out", "e",
])  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_costs_no_trial(closed, tmp_path, environment):
    done = subprocess.run(
        f"{COMMAND} --workers 2 {closed}", shell=True, cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert ("Report: e/report.html" in done.stdout) == (closed == "2>&-")
    records = list((tmp_path / "e" / "trials").glob("*/record.json"))
    assert [json.loads(record.read_text())["status"] for record in records] == ["finished"] * 2


def test_progress_is_not_mixed_into_json_where_standard_error_is_closed(tmp_path, environment):
    done = subprocess.run(
        f"{COMMAND} --workers 1 --json 2>&-", shell=True, cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [norm["norm"] for norm in json.loads(done.stdout)["norms"]] == ["bn", "gn"]


def test_a_terminal_without_a_minus_sign_gets_a_hyphen(tmp_path, environment):
    """A number must not change its meaning, nor a verdict stop the command."""
    environment["PYTHONIOENCODING"] = "ascii"
    script = (
        "from normscope.cli.streams import prepare_streams\n"
        "prepare_streams()\n"
        "print('−1.45 ± 0.5 µs → –, é')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("-1.45 +- 0.5 us -> -, ?\n", "")


FULL = Path("/dev/full")  # a file on a disk that is always full


@pytest.mark.skipif(not FULL.exists(), reason="there is no full disk at hand")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["norms", "--help"])
def test_output_that_the_disk_does_not_take_is_named(command, unbuffered, tmp_path, environment):
    """Once, also if it is so short that it is only written when the command ends."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "normscope", command], cwd=tmp_path,
            env={**environment, "PYTHONUNBUFFERED": unbuffered}, stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        3,
        "normscope: cannot write standard output (No space left on device); make room, or send it "
        "elsewhere\n",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_a_terminal_is_told_at_once_that_something_happens(tmp_path, environment):
    """And nothing else is: logs do not need it."""
    command = [sys.executable, "-m", "normscope", "compare", "--norms", "nonsense"]
    ours, its = os.openpty()
    settings = {"cwd": tmp_path, "env": environment, "stderr": subprocess.DEVNULL}
    assert subprocess.run(command, stdout=its, check=False, **settings).returncode == 2
    os.close(its)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        assert terminal.read(1000) == b"Starting: loading torch takes a few seconds.\r\n"
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, **settings)
    assert done.stdout == b""
