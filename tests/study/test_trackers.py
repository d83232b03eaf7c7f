"""Experiments that are logged to trackers, from the command to what the trackers hold."""

import json

import pytest
import wandb
from command_line import one_line
from tracker_files import RUNS

import normscope as package
from normscope.observers import TRACKERS
from normscope.observers.tensorboard import TensorBoard
from normscope.report import PAGE, SUMMARY
from normscope.study.comparison import Comparison

# MLflow asks SQLAlchemy for what 2.1 calls deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"
)

SMALL = ["--norms", "bn,gn", "--epochs", "2", "--train-limit", "128", "--test-limit", "50",
         "--workers", "1", "--out", "e"]  # fmt: skip


@pytest.fixture(autouse=True)
def nobody_is_asked(environment, tmp_path):
    """W&B is offline, and no server answers that a user's environment names."""
    for name in [name for name in environment if name.startswith(("WANDB_", "MLFLOW_"))]:
        del environment[name]
    environment |= {
        "WANDB_MODE": "offline",
        "WANDB_DATA_DIR": str(tmp_path),
        "WANDB_CACHE_DIR": str(tmp_path),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    yield
    wandb.teardown()


@pytest.fixture(autouse=True)
def sketched(monkeypatch):
    """Reports of a line, which take no time to draw."""

    def write(analysis, pictures, out, how_far=""):
        (out / SUMMARY).write_text(f"# {analysis.recommendation}", encoding="utf-8")
        (out / PAGE).write_text(f"<h1>{analysis.recommendation}</h1>", encoding="utf-8")
        return out / PAGE

    monkeypatch.setattr("normscope.study.comparison.write_report", write)


def records(folder):
    """By trial: its record as it lies in the folder."""
    return {path.parent.name: json.loads(path.read_text())
            for path in folder.glob("trials/*/record.json")}  # fmt: skip


def runs_in(folder, name):
    return RUNS[name](folder / "logs" / name)


def test_trials_and_verdicts_are_in_every_tracker_once(normscope, tmp_path):
    folder = tmp_path / "e"
    assert normscope("compare", *SMALL, "--seeds", "1").returncode == 0
    logged = [*SMALL, "--seeds", "2", "--log", "tensorboard,mlflow", "--log", "wandb"]
    done = normscope("compare", *logged)
    assert done.returncode == 0, done.stderr
    assert "2 trials to run, 2 stored" in done.stdout
    stored = records(folder)
    table = Comparison.read(folder).table().set_index("norm")
    for name in TRACKERS:
        runs = runs_in(folder, name)
        assert runs.keys() == stored.keys() | {"summary"}
        for trial_id, record in stored.items():
            curve = [(e["epoch"], pytest.approx(e["test_loss_nats"])) for e in record["history"]]
            assert runs[trial_id].curves["test_loss_nats"] == curve
            assert runs[trial_id].said["status"] == record["status"] == "finished"
            assert runs[trial_id].group in (None, "e")
        summary = runs["summary"]
        found = (
            summary.said["gn"]["difference_points_mean"]
            if name == "wandb"
            else summary.curves["verdict/gn/difference_points_mean"][0][1]
        )
        assert found == pytest.approx(table.difference_points_mean["gn"])
        if name == "tensorboard":
            assert summary.said["summary"] == (folder / SUMMARY).read_text(encoding="utf-8")
        else:
            assert summary.files[PAGE] == (folder / PAGE).read_bytes()
    request = json.loads((folder / "experiment.json").read_text())["requests"][-1]
    assert "--log" not in request["command"]
    assert normscope("doctor", "e").stdout == "4 trials read; nothing wrong with e.\n"

    before = {name: runs_in(folder, name) for name in TRACKERS}
    assert normscope("compare", *logged).returncode == 0
    for name in TRACKERS:
        again = runs_in(folder, name)
        assert again.keys() == before[name].keys()
        for trial_id in stored:
            assert again[trial_id] == before[name][trial_id]


def test_a_tracker_that_does_not_start_ends_the_command_before_it_trains(
    normscope, tmp_path, environment
):
    """A server that does not answer, and a file where the folder should be."""
    environment |= {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }  # fmt: skip
    told = one_line(normscope("compare", *SMALL, "--log", "mlflow"), 3)
    assert told.startswith("normscope: mlflow does not start (")
    assert "127.0.0.1" in told
    assert told.endswith("; nothing was trained. Mend that, or leave mlflow out of --log\n")
    (tmp_path / "e" / "logs").mkdir()
    (tmp_path / "e" / "logs" / "tensorboard").touch()
    told = one_line(normscope("compare", *SMALL, "--log", "tensorboard"), 3)
    assert "tensorboard does not start" in told
    assert records(tmp_path / "e") == {}


def test_a_tracker_that_fails_midway_stops_no_training(normscope, tmp_path, monkeypatch):
    def lost(*_):
        raise ConnectionError("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(TensorBoard, "epoch", lost)
        done = normscope("compare", *SMALL, "--seeds", "1", "--log", "tensorboard")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tensorboard failed and is told no more (the server is gone)") == 1
    assert sorted(r["trial"]["norm"] for r in records(tmp_path / "e").values()) == ["bn", "gn"]

    assert normscope("retry", "e", "--log", "tensorboard").returncode == 0
    runs = runs_in(tmp_path / "e", "tensorboard")
    assert runs.keys() == records(tmp_path / "e").keys() | {"summary"}
    assert all(runs[trial].said["status"] == "finished" for trial in records(tmp_path / "e"))


def test_from_python(tmp_path, monkeypatch):
    """Trackers are told, and are no part of a trial."""
    small = package.Experiment(norms=("bn",), seeds=1, train_limit=128, test_limit=50,
                               recipe={"name": "quick", "epochs": 1})  # fmt: skip
    with pytest.raises(package.UsageError, match="unknown tracker 'comet'"):
        package.compare(small, out=tmp_path / "e", log=["comet"])
    assert not (tmp_path / "e").exists()
    package.compare(small, out=tmp_path / "e", workers=1)
    plain = {*records(tmp_path / "e")}
    package.compare(small, out=tmp_path / "e", workers=1, log="tensorboard")
    assert {*records(tmp_path / "e")} == plain
    (trial, record), runs = (
        records(tmp_path / "e").popitem(), runs_in(tmp_path / "e", "tensorboard")
    )  # fmt: skip
    assert runs[trial].curves["final_test_accuracy_percent"] == [
        (1, record["history"][-1]["test_accuracy_percent"])
    ]
