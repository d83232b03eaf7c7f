"""The notebook runs from top to bottom, and is kept without outputs."""

import os
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "compare_norms.ipynb"

# The least work that still trains every norm: one seed, a few steps an epoch.
LESS_WORK = {
    "SEEDS = 2  #": "SEEDS = 1  #",
    "TRAIN_LIMIT = None  #": "TRAIN_LIMIT = 256  #",
}


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook, kind):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output for output in outputs if output.output_type == kind]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run on less work, in a folder of its own, and that folder."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = read()
    first = code_cells(notebook)[0]
    assert 'DATASET = "shapes"' in first.source
    for usual, less in LESS_WORK.items():
        assert first.source.count(usual) == 1, usual
        first.source = first.source.replace(usual, less)
    client = nbclient.NotebookClient(
        notebook,
        timeout=900,  # seconds per cell
        kernel_name="python3",
        allow_errors=True,  # so that a test can show the error
        resources={"metadata": {"path": str(folder)}},
    )
    # One thread: with more, a busy core makes every step wait, and the work is small anyway.
    return client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"}), folder


def test_no_cell_fails(executed):
    notebook, _ = executed
    assert ["\n".join(error.traceback) for error in outputs_of(notebook, "error")] == []
    assert all(cell.execution_count for cell in code_cells(notebook))


def test_no_cell_warns(executed):
    notebook, _ = executed
    texts = [s.text for s in outputs_of(notebook, "stream") if s.name == "stderr"]
    assert texts == []


def test_it_shows_a_table_with_every_norm(executed):
    notebook, _ = executed
    (table,) = [
        output.data["text/plain"]
        for output in outputs_of(notebook, "execute_result")
        if "test_accuracy_percent_mean" in output.data.get("text/plain", "")
    ]
    assert table.splitlines()[0].split() == ["norm", "bn", "gn", "ln"]
    (finished,) = [row.split() for row in table.splitlines() if row.startswith("finished ")]
    assert finished == ["finished", "1", "1", "1"]


def test_it_shows_samples_curves_and_mistakes(executed):
    notebook, _ = executed
    images = [o for o in outputs_of(notebook, "display_data") if "image/png" in o.data]
    assert len(images) >= 3


def test_it_leaves_a_report(executed):
    _, folder = executed
    (page,) = folder.glob("runs/*/report.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_it_is_kept_without_outputs():
    for cell in code_cells(read()):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_it_starts_on_the_embedded_data_with_all_of_it():
    first = code_cells(read())[0].source
    assert all(usual in first for usual in LESS_WORK)
