"""Failed trials are run again, and no others."""

import json

import pytest

import normscope as package
from normscope.errors import UsageError
from normscope.executors.ray import OnRay
from normscope.experiment import ProbePlan
from normscope.store import Store

NORM = """
from pathlib import Path
from torch import nn

class Moody(nn.BatchNorm2d):
    def forward(self, x):
        if self.training and len(x) > 8 and Path("moody").exists():
            raise RuntimeError("not today")
        return super().forward(x)
"""
COMMAND = "compare --norms bn,moody.py:Moody --seeds 2 --epochs 1 --train-limit 192 "
COMMAND += "--test-limit 50 --out e --workers 1"


def statuses(folder):
    records = [json.loads(p.read_text()) for p in folder.glob("trials/*/record.json")]
    return sorted((r["trial"]["norm"], r["trial"]["seed"], r["status"]) for r in records)


def test_what_failed_is_run_again_and_nothing_else(normscope, tmp_path):
    (tmp_path / "moody.py").write_text(NORM, encoding="utf-8")
    (tmp_path / "moody").touch()
    done = normscope(*COMMAND.split())
    assert done.returncode == 3
    assert "normscope retry e" in " ".join(done.stderr.split())
    bn = [("bn", 0, "finished"), ("bn", 1, "finished")]
    moody = [("Moody", seed) for seed in (0, 1)]
    assert statuses(tmp_path / "e") == [(*each, "failed") for each in moody] + bn
    before = json.loads((tmp_path / "e" / "experiment.json").read_text())["requests"]

    (tmp_path / "moody").unlink()
    again = normscope("retry", "e", "--executor", "processes", "--probes", "dead")
    assert again.returncode == 0, again.stderr
    assert "2 trials to run, 2 stored" in again.stdout
    assert ", threads: 1 each, " in again.stdout  # as with processes
    probed = {path.parent.name for path in (tmp_path / "e").glob("trials/*/probes.npz")}
    assert {name.partition("-seed")[0] for name in probed} == {"Moody"}
    assert "bn seed" not in again.stdout
    assert statuses(tmp_path / "e") == [(*each, "finished") for each in moody] + bn
    assert json.loads((tmp_path / "e" / "experiment.json").read_text())["requests"] == before

    once_more = normscope("retry", "e")
    assert (once_more.returncode, once_more.stdout.splitlines()[0]) == (0, "No trial has failed.")


def test_of_trials_that_never_ran_it_tells_unless_another_command_is_at_them(
    normscope, tmp_path, undrawn
):
    size = "--epochs", "1", "--train-limit", "192", "--test-limit", "50"
    assert (
        normscope("compare", "--norms", "bn", "--seeds", "1", *size, "--out", "e").returncode == 0
    )
    Store(tmp_path / "e").extend(3)
    told = "2 planned trials never ran"
    assert told in normscope("retry", "e").stdout
    with Store.claims(tmp_path / "e"):
        assert told not in normscope("retry", "e").stdout


def test_a_folder_without_an_experiment_is_refused(normscope, tmp_path):
    done = normscope("retry", tmp_path)
    assert done.returncode == 2
    assert "holds no normscope experiment" in done.stderr


def test_the_options_of_compare_that_say_how_trials_run_are_taken(normscope, monkeypatch):
    taken = {}

    def noting(folder, **options):
        taken.update(options)
        raise UsageError("enough")

    monkeypatch.setattr("normscope.study.retry.retry", noting)
    how = (
        "--executor ray --address auto --cpus-per-trial 2 --gpus-per-trial 0.5 --workers 3 "
        "--probes dead,variance --probe-epochs 1,0 --probe-images 7 --checkpoint-every 10m"
    )
    assert "enough" in normscope("retry", "e", *how.split()).stderr
    assert taken["executor"] == OnRay("auto", 2.0, 0.5)
    assert taken["probes"] == ProbePlan(("dead", "variance"), (0.0, 1.0), 7)
    assert (taken["checkpoint_s"], taken["workers"]) == (600.0, 3)
    assert "add --executor ray" in normscope("retry", "e", "--address", "auto").stderr


def test_how_often_states_are_kept_is_checked_as_by_compare(normscope, tmp_path):
    small = "--norms bn --seeds 1 --epochs 1 --train-limit 96 --test-limit 50 --workers 1"
    assert normscope("compare", *small.split(), "--out", "e").returncode == 0
    with pytest.raises(UsageError, match="checkpoint_s must be 0 seconds"):
        package.retry(tmp_path / "e", checkpoint_s=-1)
