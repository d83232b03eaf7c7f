"""The commands that show what an experiment found, and train and write nothing."""

import json
from typing import Annotated

import typer

from normscope.cli.options import (
    AsJson,
    Debug,
    ExperimentFolder,
    Levels,
    OtherAlpha,
    OtherBaseline,
    OtherMargin,
    Verbose,
    errors_in_one_line,
)
from normscope.errors import UsageError

FORMATS = "markdown", "latex", "csv"


def show(
    folder: ExperimentFolder,
    level: Levels = None,
    baseline: OtherBaseline = None,
    alpha: OtherAlpha = None,
    margin: OtherMargin = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what an experiment found: the recommendation, the table and the answers."""
    with errors_in_one_line(debug):
        from normscope.cli.show import show_analysis, tell
        from normscope.report.as_json import as_json as plain
        from normscope.study.comparison import Comparison

        comparison = Comparison.read(folder, level, baseline, alpha, margin)
        if as_json:
            print(json.dumps(plain(comparison.analysis), indent=2))
            return
        show_analysis(comparison.analysis, verbose)
        if comparison.page.exists():
            tell(f"Report: {comparison.page}")


def table(
    folder: ExperimentFolder,
    kind: Annotated[
        str, typer.Option("--format", help="markdown, latex (with booktabs), or csv: all metrics.")
    ] = "markdown",
    level: Levels = None,
    baseline: OtherBaseline = None,
    alpha: OtherAlpha = None,
    margin: OtherMargin = None,
    debug: Debug = False,
) -> None:
    """Print the result table of an experiment, for a repository, a paper or a program.

    Such as: normscope table runs/cifar10-s8-s8 --format latex > results.tex
    """
    with errors_in_one_line(debug):
        if kind not in FORMATS:
            raise UsageError(
                f"{kind!r} is no format of a table; choose one of {', '.join(FORMATS)}"
            )
        from normscope.report.latex import render_latex
        from normscope.report.markdown import escape, joined, results
        from normscope.study.comparison import Comparison

        analysis = Comparison.read(folder, level, baseline, alpha, margin).analysis
        if kind == "csv":
            print(analysis.table().to_csv(index=False), end="")
        elif kind == "latex":
            print(render_latex(analysis), end="")
        else:
            print(joined(results(analysis)), end="")
            if analysis.promised:
                print(f"\n{escape(analysis.promised.note)}")
