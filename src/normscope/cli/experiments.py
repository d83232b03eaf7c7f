"""The commands that train and report: arguments in, messages and exit codes out."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar

import typer

from normscope.cli import options
from normscope.cli.options import (
    Address,
    Alpha,
    AsJson,
    BatchSize,
    BatchSizes,
    CheckpointEvery,
    CpusPerTrial,
    DataDir,
    DatasetName,
    Debug,
    DeviceName,
    DryRun,
    Epochs,
    ExecutorName,
    ExperimentFolder,
    Folds,
    GpusPerTrial,
    ImageSize,
    Levels,
    Log,
    Margin,
    MaxLr,
    ModelName,
    Norms,
    OtherAlpha,
    OtherBaseline,
    OtherMargin,
    Out,
    PrecisionName,
    ProbeEpochs,
    ProbeImages,
    ProbeNames,
    RecipeOption,
    Seeds,
    Settings,
    SkipBad,
    StatBatch,
    TestLimit,
    TrainLimit,
    Verbose,
    Workers,
    checkpoint_seconds,
    errors_in_one_line,
    executor_of,
    probe_plan,
    say_that_it_starts,
)
from normscope.errors import RunError
from normscope.words import counted, visible

# torch, pandas and matplotlib take seconds to import: each command imports what it needs.
# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045

Outcome = TypeVar("Outcome")

# Folders, a cluster and trackers that others do not have.
HERE = ("--data-dir", "--out", "--address", "--log")


def compare(
    dataset: DatasetName = None,
    data_dir: DataDir = None,
    image_size: ImageSize = None,
    skip_bad: SkipBad = None,
    folds: Folds = None,
    model: ModelName = None,
    norms: Norms = None,
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
    recipe: RecipeOption = None,
    settings: Settings = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    batch_sizes: BatchSizes = None,
    stat_batch: StatBatch = None,
    max_lr: MaxLr = None,
    protocol: Annotated[
        Optional[str],
        typer.Option(help="drop-in (default): one recipe for all; tuned: a rate for each norm."),
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds until every comparison is decided.")
    ] = False,
    winner_set: Annotated[
        bool,
        typer.Option(
            "--winner-set",
            help="Until decided, train decided norms on, so that all pairs are compared: which "
            "norms are beaten by no other?",
        ),
    ] = False,
    max_seeds: Annotated[
        Optional[int],
        typer.Option(help="At most so many, until decided or in a budget. Default: 30."),
    ] = None,
    budget: Annotated[
        Any,
        typer.Option(
            parser=options.seconds,
            metavar="TIME",
            show_default=False,
            help="Begin nothing that would end after that time (2h, 90m); without --seeds, as many "
            "as it has room for.",
        ),
    ] = None,
    margin: Margin = None,
    alpha: Alpha = None,
    level: Levels = None,
    precision: PrecisionName = None,
    train_limit: TrainLimit = None,
    test_limit: TestLimit = None,
    probes: ProbeNames = "none",
    probe_epochs: ProbeEpochs = None,
    probe_images: ProbeImages = None,
    device: DeviceName = "auto",
    workers: Workers = None,
    executor: ExecutorName = None,
    address: Address = None,
    cpus_per_trial: CpusPerTrial = None,
    gpus_per_trial: GpusPerTrial = None,
    checkpoint_every: CheckpointEvery = None,
    log: Log = None,
    out: Out = None,
    config: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.file,
            metavar="FILE",
            show_default=False,
            help="TOML file of an experiment; options go before it.",
        ),
    ] = None,
    dry_run: DryRun = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train one network with several norms, over several seeds, and report which norm wins.

    Running the same command again trains only what is missing; more --norms or --seeds extend
    the experiment in its folder. Ctrl-C stops; what was trained stays.

    Such as: normscope compare --dataset cifar10 --norms bn,gn,ln --until-decided --budget 2h
    """
    with errors_in_one_line(debug):
        say_that_it_starts(as_json)
        from normscope.experiment.reading import read_design, read_experiment
        from normscope.study.checks import check, check_baseline, folder_of, kept_design

        experiment = read_experiment(
            config,
            settings or (),
            dataset=dataset,
            image_size=image_size,
            skip_bad=skip_bad or None,
            folds=folds,
            model=model,
            norms=[norm.strip() for norm in norms.split(",")] if norms is not None else None,
            baseline=baseline,
            placement=placement,
            stat_batch=stat_batch,
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
        experiment = _read(experiment, data_dir, as_json)
        folder = folder_of(experiment, out)
        if baseline is not None:
            check_baseline(folder, experiment.baseline)
        design = read_design(
            kept_design(folder),
            until_decided=until_decided,
            winner_set=winner_set,
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
            executor=executor_of(executor, address, cpus_per_trial, gpus_per_trial),
            design=design,
            budget_s=budget,
            probes=probe_plan(probes, probe_epochs, probe_images),
            checkpoint_s=checkpoint_seconds(checkpoint_every),
            log=log or (),
        )
        if dry_run:
            _foresee(checked, as_json)
        else:
            _run(checked, as_json, verbose)


def investigate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, help="One of {investigations}.")
    ],
    dataset: DatasetName = None,
    data_dir: DataDir = None,
    image_size: ImageSize = None,
    skip_bad: SkipBad = None,
    folds: Folds = None,
    model: ModelName = None,
    norms: Annotated[
        Optional[str],
        typer.Option(help="Instead of the investigation's; the first is the baseline."),
    ] = None,
    recipe: RecipeOption = None,
    settings: Settings = None,
    seeds: Annotated[
        Any,
        typer.Option(
            parser=options.seeds,
            metavar="N|A,B,...",
            show_default=False,
            help="Trials per norm, or the seeds themselves. Default: 5, the least that decides.",
        ),
    ] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    batch_sizes: Annotated[
        Any,
        typer.Option(
            parser=options.integers,
            metavar="A,B,...",
            show_default=False,
            help="Instead of the investigation's; the learning rate is scaled with it.",
        ),
    ] = None,
    max_lr: MaxLr = None,
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
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run a ready experiment on why norms differ, and write down what was found.

    {questions}

    The same command goes on where it was stopped, and several investigations may share a folder.
    """
    with errors_in_one_line(debug):
        say_that_it_starts(as_json)
        from normscope.experiment.reading import read_design, read_experiment
        from normscope.study.checks import kept_design
        from normscope.study.investigate import carry_on, plan

        experiment = read_experiment(
            None,
            settings or (),
            dataset=dataset,
            image_size=image_size,
            skip_bad=skip_bad or None,
            folds=folds,
            model=model,
            norms=[norm.strip() for norm in norms.split(",")] if norms is not None else None,
            batch_sizes=batch_sizes,
            recipe=recipe,
            seeds=seeds,
            epochs=epochs,
            batch_size=batch_size,
            max_lr=max_lr,
            precision=precision,
            train_limit=train_limit,
            test_limit=test_limit,
        )
        planned = plan(
            name,
            _read(experiment, data_dir, as_json),
            out=out,
            data_dir=data_dir,
            device=device,
            workers=workers,
            executor=executor_of(executor, address, cpus_per_trial, gpus_per_trial),
            design_of=lambda folder: read_design(
                kept_design(folder), margin_points=margin, alpha=alpha
            ),
        )
        if dry_run:
            foresee_parts(planned.parts, as_json)
            return
        folders = [part.folder for part in planned.parts.values()]
        _show_finding(watched(folders, as_json, partial(carry_on, planned)), as_json)


def report(
    folder: ExperimentFolder,
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
    baseline: OtherBaseline = None,
    alpha: OtherAlpha = None,
    margin: OtherMargin = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Analyse the results in a folder again and write the report; trains nothing.

    By another baseline, alpha or margin it says what that does to what was promised, and is
    written into FOLDER/reports/ beside the report by the folder's own rules.
    """
    with errors_in_one_line(debug):
        from normscope.cli.show import tell
        from normscope.study.comparison import Comparison

        comparison = Comparison.read(folder, level, baseline, alpha, margin)
        _show(comparison, as_json, comparison.report(out), verbose)
        if comparison.analysis.promised and not as_json:
            tell(f"The report by the rules that were asked for stays in {folder}.")


def retry(
    folder: ExperimentFolder,
    data_dir: DataDir = None,
    probes: ProbeNames = "none",
    probe_epochs: ProbeEpochs = None,
    probe_images: ProbeImages = None,
    device: DeviceName = "auto",
    workers: Workers = None,
    executor: ExecutorName = None,
    address: Address = None,
    cpus_per_trial: CpusPerTrial = None,
    gpus_per_trial: GpusPerTrial = None,
    checkpoint_every: CheckpointEvery = None,
    log: Log = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run the trials of a folder that failed again, and no others, then report."""
    with errors_in_one_line(debug):
        say_that_it_starts(as_json)
        from normscope.study.retry import retry as run_again

        again = partial(
            run_again,
            folder,
            data_dir=data_dir,
            device=device,
            workers=workers,
            executor=executor_of(executor, address, cpus_per_trial, gpus_per_trial),
            probes=probe_plan(probes, probe_epochs, probe_images),
            checkpoint_s=checkpoint_seconds(checkpoint_every),
            log=log or (),
        )

        def work(observer: Any, command: str) -> Any:
            return again(observer=observer)

        _train([folder], as_json, work, verbose)


def _run(checked: Any, as_json: bool, verbose: bool) -> None:
    from normscope.study.compare import carry_out

    _train([checked.folder], as_json, partial(carry_out, checked), verbose)


def _train(
    folders: Sequence[Path], as_json: bool, work: Callable[[Any, str], Any], verbose: bool
) -> None:
    """Do `work` that trains, and show the comparison that it gives."""
    from normscope.study.comparison import EveryTrialFailed

    try:
        comparison = watched(folders, as_json, work)
    except EveryTrialFailed as failure:
        comparison = failure.comparison
    _show(comparison, as_json, comparison.page, verbose)


def _read(experiment: Any, data_dir: Path | None, as_json: bool) -> Any:
    """The experiment with a user's network and images by name; images are read meanwhile."""
    from normscope.observers import observer_for
    from normscope.study.own_images import named

    stream = sys.stderr if as_json else sys.stdout
    with closing(observer_for(stream, lambda: None)) as observer:
        return named(experiment, data_dir, observer)


def watched(folders: Sequence[Path], as_json: bool, work: Callable[[Any, str], Outcome]) -> Outcome:
    """Do `work` in folders, with an observer and the command that repeats it; Ctrl-C stops it.

    Python drops the exception of a signal that comes while it clears up an object, so after every
    epoch the observer asks whether there was one.
    """
    from normscope import stopping
    from normscope.cli.interrupt import exit_code
    from normscope.observers import observer_for
    from normscope.study.stored import kept_in

    stream = sys.stderr if as_json else sys.stdout
    try:
        with closing(observer_for(stream, stopping.check)) as observer:
            return work(observer, _repeatable(sys.argv[1:]))
    except KeyboardInterrupt as stop:
        kept = {folder: kept_in(folder) for folder in folders}
        if not any(map(any, kept.values())):
            raise
        for folder, (ended, in_training) in kept.items():
            if ended or in_training:
                _say_how_to_go_on(folder, ended, in_training)
        raise typer.Exit(exit_code(stop)) from None


def _show_finding(finding: Any, as_json: bool) -> None:
    from normscope.cli.show import finding_as_dict, show_finding

    if as_json:
        print(json.dumps(finding_as_dict(finding), indent=2))
    else:
        show_finding(finding)
    for comparison in finding.comparisons.values():
        raise_if_failed(comparison, comparison.page)


def foresee_parts(parts: Mapping[str, Any], as_json: bool) -> None:
    """Print the trials of each part and their cost, by the name of the part."""
    from normscope.cli.show import forecast_as_dict, tell
    from normscope.study.forecast import forecast

    if not as_json:
        for part, checked in parts.items():
            if part:
                tell(f"\n{part}")
            _foresee(checked, as_json)
        return
    foreseen = {part or "whole": forecast_as_dict(forecast(each)) for part, each in parts.items()}
    print(json.dumps(foreseen, indent=2))


def _foresee(checked: Any, as_json: bool) -> None:
    from normscope.cli.show import forecast_as_dict, show_forecast
    from normscope.study.budget import fitted

    _, foreseen = fitted(checked)
    if as_json:
        print(json.dumps(forecast_as_dict(foreseen), indent=2))
    else:
        show_forecast(foreseen)


def _say_how_to_go_on(folder: Path, ended: int, in_training: bool) -> None:
    """What of a stopped experiment is kept and what is lost, and the way on from there."""
    others = (
        "so is the state of those in training"
        if in_training
        else "those in training are lost and begin anew"
    )
    words = f"\nStopped. Kept in {folder}: {counted(ended, 'trial')} that ended; {others}.\n"
    words += "The same command goes on from there"
    if ended:
        words += f"; `normscope report {shlex.quote(str(folder))}` reports what there is"
    words += "."
    print(visible(words, keep="\n"), file=sys.stderr)


def _repeatable(arguments: list[str]) -> str:
    """The command for the report: without what is this machine's alone."""
    kept, words = ["normscope"], iter(arguments)
    for word in words:
        if word == "--verbose":
            continue
        if word in HERE:
            next(words, None)
        elif not word.startswith(tuple(f"{option}=" for option in HERE)):
            kept.append(word)
    return shlex.join(kept)


def _show(comparison: Any, as_json: bool, page: Path, verbose: bool) -> None:
    """Print the outcome; raise `RunError` if a trial failed, after all else was said."""
    from normscope.cli.show import show_analysis, tell
    from normscope.report.as_json import as_json as plain

    if as_json:
        print(json.dumps({**plain(comparison.analysis), "report": str(page)}, indent=2))
    else:
        show_analysis(comparison.analysis, verbose)
        tell(f"Report: {page}")
        _say_what_is_next(comparison)
    raise_if_failed(comparison, page)


def _say_what_is_next(comparison: Any) -> None:
    """Nothing for a report by rules that were chosen afterwards, which is none to act on."""
    from normscope.cli.show import tell

    analysis, folder = comparison.analysis, shlex.quote(str(comparison.folder))
    if analysis.promised or not any(norm.finished for norm in analysis.norms):
        return
    tell(f"To hand it in:  normscope write-up {folder}")
    if len(analysis.recommendation.norms) == 1:
        tell(f"Use the winner: normscope export {folder}")


def raise_if_failed(comparison: Any, page: Path) -> None:
    """Raise `RunError` if a trial failed."""
    failed = [trial.id for trial in comparison.analysis.trials if trial.status == "failed"]
    if failed:
        trials = f"{len(failed)} trial{'s' if len(failed) > 1 else ''}"
        raise RunError(
            f"{trials} failed ({', '.join(failed)}); {page} shows why, and the same command or "
            f"`normscope retry {shlex.quote(str(comparison.folder))}` tries again"
        )
