"""Costs on their own, in a folder, and after a training."""

import pytest

import normscope
from normscope.errors import UsageError
from normscope.observers import Observer
from normscope.study import cost as costs
from normscope.study.comparison import Comparison

LIMITS = {"train_limit": 192, "test_limit": 100}
OWN = """
from torch import nn

def Mine(num_channels):
    return nn.GroupNorm(1, num_channels)
"""


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(costs, "ROUNDS", 1)
    monkeypatch.setattr(costs, "ROUNDS_AFTER_TRAINING", 1)


def small(norms=("bn",), seeds=1, **recipe):
    values = {"base": "quick", "epochs": 1, "batch_size": 64, **recipe}
    return normscope.Experiment(norms=norms, seeds=seeds, recipe=values, **LIMITS)


def test_a_norm_of_ones_own_is_measured_and_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    found = normscope.cost(small(("bn", "mine.py:Mine")))
    assert [each.norm for each in found.norms] == ["bn", "Mine"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["mine.py"]


def test_a_short_training_is_not_followed_by_a_measurement_but_may_be_asked_for(tmp_path):
    normscope.compare(small(), out=tmp_path, workers=1, observer=Observer())
    assert not (tmp_path / "costs.json").exists()
    assert "Cost, side by side" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    kept = costs.cost_of_folder(tmp_path)
    assert Comparison.read(tmp_path).analysis.costs == kept
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Cost, side by side" in page
    assert "Before training" in page


def test_a_longer_training_is_followed_by_one_until_all_norms_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "LEAST_STEPS", 3)  # an epoch of 192 images has three steps

    class Notices(Observer):
        def __init__(self):
            self.heard = []

        def noticed(self, sentence):
            self.heard.append(sentence)

    def run(*norms):
        notices = Notices()
        found = normscope.compare(small(norms), out=tmp_path, workers=1, observer=notices)
        measured = found.analysis.costs
        assert measured is not None
        assert [each.norm for each in measured.norms] == [*found.analysis.experiment.norms]
        return "Measuring what each norm costs." in notices.heard

    assert run("bn")
    assert not run("bn")
    assert run("bn", "none")


def test_a_folder_without_an_experiment(tmp_path):
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        costs.cost_of_folder(tmp_path)
