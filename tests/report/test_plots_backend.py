"""MPLBACKEND may name a backend that is not there: figures are files and need none."""

import os
import subprocess
import sys

import pytest
from PIL import Image
from report_fakes import fitting, make_analysis, make_labels

from normscope.store import Store

BACKENDS = ["nonsense", "module://no_such"]


def python(*arguments, backend):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "MPLBACKEND": backend},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An experiment's folder with one finished trial."""
    folder = tmp_path_factory.mktemp("experiment")
    analysis = make_analysis(norms=("bn",), seeds=1, epochs=2, test_size=50)
    store = Store.create(folder, analysis.experiment, analysis.requests[0])
    store.describe(analysis.facts, make_labels(50), analysis.models.values())
    store.add(fitting(analysis.results[0], make_labels(50)))
    return folder


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_report_is_written_whatever_the_backend(folder, tmp_path, backend):
    command = ("-m", "normscope", "report", str(folder), "--out", str(tmp_path))
    done = python(*command, backend=backend)
    assert done.returncode == 0, done.stderr
    assert tmp_path.joinpath("figures", "final_accuracy.png").is_file()


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_are_shown_whatever_the_backend(tmp_path, backend):
    picture = tmp_path / "shapes.png"
    command = ("-m", "normscope", "data", "show", "shapes", "--out", str(picture))
    done = python(*command, backend=backend)
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as image:
        image.verify()


@pytest.mark.parametrize(("backend", "used"), [("svg", "svg"), ("nonsense", "agg")])
@pytest.mark.parametrize("room", ["report.plots", "data.gallery"])
def test_the_backend_of_the_user_stays(room, backend, used):
    """A valid one is what pyplot takes afterwards, and the variable is as it was."""
    code = (
        f"import os, normscope.{room}, matplotlib.pyplot\n"
        "print(os.environ['MPLBACKEND'], matplotlib.get_backend())"
    )
    done = python("-W", "error", "-c", code, backend=backend)
    assert done.stdout.split() == [backend, used], done.stderr


def test_a_backend_that_was_chosen_before_stays():
    code = (
        "import matplotlib; matplotlib.use('svg'); import normscope.report.plots\n"
        "print(matplotlib.get_backend())"
    )
    assert python("-c", code, backend="pdf").stdout.split() == ["svg"]
