"""The commands that put an experiment's trained networks to use: `predict` and `export`."""

import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normscope.cli import options
from normscope.cli.options import AsJson, DataDir, Debug, ExperimentFolder, errors_in_one_line

if TYPE_CHECKING:
    from normscope.observers import Observer
    from normscope.study.predict import Predicted

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045

NormOfFolder = Annotated[
    Optional[str],
    typer.Option(
        "--norm",
        show_default=False,
        help="Whose networks. Default: the recommended one; of several, or without a "
        "recommendation, the one with the highest mean test accuracy.",
    ),
]


def predict(
    folder: ExperimentFolder,
    images: Annotated[
        list[Path],
        typer.Argument(
            parser=options.file,
            metavar="IMAGE",
            show_default=False,
            help="Files of images. Each is cut to the square in its middle and resized to the size "
            "of the experiment's images.",
        ),
    ],
    norm: NormOfFolder = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Classify images with the networks that an experiment trained.

    All seeds of one norm answer whose weights are there: shown are the mean of their probabilities,
    and how many of them agree on the first class.
    """
    with errors_in_one_line(debug):
        from normscope.study.predict import predict as run

        with _observer(as_json) as observer:
            predicted = run(folder, images, norm, data_dir=data_dir, observer=observer)
        if as_json:
            print(json.dumps(_as_dict(predicted), indent=2))
        else:
            _show(predicted)


def _observer(as_json: bool) -> "closing[Observer]":
    """Who tells of data sets that are looked for."""
    from normscope.observers import observer_for

    return closing(observer_for(sys.stderr if as_json else sys.stdout, lambda: None))


def _show(predicted: "Predicted") -> None:
    from normscope.cli.show import console, say
    from normscope.words import counted, number

    columns = console().width
    seeds = len(predicted.seeds)
    say(predicted.why, columns)
    say(f"The networks of {predicted.norm}, {counted(seeds, 'seed')}:", columns)
    for each in predicted.images:
        classes = ", ".join(f"{name} {number(100 * share, 1)} %" for name, share in each.top)
        said = f"{each.agreeing} of {counted(seeds, 'seed')} say {each.top[0][0]}"
        say(f"{each.image}: {classes}; {said}", columns, indent="  ")


def _as_dict(predicted: "Predicted") -> dict[str, Any]:
    return {
        **asdict(predicted),
        "images": [
            {
                "image": str(each.image),
                "top": [{"class": name, "probability": share} for name, share in each.top],
                "agreeing": each.agreeing,
            }
            for each in predicted.images
        ],
    }


def export(
    folder: ExperimentFolder,
    norm: NormOfFolder = None,
    seed: Annotated[
        Optional[int],
        typer.Option(
            show_default=False, help="Whose network. Default: the first whose weights are there."
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option("--format", help="onnx, or torch: a program of torch.export, a .pt2 file."),
    ] = "onnx",
    out: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.file,
            metavar="FILE",
            show_default=False,
            help="Default: the norm and the seed, such as bn-seed0.onnx, in the working folder, "
            "unless that is there already.",
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write a trained network into a file that needs no normscope, checked on real test images.

    It turns pixels in [0, 1], float32 (N, 3, H, W), into probabilities, for any N; its metadata
    tell the names of the classes. ONNX needs the extra `export` of normscope (docs/winner.md).
    """
    with errors_in_one_line(debug):
        from normscope.cli.show import console, say, tell
        from normscope.study.export import export as run

        with _observer(as_json) as observer:
            exported = run(
                folder, norm, seed, format=kind, out=out, data_dir=data_dir, observer=observer
            )
        if as_json:
            print(json.dumps({**asdict(exported), "path": str(exported.path)}, indent=2))
            return
        say(exported.why, console().width)
        say(
            f"{exported.norm}, seed {exported.seed}: on {exported.images} test images the file's "
            f"probabilities are those of the network within {exported.difference:.1e}.",
            console().width,
        )
        tell(f"File: {exported.path}")
