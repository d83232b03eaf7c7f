"""The command line: parses arguments, calls `study` or `comparison`, prints."""

import io
import json
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from normscope.cli import options
from normscope.cli.data import data_app
from normscope.cli.options import INTERRUPTED, DataDir, Debug, Levels, errors_in_one_line
from normscope.errors import RunError, UsageError

# torch, pandas and matplotlib take seconds to import: each command imports what it needs.
# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which normalization layer should your CNN use, by how much, and why.",
)
app.add_typer(data_app, name="data")


def main() -> None:
    """Entry point of the `normscope` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± still gets its verdicts
    app(prog_name="normscope")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"normscope {version('normscope')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Which normalization layer should your CNN use, by how much, and why."""


@app.command()
def compare(
    dataset: Annotated[
        Optional[str], typer.Option(help="shapes (embedded, default), cifar10, cifar100.")
    ] = None,
    data_dir: DataDir = None,
    model: Annotated[Optional[str], typer.Option(help="s8 (default), s8-gap.")] = None,
    norms: Annotated[
        Optional[str],
        typer.Option(help="Comma-separated; the first is the baseline. Default: bn,gn,ln."),
    ] = None,
    baseline: Annotated[
        Optional[str], typer.Option(help="The norm to compare with. Default: the first.")
    ] = None,
    recipe: Annotated[
        Optional[str], typer.Option(help="s8, quick. Default: quick on shapes, s8 elsewhere.")
    ] = None,
    seeds: Annotated[
        Optional[int], typer.Option(help="Trials per norm. Default: 5 on shapes, 3 elsewhere.")
    ] = None,
    epochs: Annotated[Optional[int], typer.Option(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[Optional[int], typer.Option(help="Instead of the recipe's.")] = None,
    batch_sizes: Annotated[
        Any,
        typer.Option(
            parser=options.integers,
            metavar="A,B,...",
            show_default=False,
            help="Compare at each of these; the learning rate is scaled with it.",
        ),
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
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[
        Optional[int],
        typer.Option(help="Trials at once. Default: one per core of a CPU, 32 on a GPU.", min=1),
    ] = None,
    out: Annotated[
        Optional[Path],
        typer.Option(
            help="The experiment's folder. Default: one in runs/.",
            parser=options.folder,
            metavar="DIR",
        ),
    ] = None,
    config: Annotated[
        Optional[Path], typer.Option(help="TOML file of an experiment; options go before it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the trials and their cost; train nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON; progress goes to stderr.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train one network with several norms, over several seeds, and report which norm wins.

    Running the same command again trains only what is missing; more --norms or --seeds extend
    the experiment in its folder. Ctrl-C stops; what was trained stays.
    """
    with errors_in_one_line(debug):
        from normscope.experiment.reading import read_design, read_experiment

        _check_sequence(until_decided, seeds, max_seeds, budget)
        experiment = read_experiment(
            config,
            dataset=dataset,
            model=model,
            norms=[n.strip() for n in norms.split(",")] if norms is not None else None,
            baseline=baseline,
            batch_sizes=batch_sizes,
            protocol=protocol,
            recipe=recipe,
            seeds=seeds,
            epochs=epochs,
            batch_size=batch_size,
            precision=precision,
            train_limit=train_limit,
            test_limit=test_limit,
        )
        from normscope.study.compare import check_baseline, folder_of, kept_design

        folder = folder_of(experiment, out)
        if baseline is not None:
            check_baseline(folder, baseline)
        design = read_design(
            kept_design(folder),
            until_decided=until_decided,
            max_seeds=max_seeds,
            margin_points=margin,
            alpha=alpha,
            levels_percent=level,
        )
        if dry_run:
            _show_forecast(experiment, design, out, device, workers, as_json)
        else:
            how = {"data_dir": data_dir, "device": device, "workers": workers}
            how |= {"design": design, "budget_s": budget}
            _run(experiment, out, how, as_json)


def _check_sequence(
    until_decided: bool, seeds: int | None, max_seeds: int | None, budget: float | None
) -> None:
    if until_decided and seeds is not None:
        raise UsageError(
            "--seeds fixes the number of seeds and --until-decided does not; leave one out "
            "(--max-seeds limits the latter)"
        )
    if not until_decided and (max_seeds is not None or budget is not None):
        raise UsageError("--max-seeds and --budget need --until-decided")


def _run(experiment: Any, out: Path | None, how: dict[str, Any], as_json: bool) -> None:
    """`how`: the other arguments of `normscope.compare`."""
    from rich.console import Console

    from normscope.cli.interrupt import ctrl_c_noticed
    from normscope.observers import LiveBars, PlainLines
    from normscope.study.compare import compare as run
    from normscope.study.compare import folder_of, has_results

    stream = sys.stderr if as_json else sys.stdout
    try:
        with ctrl_c_noticed() as check:
            live = LiveBars(Console(file=stream), check) if stream.isatty() else None
            with closing(live or PlainLines(stream, check)) as observer:
                comparison = run(
                    experiment,
                    out=out,
                    observer=observer,
                    command=_repeatable(sys.argv[1:]),
                    **how,
                )
    except KeyboardInterrupt:
        folder = folder_of(experiment, out)
        if not has_results(folder):
            raise
        print(
            f"\nStopped. The trials that ended are kept in {folder}; the same command goes on from "
            f"there.\n`normscope report {shlex.quote(str(folder))}` reports what there is.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    _show(comparison, as_json)


def _repeatable(arguments: list[str]) -> str:
    """The command for the report: without the folders, which are this machine's alone."""
    kept, words = ["normscope"], iter(arguments)
    for word in words:
        if word in ("--data-dir", "--out"):
            next(words, None)
        elif not word.startswith(("--data-dir=", "--out=")):
            kept.append(word)
    return shlex.join(kept)


def _show(comparison: Any, as_json: bool, page: Path | None = None) -> None:
    """Print the outcome; raise `RunError` if a trial failed, after all else was said."""
    from normscope.cli.show import outcome, show_analysis

    page = page or comparison.folder / "report.html"
    if as_json:
        print(json.dumps({**outcome(comparison.analysis), "report": str(page)}, indent=2))
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


def _show_forecast(
    experiment: Any,
    design: Any,
    out: Path | None,
    device: str,
    workers: int | None,
    as_json: bool,
) -> None:
    from normscope.cli.show import forecast_as_dict, show_forecast
    from normscope.study.compare import forecast

    foreseen = forecast(experiment, out=out, device=device, workers=workers, design=design)
    if as_json:
        print(json.dumps(forecast_as_dict(foreseen), indent=2))
    else:
        show_forecast(foreseen)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of an experiment.")],
    out: Annotated[
        Optional[Path],
        typer.Option(
            help="Write the report there instead of into FOLDER.",
            parser=options.folder,
            metavar="DIR",
        ),
    ] = None,
    level: Levels = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Analyse the results in a folder again and write the report; trains nothing."""
    with errors_in_one_line(debug):
        from normscope.study.comparison import Comparison

        comparison = Comparison.read(folder, level)
        _show(comparison, as_json, comparison.report(out))


@app.command()
def plan(
    difference: Annotated[float, typer.Option(help="True difference to be found, in points.")],
    sd: Annotated[
        float, typer.Option(help="Standard deviation of paired differences over seeds, in points.")
    ],
    norms: Annotated[int, typer.Option(help="Number of norms, the baseline included.")] = 3,
    alpha: Annotated[float, typer.Option(help="Chance of a false claim, over all norms.")] = 0.05,
    dataset: Annotated[
        Optional[str], typer.Option(help="Whose trials are timed here. Default: shapes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Say how many seeds a difference takes to be found, and how long that takes here."""
    with errors_in_one_line(debug):
        from normscope.cli.show import seed_plan_as_dict, show_seed_plan
        from normscope.experiment.reading import read_experiment
        from normscope.study.compare import seconds_per_trial
        from normscope.study.power import plan_seeds

        experiment = read_experiment(dataset=dataset)
        planned = plan_seeds(difference, sd, norms, alpha)
        seconds = seconds_per_trial(experiment)
        if as_json:
            print(json.dumps(seed_plan_as_dict(planned, seconds), indent=2))
        else:
            show_seed_plan(planned, seconds, experiment.dataset)


@app.command()
def summary(
    model: Annotated[str, typer.Option(help="s8 or s8-gap.")] = "s8",
    norm: Annotated[str, typer.Option(help="bn, gn or ln.")] = "bn",
    classes: Annotated[int, typer.Option(help="Number of classes.", min=1, max=100_000)] = 10,
    debug: Debug = False,
) -> None:
    """Print the table of a model's layers: output shapes, parameters, multiply-adds, sizes."""
    with errors_in_one_line(debug):
        from normscope.cli.show import show_summary
        from normscope.models.summary import summarize

        show_summary(summarize(model, norm, classes))
