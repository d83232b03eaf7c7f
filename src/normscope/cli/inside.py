"""The commands that look inside networks."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from normscope.cli import options
from normscope.cli.options import DataDir, Debug, errors_in_one_line
from normscope.errors import RunError
from normscope.words import counted


def probe(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=options.folder, metavar="FOLDER", help="The folder of an experiment."
        ),
    ],
    probes: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="What is measured: default, all, or some of {probes}."
        ),
    ] = "default",
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    debug: Debug = False,
) -> None:
    """Look into the networks that a folder holds, before and after their training.

    Nothing is trained. `normscope compare --probes` also looks into them while they train.
    """
    with errors_in_one_line(debug):
        from normscope.observers import observer_for
        from normscope.study.probe import probe as run

        with closing(observer_for(sys.stdout, lambda: None)) as observer:
            probed = run(
                folder, probes.split(","), data_dir=data_dir, device=device, observer=observer
            )
        print(f"Looked into {counted(probed.trials, 'network')}.")
        print(f"Report: {probed.comparison.page}")
        if probed.failures:
            where, why = next(iter(probed.failures.items()))
            raise RunError(f"{counted(len(probed.failures), 'probe')} failed, first {where}: {why}")
