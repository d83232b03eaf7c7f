"""The commands that train nothing: seeds to plan for, norms there are, layers of a model."""

import json
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from normscope.cli import options
from normscope.cli.options import (
    Alpha,
    AsJson,
    Debug,
    Margin,
    ModelName,
    RecipeOption,
    errors_in_one_line,
)
from normscope.errors import RunError, UsageError

# ruff: noqa: UP045  # typer reads annotations at run time, on Python 3.10 too


def plan(
    difference: Annotated[float, typer.Option(help="True difference to be found, in points.")],
    sd: Annotated[
        Optional[float],
        typer.Option(
            help="Standard deviation of paired differences over seeds, in points. Default: that of "
            "--from, or what is typical of the data set."
        ),
    ] = None,
    source: Annotated[
        Optional[Path],
        typer.Option(
            "--from",
            parser=options.folder,
            metavar="FOLDER",
            show_default=False,
            help="An experiment that is there: its sd, its norms, and the time of its trials.",
        ),
    ] = None,
    norms: Annotated[
        Optional[int],
        typer.Option(help="Number of norms, the baseline included. Default: 3."),
    ] = None,
    batch_sizes: Annotated[
        Optional[int], typer.Option(help="Number of batch sizes, all of one family. Default: 1.")
    ] = None,
    margin: Margin = None,
    alpha: Alpha = None,
    max_seeds: Annotated[
        Optional[int], typer.Option(help="At most so many, until decided. Default: 30.")
    ] = None,
    dataset: Annotated[
        Optional[str],
        typer.Option(help="Whose trials are timed here, and whose sd is typical. Default: shapes."),
    ] = None,
    model: ModelName = None,
    recipe: RecipeOption = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say how many seeds a difference takes to be found, and how long that takes here.

    Also how many it takes to call norms equivalent, if they are.
    """
    with errors_in_one_line(debug):
        from normscope.cli.show import console, show_seed_plan
        from normscope.experiment.reading import read_design, read_experiment
        from normscope.study.forecast import seconds_per_trial
        from normscope.study.power import pilot_in, plan_seeds, typical

        if source is not None and (dataset, model, recipe) != (None, None, None):
            raise UsageError(
                "--from has its own data set, model and recipe: leave --dataset, --model and "
                "--recipe out"
            )
        if source is not None:
            known = pilot_in(source)
        else:
            known = typical(read_experiment(dataset=dataset, model=model, recipe=recipe))
        if sd is None and known.sd is None:
            raise UsageError(
                f"no sd is known of {known.words}; name it with --sd, or a folder with --from"
            )
        spread = known.sd if sd is None else sd
        planned = plan_seeds(
            difference,
            spread or 0.0,
            known.norms if norms is None else norms,
            len(known.experiment.batch_sizes) if batch_sizes is None else batch_sizes,
            read_design(known.design, margin_points=margin, alpha=alpha, max_seeds=max_seeds),
        )
        seconds = known.seconds_per_trial or seconds_per_trial(known.experiment)
        if as_json:
            print(json.dumps({**asdict(planned), "seconds_per_trial": seconds}, indent=2))
        else:
            if sd is None:
                print(f"{textwrap.fill(f'The sd is that of {known.words}.', console().width)}\n")
            whose = f"{known.experiment.dataset} with {known.experiment.model} on this machine"
            show_seed_plan(planned, seconds, whose if source is None else f"trials as in {source}")


def cost(
    folder: Annotated[
        Optional[Path],
        typer.Argument(
            parser=options.folder,
            metavar="FOLDER",
            show_default=False,
            help="An experiment's: measure its norms, and put them into its report.",
        ),
    ] = None,
    norms: Annotated[
        Optional[str], typer.Option(help="Some of {norms}. Default: bn,gn,ln.")
    ] = None,
    model: Annotated[
        Optional[str], typer.Option(help="One of {models}, or yours: net.py:build. Default: s8.")
    ] = None,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    image_size: options.ImageSize = None,
    placement: Annotated[
        Optional[str], typer.Option(help="post (default), pre or both, as for compare.")
    ] = None,
    recipe: Annotated[
        Any,
        typer.Option(
            parser=options.recipe,
            metavar="NAME|FILE",
            show_default=False,
            help="Whose training step is timed; one of {recipes}, or a TOML file.",
        ),
    ] = None,
    batch_size: Annotated[Optional[int], typer.Option(help="Instead of the recipe's.")] = None,
    precision: Annotated[Optional[str], typer.Option(help="Of the step: fp32 or bf16.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(help="Of a CPU.")] = 1,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure what each norm costs, and forecast its training; trains nothing.

    Training step, inference, memory, parameters. With the folder of an experiment, its report
    tells of it.
    """
    with errors_in_one_line(debug):
        from normscope.experiment.reading import option_of, read_experiment

        chosen = {
            "norms": [norm.strip() for norm in norms.split(",")] if norms is not None else None,
            "model": model,
            "dataset": dataset,
            "image_size": image_size,
            "placement": placement,
            "recipe": recipe,
            "batch_size": batch_size,
            "precision": precision,
        }
        from normscope.observers import PlainLines

        told = PlainLines(sys.stderr)
        where = {"data_dir": data_dir, "device": device, "threads": threads, "observer": told}
        if folder is not None:
            given = [option_of(key) for key, value in chosen.items() if value is not None]
            if given:
                raise UsageError(f"{folder} says what is measured; leave out {', '.join(given)}")
            from normscope.study.cost import cost_of_folder

            costs = cost_of_folder(folder, **where)
        else:
            from normscope.study.cost import cost as measure

            costs = measure(read_experiment(**chosen), **where)
        from normscope.cli.cost import show_costs
        from normscope.cli.show import tell
        from normscope.report import PAGE

        if as_json:
            print(costs.model_dump_json(indent=2))
        else:
            show_costs(costs)
            if folder is not None:
                tell(f"\nReport: {folder / PAGE}")


def summary(
    model: Annotated[str, typer.Option(help="One of {models}, or yours: net.py:build.")] = "s8",
    norm: Annotated[str, typer.Option(help="One of {norms}, or yours: my.py:Norm.")] = "bn",
    classes: Annotated[int, typer.Option(help="Number of classes.", min=1, max=100_000)] = 10,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print the table of a model's layers: output shapes, parameters, multiply-adds, sizes."""
    with errors_in_one_line(debug):
        from normscope.cli.show import show_summary
        from normscope.models.summary import summarize
        from normscope.study.own import known_model, known_norm

        found = summarize(known_model(model), known_norm(norm), classes)
        if as_json:
            totals = {name: getattr(found, name) for name in ("parameters", "multiply_adds")}
            values = {**found.model_dump(), **totals, "size_mib": found.size_mib()}
            print(json.dumps(values, indent=2))
        else:
            show_summary(found)


def norms(
    norm: Annotated[
        Optional[str],
        typer.Argument(metavar="NORM", help="Show one, worked on a few numbers: gn, gn:groups=2."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List the norms there are: formula, statistics, parameters, evaluation, source."""
    with errors_in_one_line(debug):
        from normscope.norms import PACKAGED_NORMS, asked, canonical, parse

        if norm is None:
            from normscope.cli.norms import norm_as_dict, show_norms

            if as_json:
                print(json.dumps({name: norm_as_dict(name) for name in PACKAGED_NORMS}, indent=2))
            else:
                show_norms()
            return
        asked(norm)  # or it is unknown, which is told before torch is imported
        from normscope.cli.norms import norm_as_dict, show_norm
        from normscope.study.worked import worked_example

        found = worked_example(norm)
        if as_json:
            about = norm_as_dict(parse(canonical(norm)).name)
            numbers = {"before": found.before.tolist(), "after": found.after.tolist()}
            print(json.dumps({**about, "example": {"norm": found.norm, **numbers}}, indent=2))
        else:
            show_norm(found)


def check_norm(
    norm: Annotated[
        str, typer.Argument(metavar="NORM", help="A norm, such as my.py:CustomNorm or gn:groups=2.")
    ],
    channels: Annotated[int, typer.Option(help="Number of channels.", min=1, max=10_000)] = 16,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Try a norm on random images: what must hold of it, and what is good to know."""
    with errors_in_one_line(debug):
        from normscope.study.own import known_norm

        name = known_norm(norm)
        from normscope.cli.norms import show_checks
        from normscope.study.contract import check_norm as run

        checks = run(name, channels)
        if as_json:
            print(json.dumps([asdict(check) for check in checks], indent=2))
        else:
            show_checks(norm, checks)
        failed = [check.name for check in checks if check.holds is False]
        if failed:
            raise RunError(f"{norm}: {len(failed)} of what must hold does not: {', '.join(failed)}")
