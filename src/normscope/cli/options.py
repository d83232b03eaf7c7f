"""What the commands share: types of options, how their values are read, errors in one line."""

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normscope.errors import NormscopeError, UsageError
from normscope.files import user_path
from normscope.words import visible

if TYPE_CHECKING:
    from normscope.executors.ray import OnRay
    from normscope.experiment import ProbePlan

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045

DEFECT = 1  # the exit code of a program that failed in a way nobody foresaw

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


AsJson = Annotated[
    bool, typer.Option("--json", help="Print the outcome as JSON; progress goes to stderr.")
]


Verbose = Annotated[
    bool, typer.Option("--verbose", help="Print the findings too, which the report has.")
]


def seconds(text: str) -> float:
    """``90m``, ``2h``, ``1h30m``, ``45s`` in seconds."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or not found:
        raise typer.BadParameter(f"{text!r} is no time span; write 2h, 90m, 1h30m or 45s")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600.0 * hours + 60 * minutes + rest


def levels(text: str) -> tuple[float, ...]:
    """``0.5,0.6`` in percent, in the order given."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < level < 1 for level in found) or len({*found}) < len(found):
        raise typer.BadParameter(
            f"{text!r}: write different accuracies between 0 and 1, such as 0.5,0.6,0.7"
        )
    return tuple(round(100 * level, 9) for level in found)


def integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write whole numbers, such as 8,32,128") from None


def epochs(text: str) -> tuple[float, ...]:
    """``0,0.5,1`` in the order of time."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = [-1.0]
    if not all(0 <= epoch < float("inf") for epoch in found):
        raise typer.BadParameter(f"{text!r}: write epochs from 0 on, such as 0,0.5,1,5")
    return tuple(found)


def seeds(text: str) -> int | tuple[int, ...]:
    """``5`` is a number of seeds, ``1,7,13`` are the seeds themselves, and ``7,`` is one."""
    try:
        found = tuple(int(part) for part in text.removesuffix(",").split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write a number, or seeds such as 1,7,13") from None
    return found if "," in text else found[0]


Levels = Annotated[
    Any,
    typer.Option(
        "--level", parser=levels, metavar="A,B,...", show_default=False,
        help="Test accuracies whose first reaching measures speed. Default: 0.6.",
    ),
]  # fmt: skip


def folder(text: str) -> Path:
    """The folder that `text` names, with ``~`` in it, which a shell leaves alone after a ``=``.

    An empty name, as an unset variable leaves it, would mean the folder one is in.
    """
    return _path(text, "a folder")


ExperimentFolder = Annotated[
    Path, typer.Argument(parser=folder, metavar="FOLDER", help="The folder of an experiment.")
]


def file(text: str) -> Path:
    """The file that `text` names; likewise."""
    return _path(text, "a file")


def recipe(text: str) -> str | Path:
    """The name of a recipe or, if it ends with .toml, the file of one."""
    return file(text) if text.endswith(".toml") else text


def _path(text: str, what: str) -> Path:
    if not text:
        raise typer.BadParameter(f"is empty; name {what}")
    try:
        return user_path(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


DataDir = Annotated[
    Optional[Path],
    typer.Option(
        parser=folder, metavar="DIR", show_default=False,
        help="First folder to look for the data set in; then $NORMSCOPE_DATA, the user's cache "
             "folder and ./data.",
    ),
]  # fmt: skip


# -- what is trained: the options of compare and investigate ---------------------------------------

DatasetName = Annotated[
    Optional[str],
    typer.Option(
        metavar="NAME|PATH",
        help="One of {datasets}, or a folder or file of images of your own (docs/images.md). "
        "Default: shapes, which is embedded.",
    ),
]

ImageSize = Annotated[
    Optional[int],
    typer.Option(
        help="Of images of your own: pixels of a side. Default: theirs if all are alike and "
        "small, else 64, or 32 if most are smaller.",
        min=8,
    ),
]

Folds = Annotated[
    Optional[int],
    typer.Option(
        help="Cross-validate: deal all images out into so many folds, and test on each in turn. "
        "For few images.",
        min=2,
    ),
]

SkipBad = Annotated[
    Optional[bool],
    typer.Option(
        "--skip-bad",
        show_default=False,
        help="Of images of your own: go on without those that cannot be used.",
    ),
]

ModelName = Annotated[
    Optional[str],
    typer.Option(
        help="One of {models}, or your own as net.py:build, whose norm layers are swapped. "
        "Default: s8, or s8-gap for images of your own."
    ),
]

Norms = Annotated[
    Optional[str],
    typer.Option(
        help="Some of {norms}, separated by commas; the first is the baseline. Default: bn,gn,ln."
    ),
]

RecipeOption = Annotated[
    Any,
    typer.Option(
        parser=recipe,
        metavar="NAME|FILE",
        show_default=False,
        help="One of {recipes}, or a TOML file of one. Default: s8, quick on shapes, small on "
        "images of your own.",
    ),
]

Settings = Annotated[
    Optional[list[str]],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Change a value of the recipe, such as max_lr=0.05 or augmentation=flip,crop; "
        "may be repeated.",
    ),
]

Seeds = Annotated[
    Any,
    typer.Option(
        parser=seeds,
        metavar="N|A,B,...",
        show_default=False,
        help="Trials per norm, or the seeds themselves. Default: 5 on shapes, 3 elsewhere.",
    ),
]

Epochs = Annotated[Optional[int], typer.Option(help="Instead of the recipe's.")]

BatchSize = Annotated[
    Optional[int],
    typer.Option(help="Instead of the recipe's; the learning rate is scaled with it."),
]

BatchSizes = Annotated[
    Any,
    typer.Option(
        parser=integers,
        metavar="A,B,...",
        show_default=False,
        help="Compare at each of these; the learning rate is scaled with it.",
    ),
]

StatBatch = Annotated[
    Any,
    typer.Option(
        parser=integers,
        metavar="A,B,...",
        show_default=False,
        help="Besides bn over whole batches, bn with its statistics over so many images of a batch "
        "(ghost-bn); batch and learning rate stay.",
    ),
]

MaxLr = Annotated[
    Optional[float], typer.Option(help="Peak learning rate, per step, instead of the recipe's.")
]

Margin = Annotated[
    Optional[float],
    typer.Option(help="Points within which norms are equivalent. Default: 0.5."),
]

Alpha = Annotated[
    Optional[float],
    typer.Option(help="Chance of a false claim, over a family of comparisons. Default: 0.05."),
]

# -- by what an experiment is judged whose results are there ---------------------------------------

OtherBaseline = Annotated[
    Optional[str],
    typer.Option(
        "--baseline",
        metavar="NORM",
        help="Compare with this norm instead of the folder's baseline: exploratory.",
    ),
]

OtherAlpha = Annotated[
    Optional[float],
    typer.Option("--alpha", help="Instead of the folder's: exploratory (docs/hand-in.md)."),
]

OtherMargin = Annotated[
    Optional[float],
    typer.Option("--margin", help="In points, instead of the folder's: exploratory."),
]

PrecisionName = Annotated[
    Optional[str], typer.Option(help="fp32 (default), or bf16 where the processor has it.")
]

TrainLimit = Annotated[Optional[int], typer.Option(help="Use only the first N training images.")]

TestLimit = Annotated[Optional[int], typer.Option(help="Use only the first N test images.")]

DeviceName = Annotated[str, typer.Option(help="auto, cpu or cuda.")]

Workers = Annotated[
    Optional[int],
    typer.Option(help="Trials at once. Default: one per core of a CPU, 32 on a GPU.", min=1),
]

ExecutorName = Annotated[
    Optional[str],
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Who runs the trials: one of {executors}. Default: what is fastest on this machine; "
        "ray is for many (docs/cluster.md).",
    ),
]

Address = Annotated[
    Optional[str],
    typer.Option(
        metavar="auto|HOST:PORT",
        help="The Ray cluster: the one that this machine is a node of, or its head. Default: a Ray "
        "is started for this command.",
    ),
]

CpusPerTrial = Annotated[
    Optional[float],
    typer.Option(help="Of a Ray cluster, and so many threads. Default: 1.", metavar="N"),
]

GpusPerTrial = Annotated[
    Optional[float],
    typer.Option(
        help="Of a Ray cluster; 0.25 trains 4 trials on a GPU, as one network. Default: 0.",
        metavar="N",
    ),
]

ProbeNames = Annotated[
    str,
    typer.Option(
        metavar="NAME,...",
        help="What is measured inside the networks: default, all, none, or some of {probes}. "
        "It changes no result.",
    ),
]

ProbeEpochs = Annotated[
    Any,
    typer.Option(
        parser=epochs,
        metavar="A,B,...",
        show_default=False,
        help="When: 0 is the untrained network, 2.5 the middle of the third epoch. Default: "
        "before the first and after every epoch.",
    ),
]

ProbeImages = Annotated[
    Optional[int],
    typer.Option(help="Test images for the accuracies that probes read. Default: 1000.", min=1),
]

CheckpointEvery = Annotated[
    Any,
    typer.Option(
        parser=seconds,
        metavar="TIME",
        show_default=False,
        help="How often the state of trials is kept, from which a trial that was stopped goes "
        "on: 10m, 0s for never. Default: 30s.",
    ),
]

Out = Annotated[
    Optional[Path],
    typer.Option(
        parser=folder,
        metavar="DIR",
        show_default=False,
        help="The experiment's folder. Default: one in runs/.",
    ),
]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the trials and their cost; train nothing.")
]


def executor_of(
    name: str | None, address: str | None, cpus: float | None, gpus: float | None
) -> "str | OnRay | None":
    """Who runs the trials; raises `UsageError` for options of Ray with another."""
    values = {"address": address, "cpus_per_trial": cpus, "gpus_per_trial": gpus}
    given = {option: value for option, value in values.items() if value is not None}
    if name != "ray" and given:
        option = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{option} is for trials on Ray; add --executor ray, or leave it out")
    if name != "ray":
        return name
    from normscope.executors.ray import OnRay

    return OnRay(**given)


def probe_plan(names: str, epochs: tuple[float, ...] | None, images: int | None) -> "ProbePlan":
    """Which probes are taken while trials train, and when."""
    from normscope.experiment import ProbePlan

    return ProbePlan(tuple(names.split(",")), epochs, images or ProbePlan.images)


def checkpoint_seconds(every: float | None) -> float:
    """How often the state of trials is kept."""
    from normscope.experiment import Keeping

    return Keeping.every_s if every is None else every


def say_that_it_starts(as_json: bool) -> None:
    """At once, in a terminal: what a training needs takes seconds to import."""
    stream = sys.stderr if as_json else sys.stdout
    if stream.isatty():
        print("Starting: loading torch takes a few seconds.", file=stream, flush=True)


@contextmanager
def figures_without_a_home() -> Iterator[None]:
    """Let matplotlib start for a user who has no home folder, where it looks for its settings."""
    if os.environ.get("MPLCONFIGDIR") or _has_home():
        yield
        return
    with TemporaryDirectory(prefix="normscope-") as folder:
        os.environ["MPLCONFIGDIR"] = folder
        yield


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


@contextmanager
def errors_in_one_line(debug: bool) -> Iterator[None]:
    """Turn an error into a message on stderr and an exit code: 2 or 3, or 1 for a defect."""
    try:
        yield
    except KeyboardInterrupt as stop:
        from normscope.cli.interrupt import exit_code

        print("\nStopped.", file=sys.stderr)
        raise typer.Exit(exit_code(stop)) from None
    except NormscopeError as error:
        if debug:
            traceback.print_exc()
            raise typer.Exit(error.exit_code) from error
        message = visible(str(error), keep="\n")
        print(f"normscope: {message}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    except (typer.Exit, BrokenPipeError):  # the reader of a pipe went: typer ends quietly
        raise
    except Exception as error:
        if debug:
            raise
        print(
            f"normscope: unexpected {type(error).__name__}: {visible(str(error))}\n"
            "This is a defect of normscope; --debug shows where, please report it.",
            file=sys.stderr,
        )
        raise typer.Exit(DEFECT) from error
