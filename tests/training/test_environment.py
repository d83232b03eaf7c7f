"""What a result says of where it was made, in places that are unusual."""

import os
import subprocess
import sys

import pytest
import torch
from small_trials import CPU, trial

import normscope
from normscope.training.environment import environment
from normscope.training.lanes import target
from normscope.training.trial import run_trial

TRAIN = """
import torch
from normscope.data import load_dataset
from normscope.experiment import Experiment
from normscope.experiment.plan import plan
from normscope.training.trial import run_trial
sizes = {"train_limit": 64, "test_limit": 10}
(trial,) = plan(Experiment(norms=["bn"], seeds=1, recipe={"epochs": 1}, **sizes))
result = run_trial(trial, load_dataset("shapes", **sizes), torch.device("cpu"))
print(result.status, result.environment.normscope, result.environment.kernels)
print(result.error)
"""

NOT_INSTALLED = """
import importlib.metadata
def version(name):
    raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = version
"""


def trained(code=TRAIN, **variables):
    """The first line that a process prints; it is to end well."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def test_without_compilation_torch_computes_the_norms_and_the_result_says_so():
    words = trained(NUMBA_DISABLE_JIT="1")
    assert words == f"finished {normscope.__version__} torch"


def test_a_source_tree_that_is_not_installed_trains():
    words = trained(NOT_INSTALLED + TRAIN, NORMSCOPE_KERNELS="numba")
    assert words == "finished 0+unknown numba"


@pytest.mark.skipif(target() is None, reason="no vectors that lanes are for")
@pytest.mark.parametrize(("norm", "kernels"), [("bn", "lanes"), ("evo-s0", "numba")])
def test_a_result_says_what_computed_its_network(shapes, monkeypatch, norm, kernels):
    monkeypatch.delenv("NORMSCOPE_KERNELS", raising=False)
    assert run_trial(trial(norm=norm), shapes, CPU).environment.kernels == kernels


def test_the_environment_is_known_before_anything_is_trained(shapes, monkeypatch):
    def unknown(*_, **__):
        raise OSError("no such processor")

    monkeypatch.setattr("normscope.training.trial.environment", unknown)
    monkeypatch.setattr("normscope.training.trial.fit_fleet", lambda *_: pytest.fail("trained"))
    with pytest.raises(OSError, match="no such processor"):
        run_trial(trial(), shapes, CPU)


def test_versions_threads_and_device_are_recorded():
    found = environment(CPU, "fp32", fleet=1)
    assert (found.normscope, found.torch) == (normscope.__version__, torch.__version__)
    assert (found.device, found.threads) == ("cpu", torch.get_num_threads())
    assert found.precision == "float32"
    assert found.kernels == ("numba" if target() is None else "lanes")
    assert environment(CPU, "bf16", fleet=1).precision == "bfloat16"
    assert environment(CPU, "fp32", fleet=2).kernels == "torch"  # a fleet is not fused
