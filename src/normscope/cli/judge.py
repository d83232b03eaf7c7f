"""The command `normscope judge`: verdicts on results that somebody has already."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from normscope.cli import options
from normscope.cli.options import Alpha, AsJson, Debug, Margin, errors_in_one_line

# typer reads annotations at run time, on Python 3.10 too, hence Optional.
# ruff: noqa: UP045


def judge(
    files: Annotated[
        list[Path],
        typer.Argument(
            parser=options.file,
            metavar="FILE...",
            show_default=False,
            help="CSV files, of your own or exported by W&B or MLflow; JSON lines (.jsonl), or a "
            "folder of them.",
        ),
    ],
    factor: Annotated[
        Optional[str],
        typer.Option(
            metavar="COLUMN",
            help="What is compared. Default: norm, normalization, norm_layer, method or variant.",
        ),
    ] = None,
    seed_column: Annotated[
        Optional[str],
        typer.Option(
            metavar="COLUMN",
            help="Which runs belong together. Default: seed, fold, run or trial.",
        ),
    ] = None,
    accuracy_column: Annotated[
        Optional[str],
        typer.Option(
            metavar="COLUMN",
            help="Default: test_accuracy, test_acc, accuracy, acc, val_acc and the like.",
        ),
    ] = None,
    setting: Annotated[
        Optional[str],
        typer.Option(
            metavar="COLUMN,...",
            help="What else tells runs apart, such as lr, besides data set, model and batch size.",
        ),
    ] = None,
    baseline: Annotated[
        Optional[str],
        typer.Option(help="The one to compare with. Default: bn if it is there, else the first."),
    ] = None,
    looked: Annotated[
        bool,
        typer.Option(
            "--looked",
            help="Results were looked at while seeds were added, in the order of the file: judge "
            "by rules that are valid at every look.",
        ),
    ] = False,
    rules: Annotated[
        Optional[int],
        typer.Option(
            help="The version of the rules of verdicts. Default: the newest; 1 for trials of a "
            "folder that was begun under it, as its report says."
        ),
    ] = None,
    folds: Annotated[
        Optional[int],
        typer.Option(
            help="Runs are of so many folds of a cross-validation, whose training sets overlap. "
            "Default: as many as a column fold has.",
            min=1,
        ),
    ] = None,
    chance: Annotated[
        Optional[float],
        typer.Option(
            metavar="PERCENT",
            help="How often a guess is right, where runs diverged or collapsed. Default: that of "
            "the data set, if it is {datasets}.",
            min=0,
            max=100,
        ),
    ] = None,
    margin: Margin = None,
    alpha: Alpha = None,
    out: Annotated[
        Optional[Path],
        typer.Option(
            parser=options.folder,
            metavar="DIR",
            show_default=False,
            help="Where the report goes. Default: a folder in runs/, called after the file.",
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what results that you have can carry: verdicts by seed, with intervals and a report.

    A row is a run: what is compared, the seed, the test accuracy, and if you like dataset, model,
    batch_size, epoch and status. Trains nothing.
    """
    with errors_in_one_line(debug):
        from normscope.cli.judged_table import judgment_as_dict, show_judgment
        from normscope.experiment import Design
        from normscope.experiment.reading import read_design
        from normscope.study.judge import judge as judge_files
        from normscope.study.results_columns import Columns

        further = tuple(name.strip() for name in setting.split(",")) if setting else ()
        found = judge_files(
            files,
            columns=Columns(factor, seed_column, accuracy_column, further),
            baseline=baseline,
            looked=looked,
            **({} if rules is None else {"rules": rules}),
            folds=folds,
            chance_percent=chance,
            design=read_design(Design(), margin_points=margin, alpha=alpha),
            out=out,
            command=shlex.join(["normscope", *sys.argv[1:]]),
        )
        if as_json:
            print(json.dumps(judgment_as_dict(found), indent=2))
        else:
            show_judgment(found, [str(path) for path in files])
