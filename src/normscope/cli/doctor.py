"""The command `normscope doctor`: what is wrong with a folder, or what this machine has."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normscope.cli import options
from normscope.cli.options import AsJson, DataDir, Debug, errors_in_one_line
from normscope.errors import RunError, UsageError
from normscope.words import counted, duration

if TYPE_CHECKING:
    from normscope.study.doctor import Diagnosis
    from normscope.study.machine import Machine, Speed

# ruff: noqa: UP045  # typer reads annotations at run time, on Python 3.10 too

USUAL = "fp32"
STANDARD = "cifar10"  # and all else as it is unless asked for otherwise


def doctor(
    folder: Annotated[
        Optional[Path],
        typer.Argument(
            parser=options.folder,
            metavar="FOLDER",
            show_default=False,
            help="The folder of an experiment. Without it: this machine.",
        ),
    ] = None,
    data_dir: DataDir = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip the timing, which takes a minute.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what is wrong with an experiment's folder, or what this machine has and how fast it is.

    With FOLDER, read all that it holds, and name what is damaged, missing, foreign or left over;
    nothing is changed. Ends with 0 if all is well, and with 3 if not.

    Without, show versions, processor, GPU, data sets and extras, and how long the experiment on
    CIFAR-10 would take here.
    """
    if folder is None:
        with errors_in_one_line(debug):
            _examine_machine(data_dir, quick, as_json)
        return
    _examine_folder(folder, data_dir, quick, as_json, debug)


def _examine_folder(
    folder: Path, data_dir: Path | None, quick: bool, as_json: bool, debug: bool
) -> None:
    with errors_in_one_line(debug):
        if data_dir is not None or quick:
            raise UsageError("--data-dir and --quick apply only without FOLDER")
        from normscope.study.doctor import examine

        found = examine(folder)
        if as_json:
            print(json.dumps(_as_dict(found), indent=2))
        else:
            _show(found)
    if not found.well:
        raise typer.Exit(RunError.exit_code)


def _as_dict(found: "Diagnosis") -> dict:
    return {
        "folder": str(found.folder),
        "well": found.well,
        "trials": found.trials,
        "without_record": found.without_record,
        "dropped": found.dropped,
        "findings": [asdict(finding) for finding in found.findings],
    }


def _show(found: "Diagnosis") -> None:
    from normscope.cli.show import tell

    for finding in found.findings:
        tell(f"{finding.path}: {finding.state}: {finding.reason}\n    {finding.advice}")
    wrong = counted(len(found.findings), "thing") if found.findings else "nothing"
    tell(f"{counted(found.trials, 'trial')} read; {wrong} wrong with {found.folder}.")
    if found.without_record:
        print(f"{counted(found.without_record, 'planned trial')} without a record.")
    if found.dropped:
        print(f"{counted(found.dropped, 'planned trial')} not trained, since decided.")


def _examine_machine(data_dir: Path | None, quick: bool, as_json: bool) -> None:
    from normscope.experiment import Experiment
    from normscope.study.machine import machine, precisions, speed

    found = machine(data_dir)
    asked = Experiment(dataset=STANDARD)
    if as_json:
        times = () if quick else map(speed, _in(precisions(), asked))
        print(json.dumps(_machine_as_dict(found, list(times)), indent=2))
        return
    _show_machine(found)
    if quick:
        return
    print(f"\nTiming a few steps of {', '.join(asked.norms)} on random images of their size ...")
    for each in _in(precisions(), asked):
        _show_speed(speed(each))


def _in(precisions: Sequence[str], experiment: Any) -> list[Any]:
    """The experiment in each of the precisions."""
    recipe = experiment.recipe
    return [
        experiment.model_copy(update={"recipe": recipe.model_copy(update={"precision": precision})})
        for precision in precisions
    ]


def _machine_as_dict(found: "Machine", speeds: "list[Speed]") -> dict[str, Any]:
    data = {name: str(place) if place else None for name, place in found.data.items()}
    times = [
        {
            "precision": each.experiment.recipe.precision,
            "trials": len(each.foreseen.trials),
            "how": each.how,
            "images_per_second": each.images_per_second,
            "seconds": each.foreseen.seconds,
        }
        for each in speeds
    ]
    return {**asdict(found), "data": data, "dataset": STANDARD, "speed": times}


def _show_machine(found: "Machine") -> None:
    from normscope.cli.show import tell

    tell(", ".join(f"{name} {version}" for name, version in found.versions.items()))
    busy = "" if found.load is None else f"; load {found.load:.1f} over the last minute"
    tell(f"processor  {found.processor}")
    tell(f"cores      {found.cores}{busy}")
    tell(f"GPU        {', '.join(found.gpus) or 'none'}")
    for name, place in found.data.items():
        missing = f"not here: normscope data fetch {name}"
        tell(f"{name:10} {place or missing}")
    for extra, packages in found.extras.items():
        missing = [name for name, version in packages.items() if version is None]
        versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
        words = f'not installed: pip install "normscope[{extra}]"' if missing else versions
        tell(f"{extra:10} {words}")


def _show_speed(found: "Speed") -> None:
    from normscope.cli.show import busy_words, tell

    asked, trials = found.experiment, counted(len(found.foreseen.trials), "trial")
    precision = asked.recipe.precision
    flag = "" if precision == USUAL else f" --precision {precision}"
    tell(f"\n{found.how}")
    tell(f"  {found.images_per_second:,.0f} training images per second, tests included")
    tell(
        f"  normscope compare --dataset {asked.dataset}{flag}: {trials} of "
        f"{counted(asked.recipe.epochs, 'epoch')} in about {duration(found.foreseen.seconds)}"
    )
    if words := busy_words(found.foreseen):
        print(f"  {words}")
