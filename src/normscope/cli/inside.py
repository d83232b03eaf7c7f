"""The commands that look inside networks."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Optional

import typer

from normscope.cli import options
from normscope.cli.options import DataDir, Debug, errors_in_one_line
from normscope.errors import RunError
from normscope.words import counted

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045

Folder = Annotated[
    Path,
    typer.Argument(parser=options.folder, metavar="FOLDER", help="The folder of an experiment."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def probe(
    folder: Folder,
    probes: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="What is measured: default, all, or some of {probes}."
        ),
    ] = "default",
    data_dir: DataDir = None,
    device: Device = "auto",
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


def explain(
    folder: Folder,
    method: Annotated[str, typer.Option(help="grad-cam or occlusion.")] = "grad-cam",
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Annotated[
        Optional[int],
        typer.Option(show_default=False, help="Whose networks. Default: the first one."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Show in a folder's report where its networks looked on the pictures they got wrong.

    Nothing is trained. It needs captum: pip install "normscope[explain]".
    """
    with errors_in_one_line(debug):
        from normscope.observers import observer_for
        from normscope.study.explain import explain as run

        with closing(observer_for(sys.stdout, lambda: None)) as observer:
            explained = run(
                folder, method, data_dir=data_dir, device=device, seed=seed, observer=observer
            )
        maps = explained.heat_maps
        print(
            f"Explained {counted(len(maps.indexes), 'picture')} by {maps.method}, with the "
            f"networks of {', '.join(maps.norms)} of seed {maps.seed}."
        )
        print(f"Report: {explained.comparison.page}")
