"""The command `normscope write-up`: an experiment as a page that can be handed in."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from normscope.cli import options
from normscope.cli.options import Debug, ExperimentFolder, Levels, errors_in_one_line

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045


def write_up(
    folder: ExperimentFolder,
    out: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.folder,
            metavar="DIR",
            show_default=False,
            help="Write it there. Default: FOLDER/write-up.",
        ),
    ] = None,
    latex: Annotated[
        bool,
        typer.Option(
            "--latex", help="For a paper too: tables (booktabs), the method, BibTeX, in latex/."
        ),
    ] = False,
    level: Levels = None,
    debug: Debug = False,
) -> None:
    """Write an experiment up as a page to hand in: Markdown, with its pictures beside it.

    Such as: normscope write-up runs/cifar10-s8-s8 --out hand-in --latex
    """
    with errors_in_one_line(debug):
        from normscope.cli.show import tell
        from normscope.study.comparison import Comparison

        page = Comparison.read(folder, level).write_up(out, latex)
        tell(f"Write-up: {page}")
        if latex:
            tell(f"For a paper: {page.parent / 'latex'}")
