"""What a machine has, how fast it trains, and what is said of both."""

import json
import os
import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy
import pytest
from cifar_fakes import make_files, make_folder

from normscope.cli.show import busy_words
from normscope.errors import UsageError
from normscope.experiment.reading import read_experiment
from normscope.study.machine import machine, precisions, speed


def test_what_there_is(tmp_path, monkeypatch):
    monkeypatch.delenv("NORMSCOPE_DATA", raising=False)
    monkeypatch.setattr(
        "normscope.study.machine.requires",
        lambda name: ["numpy>=1.26", 'scipy>=1; extra == "some"', "no-such-thing; extra == 'some'",
                      'pytest; extra == "test"'],
    )  # fmt: skip
    found = machine()
    assert found.versions["Python"] == platform.python_version()
    assert found.versions["numpy"] == numpy.__version__
    assert found.extras == {"some": {"scipy": version("scipy"), "no-such-thing": None}}
    assert "shapes" not in found.data
    assert found.load is None or found.load >= 0


def test_data_is_found_where_a_training_would_find_it(tmp_path):
    place = make_folder(tmp_path / "cifar-10-batches-py", make_files())
    assert machine(tmp_path).data["cifar10"] == place
    with pytest.raises(UsageError, match="is not a folder"):
        machine(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def timed():
    return speed(
        read_experiment(norms=["bn", "gn"], seeds=2, epochs=3, train_limit=192, test_limit=50)
    )


def test_speed_is_images_per_second_of_all_that_run_at_once(timed):
    assert timed.images_per_second * timed.foreseen.seconds == pytest.approx(2 * 2 * 3 * 192)
    assert "at a time on cpu, fp32" in timed.how


@pytest.mark.parametrize(("load", "told"), [(0.0, False), (None, False), (1.0, True)])
def test_times_on_a_busy_machine_are_told_to_be_too_long(timed, load, told):
    wanted = None if load is None else load * os.cpu_count()
    assert bool(busy_words(replace(timed.foreseen, load=wanted))) is told


def test_a_processor_without_bfloat16_is_not_timed_in_it(monkeypatch):
    assert "fp32" in precisions()
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False)
    assert precisions() == ["fp32"]


def test_sources_that_are_not_installed_have_no_extras(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("normscope.study.machine.requires", missing)
    assert machine().extras == {}


def test_the_command(normscope):
    found = json.loads(normscope("doctor", "--quick", "--json").stdout)
    assert found["cores"] >= 1
    assert found["speed"] == []
    told = normscope("doctor", "--quick").stdout
    assert f"numpy {numpy.__version__}" in told
    assert "cifar100   not here: normscope data fetch cifar100" in told
    assert "images per second" not in told


def test_quick_is_of_the_machine_alone(normscope, tmp_path):
    refused = normscope("doctor", tmp_path, "--quick")
    assert refused.returncode == 2
    assert "apply only without FOLDER" in refused.stderr
