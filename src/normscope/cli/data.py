"""The commands of `normscope data`: list, fetch, add, verify, show and check data sets."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Optional

import typer

from normscope.cli.options import (
    AsJson,
    DataDir,
    Debug,
    ImageSize,
    SkipBad,
    errors_in_one_line,
    file,
)
from normscope.errors import RunError
from normscope.words import visible

# ruff: noqa: UP045  # typer reads annotations at run time, on Python 3.10 too

data_app = typer.Typer(
    no_args_is_help=True, help="List, fetch, add, verify, show and check data sets."
)


@data_app.command("list")
def list_datasets(data_dir: DataDir = None, debug: Debug = False) -> None:
    """Say which data sets there are, and where on this machine."""
    with errors_in_one_line(debug):
        from normscope import data

        for name, source in data.DATASETS.items():
            place = "made in memory" if source.make else data.find(name, data_dir) or "not here"
            print(f"{name:10} {visible(str(place))}\n{'':10} {source.description}")


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")],
    source: Annotated[
        Optional[list[str]], typer.Option(help="URL to try instead of the known ones; repeatable.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Download a data set into the user's cache folder; goes on where an earlier try ended."""
    with errors_in_one_line(debug):
        from normscope import data
        from normscope.observers import observer_for

        with closing(observer_for(sys.stdout)) as observer:
            place = data.fetch(
                name, tuple(source) if source else None, observer.downloaded, observer.noticed
            )
        print(f"{name} is at {visible(str(place))}")


@data_app.command()
def add(
    file: Annotated[Path, typer.Argument(help="An archive or an extracted folder you have.")],
    debug: Debug = False,
) -> None:
    """Verify a data set you have and copy it to where normscope looks."""
    with errors_in_one_line(debug):
        from normscope import data

        print(f"verified, and copied to {visible(str(data.add(file)))}")


@data_app.command()
def verify(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")],
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Check every file of a data set against its official check sum."""
    with errors_in_one_line(debug):
        from normscope import data

        place, rows = data.find(name, data_dir), data.verify(name, data_dir)
        for file, fault in rows.items():
            print(f"{fault or 'ok':10} {file}")
        if any(rows.values()):
            raise RunError(f"{place} is damaged; restore it, or move it away and fetch it again")


@data_app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME|PATH", help="shapes, cifar10, ..., or images of your own."),
    ],
    out: Annotated[Optional[Path], typer.Option(help="Default: NAME.png.")] = None,
    data_dir: DataDir = None,
    image_size: ImageSize = None,
    skip_bad: SkipBad = None,
    debug: Debug = False,
) -> None:
    """Write a picture of sample images with their class names."""
    with errors_in_one_line(debug):
        from normscope import data
        from normscope.data.gallery import save_samples
        from normscope.experiment import Experiment
        from normscope.files import user_path
        from normscope.observers import observer_for
        from normscope.study.own_images import named

        asked = Experiment(dataset=name, image_size=image_size, skip_bad=bool(skip_bad))
        with closing(observer_for(sys.stdout)) as observer:
            dataset = named(asked, data_dir, observer).dataset
        picture = user_path(out or f"{dataset}.png")
        save_samples(data.load_dataset(dataset, data_dir), picture)
        print(f"wrote {visible(str(picture))}")


@data_app.command()
def check(
    path: Annotated[
        Path, typer.Argument(parser=file, metavar="DIR", help="A folder or file of your images.")
    ],
    image_size: ImageSize = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images out, as compare then does.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Name all that was found, not the first five of a kind.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Look through images of your own: what is wrong with them, and how they would be read."""
    with errors_in_one_line(debug):
        from normscope.cli.images import findings_as_dict, show_findings
        from normscope.data.own import inspect, verdict
        from normscope.observers import observer_for

        with closing(observer_for(sys.stderr)) as observer:
            findings = inspect(
                path, image_size=image_size, skip_bad=skip_bad, progress=observer.images_read
            )
        outcome = verdict(findings, str(path), skip_bad)
        if as_json:
            print(json.dumps(findings_as_dict(findings, skip_bad), indent=2))
        else:
            show_findings(findings, every)
        if findings.stops(skip_bad):
            raise RunError(f"compare would stop: {outcome}")
        if not as_json:
            print(visible(outcome))
