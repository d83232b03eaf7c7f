"""The command that says, from another terminal, how far an experiment is."""

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normscope.cli import options
from normscope.cli.options import AsJson, Debug, errors_in_one_line
from normscope.words import counted, duration, number

if TYPE_CHECKING:
    from rich.console import Group

    from normscope.study.status import ExperimentStatus

EVERY_S = 2.0


def status(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=options.folder,
            metavar="FOLDER",
            help="The folder of an experiment, or of a suite.",
        ),
    ],
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it every two seconds until nothing trains.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say how far an experiment is: trials that run, ended and failed, and the time left.

    It only reads, so it may be called while the experiment trains, and afterwards.
    """
    with errors_in_one_line(debug):
        from normscope.study.status import status as look

        if as_json:
            found = look(folder)
            while True:
                print(json.dumps([as_dict(each) for each in found], indent=None if watch else 2))
                if not watch or not any(each.alive for each in found):
                    return
                time.sleep(EVERY_S)
                found = look(folder)
        _show(folder, watch)


def _show(folder: Path, watch: bool) -> None:
    from rich.live import Live

    from normscope.cli.show import console
    from normscope.study.status import status as look

    screen, found = console(), look(folder)
    if not watch:
        screen.print(_drawn(found))
        return
    with Live(_drawn(found), console=screen, auto_refresh=False) as live:
        while any(each.alive for each in found):
            time.sleep(EVERY_S)
            found = look(folder)
            live.update(_drawn(found), refresh=True)


def _drawn(found: Sequence["ExperimentStatus"]) -> "Group":
    from rich.console import Group

    return Group(*(part for each in found for part in _parts(each)))


def _parts(status: "ExperimentStatus") -> list[Any]:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    several = len({norm.batch_size for norm in status.norms}) > 1
    table.add_column("norm")
    for heading in (*(["batch"] if several else []), "trials", "ended", "failed", "test acc. %"):
        table.add_column(heading, justify="right")
    for norm in status.norms:
        accuracy = norm.test_accuracy_percent
        row = [norm.norm, *([f"{norm.batch_size:,}"] if several else [])]
        row += [str(norm.planned), str(norm.finished + norm.guessing), str(norm.failed)]
        table.add_row(*(Text(cell) for cell in (*row, number(accuracy, 1))))
    return [
        Text(f"{status.folder}: {headline(status)}"),
        *(Text(f"  {line}") for line in running(status)),
        table,
        *(Text(line) for line in status.verdicts),
        *([Text(waiting(status))] if waiting(status) else []),
        Text(""),
    ]


def headline(status: "ExperimentStatus") -> str:
    """``training, 4 of 9 trials ended, 1 failed, 12 min left``."""
    parts = [status.state, f"{status.ended} of {counted(status.planned, 'trial')} ended"]
    if status.tuning:
        parts.append(f"{status.tuning} of the search for learning rates")
    if status.searching:
        parts.append(f"{status.searching} of it to come")
    if status.failed:
        parts.append(f"{status.failed} failed")
    if len(status.processes) > 1:
        parts.append(f"{len(status.processes)} processes")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    elif not status.alive and status.missing and status.seconds_missing:
        parts.append(f"{status.missing} missing: {duration(status.seconds_missing)} of training")
    return ", ".join(parts)


def running(status: "ExperimentStatus") -> list[str]:
    """A line for each trial that runs now."""
    more = sum(process.running_more for process in status.processes)
    return [
        f"{trial.name}  epoch {trial.epoch}/{trial.epochs}"
        + (
            f"  test {trial.test_accuracy_percent:.1f} %"
            if trial.test_accuracy_percent is not None
            else ""
        )
        for process in status.processes
        for trial in process.running
    ] + ([f"and {counted(more, 'trial')} more"] if more else [])


def waiting(status: "ExperimentStatus") -> str:
    """Why there are no verdicts, or what to do next."""
    if status.state == "complete":
        return f"`normscope report {shlex.quote(str(status.folder))}` writes the report."
    if status.failed and not status.alive:
        return f"`normscope retry {shlex.quote(str(status.folder))}` runs the failed trials again."
    if not status.sequential:
        return "A fixed design gives its verdicts when all of its trials are there."
    return ""


def as_dict(status: "ExperimentStatus") -> dict[str, Any]:
    """The same as plain values."""
    return {
        "folder": str(status.folder),
        "state": status.state,
        "planned": status.planned,
        "ended": status.ended,
        "failed": status.failed,
        "missing": status.missing,
        "tuning": status.tuning,
        "searching": status.searching,
        "norms": [vars(norm) for norm in status.norms],
        "design": "sequential" if status.sequential else "fixed",
        "verdicts": list(status.verdicts),
        "seconds_missing": status.seconds_missing,
        "processes": [process.model_dump() for process in status.processes],
    }
