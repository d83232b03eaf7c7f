"""Costs on their own, in a folder, and after a training."""

from contextlib import nullcontext

import pytest
from report_fakes import make_costs, make_experiment
from torch import nn

import normscope
from normscope.errors import RunError, UsageError
from normscope.experiment import Request
from normscope.observers import Observer
from normscope.store import Store
from normscope.study import cost as costs
from normscope.study.comparison import Comparison

LIMITS = {"train_limit": 192, "test_limit": 100}
OWN = """
from torch import nn

def Mine(num_channels):
    return nn.GroupNorm(1, num_channels)

class Never128(nn.BatchNorm2d):
    def forward(self, x):
        if len(x) == 128:
            raise ValueError("no 128")
        return super().forward(x)
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


def test_beside_anothers_training_nothing_is_measured(tmp_path, monkeypatch, undrawn):
    monkeypatch.setattr(costs, "LEAST_STEPS", 3)
    for others, is_measured in ((Store.claims(tmp_path), False), (nullcontext(), True)):
        with others:  # who leaves their folder when they end
            normscope.compare(small(), out=tmp_path, workers=1, observer=Observer())
        assert (tmp_path / "costs.json").exists() is is_measured


def test_a_folder_without_an_experiment(tmp_path):
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        costs.cost_of_folder(tmp_path)


def test_a_norm_that_cannot_be_measured_takes_nothing_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(costs, "LEAST_STEPS", 3)
    (tmp_path / "mine.py").write_text(OWN)
    experiment = small(("bn", "mine.py:Never128"))
    reason = "the cost of Never128 cannot be measured: ValueError: no 128"
    with pytest.raises(RunError, match=reason):
        normscope.cost(experiment)

    class Notices(Observer):
        def noticed(self, sentence):
            heard.append(sentence)

    heard = []
    found = normscope.compare(experiment, out=tmp_path / "e", workers=1, observer=Notices())
    assert [sentence for sentence in heard if reason in sentence]
    assert found.analysis.costs is None
    assert found.page.exists()


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda text: text[:40], None),
        (lambda text: text.replace('"norm": "bn"', '"norm": "zzz"'), None),
        (lambda text: text, ["bn"]),
    ],
    ids=["damaged", "of another norm", "whole"],
)
def test_costs_that_do_not_belong_here_are_as_none(change, left, tmp_path):
    experiment = make_experiment(norms=("bn", "gn"))
    store = Store.create(tmp_path, experiment, Request(date="", command="", norms=(), seeds=1))
    store.keep_costs(make_costs(("bn", "ln")))
    path = tmp_path / "costs.json"
    path.write_text(change(path.read_text()))
    kept = store.costs()
    assert (kept and [cost.norm for cost in kept.norms]) == left


def test_what_a_script_made_in_this_process_can_be_measured(monkeypatch):
    monkeypatch.setitem(normscope.norms.NORMS, "mine", lambda channels: nn.Identity())
    assert [cost.norm for cost in normscope.cost(small(("mine",))).norms] == ["mine"]


@pytest.mark.parametrize("threads", [0, 1000])
def test_threads_that_there_are_not(threads):
    with pytest.raises(UsageError, match=f"{threads} threads were asked for; this machine has"):
        normscope.cost(small(), threads=threads)
