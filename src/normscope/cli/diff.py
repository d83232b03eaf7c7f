"""The command `normscope diff`: what differs between two experiments, and what that did."""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from normscope.cli import options
from normscope.cli.options import AsJson, Debug, errors_in_one_line

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045


def diff(
    a: Annotated[
        Path,
        typer.Argument(
            parser=options.folder,
            metavar="A",
            show_default=False,
            help="The folder of the experiment that the other is measured against.",
        ),
    ],
    b: Annotated[
        Path,
        typer.Argument(
            parser=options.folder, metavar="B", show_default=False, help="The folder of the other."
        ),
    ],
    margin: Annotated[
        Optional[float],
        typer.Option(
            help="Points within which accuracies, and gaps, are equivalent. Default: that of both."
        ),
    ] = None,
    alpha: Annotated[
        Optional[float],
        typer.Option(
            help="Chance of a false claim, over a family of comparisons. Default: that of both."
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare two experiments: another recipe, precision, version or machine, norm by norm.

    Says what differs between them, and by seed what that did to the accuracy of each norm and to
    its gap to the baseline, B minus A. Trains and writes nothing.
    """
    with errors_in_one_line(debug):
        from normscope.cli.diff_table import diff_as_dict, show_diff
        from normscope.study.diff import diff as compare_folders

        found = compare_folders(a, b, margin_points=margin, alpha=alpha)
        if as_json:
            print(json.dumps(diff_as_dict(found), indent=2))
        else:
            show_diff(found)
