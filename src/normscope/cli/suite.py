"""The command `normscope suite`: several settings, and one verdict over all of them."""

import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from normscope.cli import options
from normscope.cli.experiments import foresee_parts, raise_if_failed, watched
from normscope.cli.options import (
    Address,
    Alpha,
    AsJson,
    BatchSize,
    CpusPerTrial,
    DataDir,
    Debug,
    DeviceName,
    DryRun,
    Epochs,
    ExecutorName,
    GpusPerTrial,
    Margin,
    MaxLr,
    Norms,
    PrecisionName,
    RecipeOption,
    Seeds,
    Settings,
    TestLimit,
    TrainLimit,
    Workers,
    errors_in_one_line,
    executor_of,
    say_that_it_starts,
)
from normscope.errors import UsageError

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045


def suite(
    datasets: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME|PATH,...",
            help="Some of {datasets}, or folders of images of your own. Default: shapes.",
        ),
    ] = None,
    models: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME,...",
            help="Some of {models}, or of your own as net.py:build. Each is trained on each data "
            "set. Default: the usual one of the data set.",
        ),
    ] = None,
    config: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.file,
            metavar="FILE",
            show_default=False,
            help="TOML file of settings, instead of --datasets and --models (docs/suite.md); "
            "options go before it.",
        ),
    ] = None,
    data_dir: DataDir = None,
    norms: Norms = None,
    baseline: Annotated[
        Optional[str], typer.Option(help="The norm to compare with. Default: the first.")
    ] = None,
    recipe: RecipeOption = None,
    settings: Settings = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    max_lr: MaxLr = None,
    until_decided: Annotated[bool, typer.Option("--until-decided", hidden=True)] = False,
    margin: Margin = None,
    alpha: Alpha = None,
    precision: PrecisionName = None,
    train_limit: TrainLimit = None,
    test_limit: TestLimit = None,
    device: DeviceName = "auto",
    workers: Workers = None,
    executor: ExecutorName = None,
    address: Address = None,
    cpus_per_trial: CpusPerTrial = None,
    gpus_per_trial: GpusPerTrial = None,
    out: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.folder,
            metavar="DIR",
            show_default=False,
            help="The suite's folder, with one for each setting. Default: one in runs/.",
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare norms in several settings, and say what holds over all of them.

    A setting is a data set with a network. Running the same command again trains only what is
    missing; Ctrl-C stops; what was trained stays.
    """
    with errors_in_one_line(debug):
        say_that_it_starts(as_json)
        from normscope.experiment.reading import read_design
        from normscope.experiment.suite import read_suite, settings_of
        from normscope.observers import observer_for
        from normscope.study.checks import kept_design
        from normscope.study.suite import carry_on, plan

        if config is not None and (datasets or models):
            raise UsageError("--config names the settings; leave out --datasets and --models")
        read = partial(read_suite, config) if config else partial(
            settings_of, _names(datasets), _names(models)
        )  # fmt: skip
        asked = read(
            settings or (),
            norms=_names(norms) or None,
            baseline=baseline,
            recipe=recipe,
            seeds=seeds,
            epochs=epochs,
            batch_size=batch_size,
            max_lr=max_lr,
            precision=precision,
            train_limit=train_limit,
            test_limit=test_limit,
        )
        stream = sys.stderr if as_json else sys.stdout
        with closing(observer_for(stream, lambda: None)) as observer:
            planned = plan(
                asked,
                out=out,
                data_dir=data_dir,
                device=device,
                workers=workers,
                executor=executor_of(executor, address, cpus_per_trial, gpus_per_trial),
                design_of=lambda folder: read_design(
                    kept_design(folder),
                    until_decided=until_decided or None,
                    margin_points=margin,
                    alpha=alpha,
                ),
                observer=observer,
            )
        if dry_run:
            foresee_parts(planned.settings, as_json)
            return
        folders = [each.folder for each in planned.settings.values()]
        _show(watched(folders, as_json, partial(carry_on, planned)), as_json)


def _names(text: str | None) -> list[str]:
    """``a, b`` as a list; none for nothing."""
    return [name.strip() for name in text.split(",")] if text is not None else []


def _show(found: Any, as_json: bool) -> None:
    """Print the outcome; raise `RunError` if a trial failed, after all else was said."""
    from normscope.cli.suite_table import show_suite, suite_as_dict

    if as_json:
        print(json.dumps(suite_as_dict(found), indent=2))
    else:
        show_suite(found)
    for comparison in found.comparisons.values():
        raise_if_failed(comparison, comparison.page)
