"""Failed trials are run again, and no others."""

import json

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
    again = normscope("retry", "e")
    assert again.returncode == 0, again.stderr
    assert "2 trials to run, 2 stored" in again.stdout
    assert "bn seed" not in again.stdout
    assert statuses(tmp_path / "e") == [(*each, "finished") for each in moody] + bn
    assert json.loads((tmp_path / "e" / "experiment.json").read_text())["requests"] == before

    once_more = normscope("retry", "e")
    assert (once_more.returncode, once_more.stdout.splitlines()[0]) == (0, "No trial has failed.")


def test_a_folder_without_an_experiment_is_refused(normscope, tmp_path):
    done = normscope("retry", tmp_path)
    assert done.returncode == 2
    assert "holds no normscope experiment" in done.stderr
