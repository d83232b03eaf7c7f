"""The checks of an installation: all hold here, and each finds what is broken."""

import pytest
import typer
from torch import nn

from normscope.cli.selftest import selftest as command
from normscope.study import selftest


class Scaled(nn.Module):
    """A network whose answers are a thousandth too large."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return 1.001 * self.model(x)


def test_all_is_well_here(normscope):
    done = normscope("selftest")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line[:6] for line in lines] == ["ok    "] * len(selftest.CHECKS)
    assert all(line.endswith(name) for line, name in zip(lines, selftest.CHECKS, strict=True))


def test_a_fast_way_that_is_wrong_is_found(monkeypatch):
    monkeypatch.setattr(selftest, "with_fastest_forward", lambda model, *_: Scaled(model))
    wrong = selftest.CHECKS["a step in the fast way is as exact as torch's"]()
    assert "gn is off by 0.00" in wrong
    assert "ln is off by 0.00" in wrong


def test_a_training_that_is_not_repeated_is_found(monkeypatch):
    usual, seeds = selftest.plan, iter(range(2))

    def another_seed(experiment):
        seed = next(seeds)
        return [trial.model_copy(update={"seed": seed}) for trial in usual(experiment)]

    monkeypatch.setattr(selftest, "plan", another_seed)
    wrong = selftest.CHECKS["the same trial gives the same bits"]()
    assert wrong.startswith("logits are apart: bn by ")


def test_what_a_check_raises_is_what_is_wrong(monkeypatch, capsys):
    def broken():
        raise ImportError("no such library")

    monkeypatch.setattr(selftest, "CHECKS", {"one": lambda: "", "two": broken})
    with pytest.raises(typer.Exit) as end:
        command()
    assert end.value.exit_code == 3
    told = capsys.readouterr()
    assert [line.split("s  ", 1)[1] for line in told.out.splitlines()] == [
        "one", "two: ImportError: no such library",
    ]  # fmt: skip
    assert "1 check failed" in told.err
