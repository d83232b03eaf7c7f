"""The command `normscope doctor`: what is wrong with an experiment's folder, and what to do."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normscope.cli import options
from normscope.cli.options import AsJson, Debug, errors_in_one_line
from normscope.errors import RunError
from normscope.words import counted

if TYPE_CHECKING:
    from normscope.study.doctor import Diagnosis


def doctor(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=options.folder, metavar="FOLDER", help="The folder of an experiment."
        ),
    ],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Read all that a folder holds, and name what is damaged, missing, foreign or left over.

    Nothing is changed. Ends with 0 if all is well, and with 3 if not.
    """
    with errors_in_one_line(debug):
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
