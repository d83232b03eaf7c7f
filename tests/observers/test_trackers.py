"""Every tracker of the table, read back by its own library."""

import shutil
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime

import pytest
import wandb
from report_fakes import collapsed, diverged, failed, make_experiment, make_labels, make_result
from tracker_files import RUNS, MlflowClient

from normscope.errors import UsageError
from normscope.experiment import EpochRecord
from normscope.experiment.plan import plan
from normscope.observers import TRACKERS, NormOutcome, Report, trackers_named
from normscope.observers.tracking import Tracking

# MLflow asks SQLAlchemy for what 2.1 calls deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"
)

EXPERIMENT = make_experiment(norms=("bn", "gn:groups=2"), seeds=2, epochs=3)
BN, GN, BN_1, GN_1 = (make_result(EXPERIMENT, t, make_labels(20)) for t in plan(EXPERIMENT))
FAILED = failed(BN_1, "bn with batch 512 raised: out of memory\nTraceback\n  ...")
RESULTS = [BN, diverged(GN, after=1), FAILED, collapsed(GN_1)]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty one, which MLflow takes seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="module", autouse=True)
def service_ended():
    yield
    wandb.teardown()


@pytest.fixture(params=TRACKERS)
def kind(request):
    return request.param


@pytest.fixture
def place(kind, tmp_path, database, monkeypatch):
    """The folder of a tracker that asks no server."""
    for name, value in {"MODE": "offline", "DATA_DIR": tmp_path, "CACHE_DIR": tmp_path}.items():
        monkeypatch.setenv(f"WANDB_{name}", str(value))
    folder = tmp_path / "logs" / kind
    folder.mkdir(parents=True)
    if kind == "mlflow":
        shutil.copy(database, folder)
    return folder


def telling(kind, place):
    """Whoever tells a tracker; that it fails is an error."""

    def unwelcome(sentence):
        raise AssertionError(sentence)

    return closing(Tracking(kind, TRACKERS[kind](place, "e"), unwelcome))


def train(observer, result):
    observer.trial_started(result.trial)
    for record in result.history:
        observer.epoch_ended(result.trial, record)
    observer.trial_ended(result)


def curves_of(result):
    """What the curves of its run must be, by the fields of its records."""
    names = [name for name in EpochRecord.__dataclass_fields__ if name != "epoch"]
    found = {name: [(r.epoch, getattr(r, name)) for r in result.history] for name in names}
    if result.status in ("finished", "collapsed"):
        last = result.history[-1]
        found["final_test_accuracy_percent"] = [(last.epoch, last.test_accuracy_percent)]
    return {name: curve for name, curve in found.items() if curve}


def check_curves(run, result, kind):
    expected = curves_of(result)
    if kind == "wandb" and "final_test_accuracy_percent" in expected:
        ((_, final),) = expected.pop("final_test_accuracy_percent")
        assert run.said["final_test_accuracy_percent"] == final
    assert run.curves.keys() == expected.keys()
    for name, curve in expected.items():
        assert run.curves[name] == [(step, pytest.approx(value, rel=1e-6)) for step, value in curve]


@pytest.mark.parametrize("live", [True, False])
def test_a_run_says_what_its_trial_is_and_what_became_of_it(kind, place, live):
    with telling(kind, place) as observer:
        for result in RESULTS:
            train(observer, result) if live else observer.stored(result)
    runs = RUNS[kind](place)
    assert runs.keys() - {"summary"} == {result.trial.id for result in RESULTS}
    for result in RESULTS:
        run, trial = runs[result.trial.id], result.trial
        check_curves(run, result, kind)
        assert run.said["status"] == result.status
        assert run.ended_well in (None, result.status != "failed")
        assert run.group in (None, "e")
        said = {name: str(value) for name, value in run.parameters.items()}
        seed = f"{trial.seed}.0" if kind == "tensorboard" else str(trial.seed)
        assert (said["trial"], said["norm"], said["seed"]) == (trial.id, trial.norm, seed)
        assert (said["recipe"], said["max_lr"], said["augmentation"]) == ("s8", "0.02", "none")
        assert {*type(trial).model_fields, *type(trial.recipe).model_fields} - {"name"} <= {*said}
    told = [runs[result.trial.id].said["reason"] for result in RESULTS]
    assert told == [
        "",
        "the loss was not finite in epoch 2",
        "bn with batch 512 raised: out of memory",
        RESULTS[3].error,
    ]


def test_what_is_told_again_is_there_once(kind, place):
    written = []
    for _ in range(2):
        with telling(kind, place) as observer:
            for result in RESULTS:
                observer.stored(result)
        written.append({path for path in place.rglob("*") if "-seed" in str(path)})
    runs = RUNS[kind](place)
    assert runs.keys() - {"summary"} == {result.trial.id for result in RESULTS}
    for result in RESULTS:
        check_curves(runs[result.trial.id], result, kind)
    assert written[0] == written[1]


def test_a_trial_that_was_stopped_goes_on_in_its_run(kind, place):
    """Its epochs are told again from the first, as they are when its state was kept."""
    with telling(kind, place) as observer:
        observer.trial_started(BN.trial)
        observer.epoch_ended(BN.trial, BN.history[0])
        observer.epoch_ended(BN.trial, BN.history[1])
    assert not RUNS[kind](place)[BN.trial.id].ended_well
    with telling(kind, place) as observer:
        train(observer, BN)
    run = RUNS[kind](place)[BN.trial.id]
    check_curves(run, BN, kind)
    assert run.ended_well in (None, True)


def test_a_trial_that_failed_and_is_tried_again_has_one_run(kind, place):
    with telling(kind, place) as observer:
        observer.stored(FAILED)
        train(observer, BN_1)
    run = RUNS[kind](place)[BN_1.trial.id]
    check_curves(run, BN_1, kind)
    assert (run.said["status"], run.said["reason"]) == ("finished", "")
    assert run.ended_well in (None, True)


def test_epochs_of_a_trial_that_was_stored_are_where_they_were_in_time(kind, place):
    with telling(kind, place) as observer:
        observer.stored(BN)
    times = RUNS[kind](place)[BN.trial.id].times
    began = datetime.fromisoformat("2026-01-01T00:00:00+00:00").timestamp()
    ends = () if kind == "wandb" else (began + 12.8, began + 25.6, began + 38.4)
    assert times == pytest.approx(ends, abs=0.002)


# -- the experiment as a whole ---------------------------------------------------------------------

WORSE = NormOutcome("gn:groups=2", 512, "worse", 74.25, -1.5, -2.5, -0.5, 2)
BASELINE = NormOutcome("bn", 512, "baseline", 75.75, None, None, None, 0)


def make_report(folder, *outcomes):
    page, summary = folder / "report.html", folder / "summary.md"
    page.write_text(f"<p>{len(outcomes)}</p>", encoding="utf-8")
    summary.write_text("# bn and gn", encoding="utf-8")
    return Report(EXPERIMENT, "Use BatchNorm", outcomes, page, summary)


def verdicts(run):
    """By norm: the verdict, and the numbers behind it."""
    found = {name.removeprefix("verdict/"): text for name, text in run.said.items()
             if name.startswith("verdict/")}  # fmt: skip
    numbers = {norm: {} for norm in found}
    for name, curve in run.curves.items():
        norm, what = name.removeprefix("verdict/").split("/")
        ((_, numbers[norm][what]),) = curve
    return {norm: {"verdict": found[norm], **numbers[norm]} for norm in found}


def test_a_run_says_what_came_of_the_experiment(kind, place, tmp_path):
    """An earlier report is replaced, also the one of another command."""
    for outcome in (replace(WORSE, verdict="undecided"), WORSE):
        with telling(kind, place) as observer:
            observer.reported(make_report(tmp_path, BASELINE, outcome))
    run = RUNS[kind](place)["summary"]
    found = run.said if kind == "wandb" else verdicts(run)
    gn = {"wandb": "gn:groups=2", "tensorboard": "gn:groups=2", "mlflow": "gn:groups-2"}[kind]
    numbers = {k: v for k, v in asdict(WORSE).items() if k not in ("norm", "batch_size")}
    assert found[gn] == numbers
    assert found["bn"] == {
        "verdict": "baseline", "test_accuracy_percent_mean": 75.75, "difference_points_n": 0,
    }  # fmt: skip
    assert "Use BatchNorm" in run.said.values()
    if kind == "tensorboard":  # which has no files of others
        assert run.said["summary"] == "# bn and gn"
        assert run.said["page"] == str(tmp_path / "report.html")
        assert "- seeds: 2" in run.said["experiment"].splitlines()
    else:
        assert run.files == {"report.html": b"<p>2</p>", "summary.md": b"# bn and gn"}
        assert (run.parameters["norms"], str(run.parameters["seeds"])) == ("bn,gn:groups=2", "2")


def test_of_several_batch_sizes_each_has_its_outcome(kind, place, tmp_path):
    small = replace(WORSE, batch_size=8, verdict="better")
    with telling(kind, place) as observer:
        observer.reported(make_report(tmp_path, small, WORSE))
    run = RUNS[kind](place)["summary"]
    found = run.said if kind == "wandb" else verdicts(run)
    told = {name.replace("=", "-"): value["verdict"] for name, value in found.items()
            if name.startswith("gn")}  # fmt: skip
    assert told == {"gn:groups-2 batch 8": "better", "gn:groups-2 batch 512": "worse"}


# -- which trackers --------------------------------------------------------------------------------


def test_trackers_may_be_named_in_one_text_or_a_list():
    assert trackers_named("tensorboard, wandb,tensorboard") == ("tensorboard", "wandb")
    assert trackers_named(["wandb", "mlflow,wandb"]) == ("wandb", "mlflow")
    assert trackers_named(()) == ()


def test_an_unknown_tracker_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="unknown tracker 'comet'; known: tensorboard, mlflow"):
        trackers_named("comet")


def test_a_tracker_that_is_not_installed_is_named_with_what_installs_it(monkeypatch, tmp_path):
    """A folder of its name, as W&B makes one where it runs, is not the library."""
    monkeypatch.setattr(TRACKERS["wandb"], "library", "wandb_of_nobody")
    told = r'needs wandb_of_nobody, which is not installed: pip install "normscope\[wandb\]"'
    with pytest.raises(UsageError, match=told):
        trackers_named("wandb")
    (tmp_path / "wandb_of_nobody").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=told):
        trackers_named("wandb")
