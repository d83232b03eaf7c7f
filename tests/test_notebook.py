"""The notebooks run from top to bottom, and are kept without outputs."""

import os
from pathlib import Path

import pytest
from html_parts import Parts

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

FOLDER = Path(__file__).parents[1] / "notebooks"
COMPARE, OWN = FOLDER / "compare_norms.ipynb", FOLDER / "bring_your_own_norm.ipynb"
NOTEBOOKS = (COMPARE, OWN)

# The least work that still trains every norm: one seed, a few steps.
LESS_WORK = {
    "SEEDS = 2  #": "SEEDS = 1  #",
    "EPOCHS = None  #": "EPOCHS = 2  #",
    "TRAIN_LIMIT = None  #": "TRAIN_LIMIT = 256  #",
}


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook, kind):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output for output in outputs if output.output_type == kind]


def choosing(notebook):
    """The cell with the knobs."""
    (cell,) = [cell for cell in code_cells(notebook) if "SEEDS = " in cell.source]
    return cell


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a notebook on less work, in a folder of its own; returns it, and that folder."""
    done = {}

    def run_once(path):
        if path not in done:
            folder = tmp_path_factory.mktemp(path.stem)
            done[path] = execute(read(path), folder), folder
        return done[path]

    return run_once


def execute(notebook, folder):
    knobs = choosing(notebook)
    for usual, less in LESS_WORK.items():
        assert knobs.source.count(usual) == 1, usual
        knobs.source = knobs.source.replace(usual, less)
    client = nbclient.NotebookClient(
        notebook,
        timeout=900,  # seconds per cell
        kernel_name="python3",
        allow_errors=True,  # so that a test can show the error
        resources={"metadata": {"path": str(folder)}},
    )
    # One thread: with more, a busy core makes every step wait, and the work is small anyway.
    return client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_fails_or_warns(path, run):
    notebook, _ = run(path)
    assert ["\n".join(error.traceback) for error in outputs_of(notebook, "error")] == []
    assert all(cell.execution_count for cell in code_cells(notebook))
    texts = [s.text for s in outputs_of(notebook, "stream") if s.name == "stderr"]
    assert texts == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_training_shows_one_display_that_ends_with_every_trial(path, run):
    notebook, _ = run(path)
    (training,) = [c for c in code_cells(notebook) if "normscope.compare(" in c.source]
    progress, result = training.outputs
    norms = {COMPARE: ("bn", "gn", "ln"), OWN: ("bn", "mad")}[path]
    lines = progress.data["text/plain"].splitlines()
    ended = [line.split(":")[0] for line in lines if " %" in line]
    assert {*ended} == {f"{norm} seed 0" for norm in norms}
    assert lines[-1].startswith(f"all  {len(norms)}/{len(norms)} trials")
    assert "progress" in Parts(progress.data["text/html"]).tags
    texts = Parts(result.data["text/html"]).texts
    assert "Verdict" in texts
    assert [text for text in texts if text in norms] == [*norms]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_shows_a_wall_of_text(path, run):
    notebook, _ = run(path)
    for output in outputs_of(notebook, "stream"):
        assert len(output.text.splitlines()) <= 20, output.text
    for kind in ("execute_result", "display_data"):
        for output in outputs_of(notebook, kind):
            assert len(output.data["text/plain"].splitlines()) <= 20


def test_comparing_shows_samples_curves_differences_and_mistakes(run):
    notebook, _ = run(COMPARE)
    kinds = ("display_data", "execute_result")
    images = [o for kind in kinds for o in outputs_of(notebook, kind) if "image/png" in o.data]
    assert len(images) == 4


def test_a_norm_of_a_notebook_holds_the_contract_and_is_judged(run):
    notebook, _ = run(OWN)
    checked, verdict = (stream.text for stream in outputs_of(notebook, "stream"))
    assert "WRONG" not in checked
    assert checked.count("ok  ") >= 10
    assert "mad against bn" in verdict


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_leaves_a_report(path, run):
    _, folder = run(path)
    (page,) = folder.glob("runs/*/report.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs_and_with_all_of_the_data(path):
    notebook = read(path)
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
    assert all(usual in choosing(notebook).source for usual in LESS_WORK)


def test_every_notebook_is_run():
    assert {*FOLDER.glob("*.ipynb")} == {*NOTEBOOKS}
