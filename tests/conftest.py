"""What several test modules share: a small data set, and the real one where a user keeps it."""

import os
import secrets

# Networks this small gain nothing from a second thread, and lose much beside another job. It must
# be said before torch is imported, and holds for the commands that the tests start as well.
os.environ["OMP_NUM_THREADS"] = "1"

# Likewise, before Ray is imported: no test's cluster takes tasks from anybody else on the network.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

import subprocess
import sys

import pytest

from normscope.cli import main
from normscope.data import DATASETS, find, load_dataset
from normscope.models import MODELS
from normscope.report import PAGE
from normscope.study.own_images import OPENED
from normscope.training import device


@pytest.fixture(scope="session", autouse=True)
def on_the_cpu():
    """Without another word `compare` runs on the CPU, whose results and order the tests know."""
    choose = device.choose_device
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "choose_device", lambda n: choose("cpu" if n == "auto" else n))
        yield


@pytest.fixture(scope="session")
def shapes():
    """The first 256 training and 100 test images of the embedded data set."""
    return load_dataset("shapes", train_limit=256, test_limit=100)


@pytest.fixture(scope="session")
def cifar10():
    """The real CIFAR-10; the test is skipped where it is not found."""
    if find("cifar10") is None:
        pytest.skip("CIFAR-10 is not on this machine: set NORMSCOPE_DATA to the folder that has it")
    return load_dataset("cifar10")


@pytest.fixture(autouse=True)
def tables_put_back():
    """What a test puts into the tables, such as images of a user's own, is gone after it."""
    before = [(table, dict(table)) for table in (DATASETS, MODELS, OPENED)]
    yield
    for table, entries in before:
        table.clear()
        table.update(entries)


@pytest.fixture
def undrawn(monkeypatch):
    """For tests of what is trained and said: they do not wait for a report to be drawn."""
    write = "normscope.study.comparison.write_report"
    monkeypatch.setattr(write, lambda analysis, pictures, out, how_far: out / PAGE)


@pytest.fixture
def environment(tmp_path):
    """No data set but the embedded one, and no network: a proxy that refuses every connection."""
    (tmp_path / "cache").mkdir()
    kept = {
        k: v for k, v in os.environ.items() if k not in ("NORMSCOPE_DATA", "no_proxy", "NO_PROXY")
    }
    refused = "http://127.0.0.1:9"
    return {
        **kept,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "http_proxy": refused,
        "https_proxy": refused,
        "COLUMNS": "80",
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.fixture
def process(tmp_path, environment):
    """Runs the command as a user does: in a process and a folder of its own, in `environment`."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "normscope", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def normscope(tmp_path, environment, monkeypatch, capsys):
    """Runs the same command in this process, which spares it the seconds that imports take.

    What only a process of its own shows, such as its streams and signals, is for `process`.
    """

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name in set(os.environ) - set(environment):
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["normscope", *words])
            with pytest.raises(SystemExit) as end:
                main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(words, end.value.code or 0, out, err)

    return run
