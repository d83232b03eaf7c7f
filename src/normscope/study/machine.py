"""What this machine has and how fast it trains, for whoever asks whether all is set up."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import torch

from normscope.cores import available_cores, load
from normscope.data import DATASETS, find
from normscope.errors import UsageError
from normscope.experiment import Experiment, Precision
from normscope.study.checks import check
from normscope.study.forecast import Forecast, forecast
from normscope.study.placement import place
from normscope.training.device import check_precision, choose_device
from normscope.training.environment import processor
from normscope.version import __version__

LIBRARIES = "torch", "numba", "numpy"
FOR_DEVELOPERS = "test", "dev", "docs"
EXTRA = re.compile(r"""(?P<name>[\w.-]+).*; extra == ['"](?P<extra>[\w-]+)['"]""")


@dataclass(frozen=True)
class Machine:
    """What normscope has here.

    `load` is how many programs wanted a core over the last minute, None on systems that do not say;
    `extras` are the packages of each extra of normscope, and their versions, None for one that is
    not installed. `data` is where each data set is, None for one that is not here.
    """

    versions: Mapping[str, str]
    processor: str
    cores: int
    load: float | None
    gpus: tuple[str, ...]
    extras: Mapping[str, Mapping[str, str | None]]
    data: Mapping[str, Path | None]


@dataclass(frozen=True)
class Speed:
    """How fast an experiment would be trained, by a few steps of each norm, timed right now.

    `images_per_second` are training images, with as many networks at once as there would be, the
    tests after every epoch included; `how` says how many that is, and what computes them. A fleet
    on a GPU counts as one network, since what it saves is not known before it runs.
    """

    experiment: Experiment
    how: str
    images_per_second: float
    foreseen: Forecast


def machine(data_dir: Path | None = None) -> Machine:
    """What there is. Raises `UsageError` if the folder of the data is none."""
    return Machine(
        versions={
            "normscope": __version__,
            "Python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
        processor=processor(),
        cores=available_cores(),
        load=load(),
        gpus=tuple(map(torch.cuda.get_device_name, range(torch.cuda.device_count()))),
        extras=_extras(),
        data={name: find(name, data_dir) for name, source in DATASETS.items() if not source.make},
    )


def _extras() -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = {}
    for line in _requirements():
        asked = EXTRA.fullmatch(line)
        if asked and asked["extra"] not in FOR_DEVELOPERS:
            found.setdefault(asked["extra"], {})[asked["name"]] = _version(asked["name"])
    return found


def _requirements() -> list[str]:
    """None where normscope is run from its sources and is not installed."""
    try:
        return requires("normscope") or []
    except PackageNotFoundError:
        return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def precisions() -> list[Precision]:
    """Those in which the device of this machine computes, and does not only emulate them."""
    return [each for each in get_args(Precision) if _computes_in(each)]


def _computes_in(precision: Precision) -> bool:
    try:
        check_precision(precision, choose_device("auto"))
    except UsageError:
        return False
    return True


def speed(experiment: Experiment) -> Speed:
    """Time a few steps of each norm of an experiment, on random images of its data set's size.

    Raises `UsageError` as `check` does.
    """
    with TemporaryDirectory() as nowhere:
        checked = check(experiment, out=nowhere)
        foreseen = forecast(checked)
    images = sum(foreseen.train_images * trial.recipe.epochs for trial in foreseen.trials)
    return Speed(
        experiment=checked.experiment,
        how=place(foreseen.trials, foreseen.todo, checked.machine).words,
        images_per_second=images / foreseen.seconds,
        foreseen=foreseen,
    )
