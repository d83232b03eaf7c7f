"""The commands that look inside networks."""

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Optional

import typer

from normscope.cli import options
from normscope.cli.options import AsJson, DataDir, Debug, errors_in_one_line
from normscope.errors import RunError, UsageError
from normscope.words import counted

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045

Folder = Annotated[
    Path,
    typer.Argument(parser=options.folder, metavar="FOLDER", help="The folder of an experiment."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def probe(
    what: Annotated[
        Path,
        typer.Argument(
            parser=options.folder,
            metavar="FOLDER|FILE",
            help="The folder of an experiment, or a file of weights of a network trained "
            "elsewhere: model.pt, model.safetensors.",
        ),
    ],
    probes: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="What is measured: default, all, or some of {probes}."
        ),
    ] = "default",
    model: Annotated[
        Optional[str],
        typer.Option(help="Of a file: net.py:build, which makes its network, or one of {models}."),
    ] = None,
    norm: Annotated[
        Optional[str],
        typer.Option(help="Of a file: its norm, for a network that is made with one."),
    ] = None,
    dataset: options.DatasetName = None,
    data_dir: DataDir = None,
    image_size: options.ImageSize = None,
    test_limit: options.TestLimit = None,
    device: Device = "auto",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Look into networks that were trained: those in a folder, or one from a file of weights.

    Nothing is trained. `normscope compare --probes` also looks into them while they train.
    """
    with errors_in_one_line(debug):
        if what.is_dir() or (model is None and not what.is_file()):
            given = {
                "model": model,
                "norm": norm,
                "dataset": dataset,
                "image-size": image_size,
                "test-limit": test_limit,
            }
            named = [f"--{key}" for key, value in given.items() if value is not None]
            if named:
                raise UsageError(f"{what} says what is looked into; leave out {', '.join(named)}")
            _probe_folder(what, probes.split(","), data_dir, device)
            return
        if model is None:
            raise UsageError(f"say with --model what {what} holds the weights of: net.py:build")
        from normscope.cli.looks import looked_as_dict, show_looked
        from normscope.experiment.reading import read_experiment
        from normscope.study.elsewhere import probe_weights

        experiment = read_experiment(
            model=model,
            dataset=dataset,
            image_size=image_size,
            norms=[norm or "bn"],
            test_limit=test_limit,
        )
        looked = probe_weights(
            what, experiment, probes.split(","), as_it_is=norm is None, data_dir=data_dir,
            device=device,
        )  # fmt: skip
        if as_json:
            print(json.dumps(looked_as_dict(looked), indent=2))
        else:
            show_looked(looked)
        if looked.probes.failures:
            name, why = next(iter(looked.probes.failures.items()))
            failed = counted(len(looked.probes.failures), "probe")
            raise RunError(f"{failed} failed, first {name}: {why}")


def _probe_folder(folder: Path, probes: Sequence[str], data_dir: Path | None, device: str) -> None:
    from normscope.cli.show import tell
    from normscope.observers import observer_for
    from normscope.study.probe import probe as run

    with closing(observer_for(sys.stdout, lambda: None)) as observer:
        probed = run(folder, probes, data_dir=data_dir, device=device, observer=observer)
    print(f"Looked into {counted(probed.trials, 'network')}.")
    tell(f"Report: {probed.comparison.page}")
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
        from normscope.cli.show import tell
        from normscope.observers import observer_for
        from normscope.study.explain import explain as run

        with closing(observer_for(sys.stdout, lambda: None)) as observer:
            explained = run(
                folder, method, data_dir=data_dir, device=device, seed=seed, observer=observer
            )
        maps = explained.heat_maps
        tell(
            f"Explained {counted(len(maps.indexes), 'picture')} by {maps.method}, with the "
            f"networks of {', '.join(maps.norms)} of seed {maps.seed}."
        )
        tell(f"Report: {explained.comparison.page}")
