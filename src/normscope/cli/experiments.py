"""The commands that train and report: arguments in, messages and exit codes out."""

import json
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from normscope.cli import options
from normscope.cli.options import (
    AsJson,
    DataDir,
    Debug,
    Levels,
    errors_in_one_line,
)
from normscope.errors import RunError

# torch, pandas and matplotlib take seconds to import: each command imports what it needs.
# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045


def compare(
    dataset: Annotated[
        Optional[str], typer.Option(help="One of {datasets}. Default: shapes, which is embedded.")
    ] = None,
    data_dir: DataDir = None,
    model: Annotated[Optional[str], typer.Option(help="One of {models}. Default: s8.")] = None,
    norms: Annotated[
        Optional[str],
        typer.Option(
            help="Some of {norms}, separated by commas; the first is the baseline. "
            "Default: bn,gn,ln."
        ),
    ] = None,
    baseline: Annotated[
        Optional[str], typer.Option(help="The norm to compare with. Default: the first.")
    ] = None,
    placement: Annotated[
        Optional[str],
        typer.Option(
            help="Where norms sit that say no place: post, after the activation (default), pre, "
            "before it, or both, which compares the two."
        ),
    ] = None,
    recipe: Annotated[
        Any,
        typer.Option(
            parser=options.recipe,
            metavar="NAME|FILE",
            show_default=False,
            help="One of {recipes}, or a TOML file of one. Default: quick on shapes, s8 elsewhere.",
        ),
    ] = None,
    settings: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            show_default=False,
            help="Change a value of the recipe, such as max_lr=0.05 or augmentation=flip,crop; "
            "may be repeated.",
        ),
    ] = None,
    seeds: Annotated[
        Any,
        typer.Option(
            parser=options.seeds,
            metavar="N|A,B,...",
            show_default=False,
            help="Trials per norm, or the seeds themselves. Default: 5 on shapes, 3 elsewhere.",
        ),
    ] = None,
    epochs: Annotated[Optional[int], typer.Option(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[
        Optional[int],
        typer.Option(help="Instead of the recipe's; the learning rate is scaled with it."),
    ] = None,
    batch_sizes: Annotated[
        Any,
        typer.Option(
            parser=options.integers,
            metavar="A,B,...",
            show_default=False,
            help="Compare at each of these; the learning rate is scaled with it.",
        ),
    ] = None,
    max_lr: Annotated[
        Optional[float], typer.Option(help="Peak learning rate, per step, instead of the recipe's.")
    ] = None,
    protocol: Annotated[
        Optional[str],
        typer.Option(help="drop-in (default): one recipe for all; tuned: a rate for each norm."),
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds until every comparison is decided.")
    ] = False,
    max_seeds: Annotated[
        Optional[int], typer.Option(help="At most so many, until decided. Default: 30.")
    ] = None,
    budget: Annotated[
        Any,
        typer.Option(
            parser=options.seconds,
            metavar="TIME",
            show_default=False,
            help="Begin nothing that would end after that time, until decided: 2h, 90m.",
        ),
    ] = None,
    margin: Annotated[
        Optional[float],
        typer.Option(help="Points within which norms are equivalent. Default: 0.5."),
    ] = None,
    alpha: Annotated[
        Optional[float],
        typer.Option(help="Chance of a false claim, over all comparisons. Default: 0.05."),
    ] = None,
    level: Levels = None,
    precision: Annotated[
        Optional[str], typer.Option(help="fp32 (default), or bf16 where the processor has it.")
    ] = None,
    train_limit: Annotated[
        Optional[int], typer.Option(help="Use only the first N training images.")
    ] = None,
    test_limit: Annotated[
        Optional[int], typer.Option(help="Use only the first N test images.")
    ] = None,
    probes: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="What is measured inside the networks: default, all, none, or some of {probes}. "
            "It changes no result.",
        ),
    ] = "none",
    probe_epochs: Annotated[
        Any,
        typer.Option(
            parser=options.epochs,
            metavar="A,B,...",
            show_default=False,
            help="When: 0 is the untrained network, 2.5 the middle of the third epoch. Default: "
            "before the first and after every epoch.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[
        Optional[int],
        typer.Option(help="Trials at once. Default: one per core of a CPU, 32 on a GPU.", min=1),
    ] = None,
    out: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.folder,
            metavar="DIR",
            show_default=False,
            help="The experiment's folder. Default: one in runs/.",
        ),
    ] = None,
    config: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.file,
            metavar="FILE",
            show_default=False,
            help="TOML file of an experiment; options go before it.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the trials and their cost; train nothing.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train one network with several norms, over several seeds, and report which norm wins.

    Running the same command again trains only what is missing; more --norms or --seeds extend
    the experiment in its folder. Ctrl-C stops; what was trained stays.
    """
    with errors_in_one_line(debug):
        from normscope.experiment import ProbePlan
        from normscope.experiment.reading import read_design, read_experiment
        from normscope.study.checks import check, check_baseline, folder_of, kept_design

        experiment = read_experiment(
            config,
            settings or (),
            dataset=dataset,
            model=model,
            norms=[norm.strip() for norm in norms.split(",")] if norms is not None else None,
            baseline=baseline,
            placement=placement,
            batch_sizes=batch_sizes,
            protocol=protocol,
            recipe=recipe,
            seeds=seeds,
            epochs=epochs,
            batch_size=batch_size,
            max_lr=max_lr,
            precision=precision,
            train_limit=train_limit,
            test_limit=test_limit,
        )
        folder = folder_of(experiment, out)
        if baseline is not None:
            check_baseline(folder, experiment.baseline)
        design = read_design(
            kept_design(folder),
            until_decided=until_decided,
            max_seeds=max_seeds,
            margin_points=margin,
            alpha=alpha,
            levels_percent=level,
        )
        checked = check(
            experiment,
            out=folder,
            data_dir=data_dir,
            device=device,
            workers=workers,
            design=design,
            budget_s=budget,
            probes=ProbePlan(tuple(probes.split(",")), probe_epochs),
        )
        (_foresee if dry_run else _run)(checked, as_json)


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=options.folder, metavar="FOLDER", help="The folder of an experiment."
        ),
    ],
    out: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.folder,
            metavar="DIR",
            show_default=False,
            help="Write the report there instead of into FOLDER.",
        ),
    ] = None,
    level: Levels = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Analyse the results in a folder again and write the report; trains nothing."""
    with errors_in_one_line(debug):
        from normscope.study.comparison import Comparison

        comparison = Comparison.read(folder, level)
        _show(comparison, as_json, comparison.report(out))


def _run(checked: Any, as_json: bool) -> None:
    from normscope.cli.interrupt import exit_code, stop_noticed
    from normscope.observers import observer_for
    from normscope.study.compare import carry_out
    from normscope.study.comparison import EveryTrialFailed
    from normscope.study.stored import has_results

    stream = sys.stderr if as_json else sys.stdout
    command = _repeatable(sys.argv[1:])
    try:
        with stop_noticed() as check, closing(observer_for(stream, check)) as observer:
            comparison = carry_out(checked, observer, command)
    except KeyboardInterrupt as stop:
        if not has_results(checked.folder):
            raise
        _say_how_to_go_on(checked.folder)
        raise typer.Exit(exit_code(stop)) from None
    except EveryTrialFailed as failure:
        comparison = failure.comparison
    _show(comparison, as_json, comparison.page)


def _foresee(checked: Any, as_json: bool) -> None:
    from normscope.cli.show import forecast_as_dict, show_forecast
    from normscope.study.forecast import forecast

    foreseen = forecast(checked)
    if as_json:
        print(json.dumps(forecast_as_dict(foreseen), indent=2))
    else:
        show_forecast(foreseen)


def _say_how_to_go_on(folder: Path) -> None:
    """What a stopped experiment leaves, and the way on from there."""
    print(
        f"\nStopped. The trials that ended are kept in {folder}; the same command goes on from "
        f"there.\n`normscope report {shlex.quote(str(folder))}` reports what there is.",
        file=sys.stderr,
    )


def _repeatable(arguments: list[str]) -> str:
    """The command for the report: without the folders, which are this machine's alone."""
    kept, words = ["normscope"], iter(arguments)
    for word in words:
        if word in ("--data-dir", "--out"):
            next(words, None)
        elif not word.startswith(("--data-dir=", "--out=")):
            kept.append(word)
    return shlex.join(kept)


def _show(comparison: Any, as_json: bool, page: Path) -> None:
    """Print the outcome; raise `RunError` if a trial failed, after all else was said."""
    from normscope.cli.show import show_analysis
    from normscope.report.as_json import as_json as plain

    if as_json:
        print(json.dumps({**plain(comparison.analysis), "report": str(page)}, indent=2))
    else:
        show_analysis(comparison.analysis)
        print(f"Report: {page}")
    failed = [trial.id for trial in comparison.analysis.trials if trial.status == "failed"]
    if failed:
        trials = f"{len(failed)} trial{'s' if len(failed) > 1 else ''}"
        raise RunError(
            f"{trials} failed ({', '.join(failed)}); {page} shows why, and the same command tries "
            "again"
        )
