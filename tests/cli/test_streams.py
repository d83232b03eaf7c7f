"""A shell may close the standard streams of a command."""

import json
import shlex
import subprocess
import sys

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
