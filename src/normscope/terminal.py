"""What the terminal shows, in at most 80 columns, and the same as plain values for ``--json``."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from normscope.analysis import Analysis
from normscope.config import ModelSummary
from normscope.plan import Forecast
from normscope.progress import duration
from normscope.stats import Estimate
from normscope.summaries import NormSummary

COLUMNS = 80
TABLE_COLUMNS = 76  # what the result table needs


def outcome(analysis: Analysis) -> dict[str, Any]:
    """The analysis as plain values for JSON: None where a number is not defined."""
    rows = analysis.table().to_dict(orient="records")
    return {
        "experiment": analysis.experiment.model_dump(mode="json"),
        "synthetic": analysis.facts.synthetic,
        "answers": list(analysis.answers),
        "norms": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "findings": list(analysis.findings),
        "caveats": list(analysis.caveats),
    }


def _plain(value: Any) -> Any:
    """A missing number is None in JSON, never NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def show_analysis(analysis: Analysis) -> None:
    """Print the result table, then the answers, findings and caveats as sentences."""
    console = _console()
    experiment = analysis.experiment
    title = f"{experiment.dataset}, {experiment.model}, recipe {experiment.recipe.name}"
    headings = (
        "norm",
        "n",
        "test acc. %\nmean ± sd",
        "points to baseline\n95 % interval",
        f"epochs\nto {analysis.level_percent:g} %",
        "drops\npoints",
        "s per\nepoch",
        "verdict",
    )
    rows = [_cells(norm) for norm in analysis.norms]
    if console.width < TABLE_COLUMNS:
        _show_blocks(title, headings, rows)
    else:
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for heading in headings:
            side = "left" if heading in ("norm", "verdict") else "right"
            table.add_column(heading, justify=side, header_style="bold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for heading, sentences in (
        ("Answer", analysis.answers),
        ("Findings", analysis.findings),
        ("Mind", analysis.caveats),
    ):
        if sentences:
            console.print(f"\n[bold]{heading}[/bold]")
            for sentence in sentences:
                print(
                    textwrap.fill(
                        sentence, console.width, initial_indent="- ", subsequent_indent="  "
                    )
                )
    print()


def _show_blocks(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The table for a narrow terminal, which would cut its numbers: a line per value."""
    print(title)
    for norm, *cells in rows:
        print(f"\n{norm}")
        for heading, cell in zip(headings[1:], cells, strict=True):
            if cell:
                print(f"  {heading.replace(chr(10), ', ')}: {cell}")


def _cells(norm: NormSummary) -> list[str]:
    count = str(norm.finished) if norm.finished == norm.trials else f"{norm.finished}/{norm.trials}"
    return [
        norm.norm,
        count,
        _mean_sd(norm.test_accuracy_percent),
        _interval(norm.verdict.difference) if norm.verdict else "",
        _epochs(norm),
        _mean(norm.drop_sum_points, 2),
        _mean(norm.seconds_per_epoch, 1),
        norm.verdict.outcome if norm.verdict else "baseline",
    ]


def _mean(estimate: Estimate, digits: int) -> str:
    return "-" if estimate.mean is None else f"{estimate.mean:.{digits}f}"


def _mean_sd(estimate: Estimate) -> str:
    spread = "" if estimate.sd is None else f" ± {estimate.sd:.2f}"
    return _mean(estimate, 1) + spread


def _interval(difference: Estimate) -> str:
    if difference.mean is None:
        return "-"
    if difference.low is None:
        return f"{difference.mean:+.2f}"
    return f"{difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def _epochs(norm: NormSummary) -> str:
    if norm.epochs_to_level.mean is None:
        return f"{norm.reached}/{norm.finished}" if norm.finished else "-"
    return f"{norm.epochs_to_level.mean:.1f}"


def show_forecast(foreseen: Forecast) -> None:
    """Print every trial with its id and whether it is stored, then the cost of the rest."""
    todo = set(foreseen.todo)
    for trial in foreseen.trials:
        print(f"{'to run' if trial in todo else 'stored':7} {trial.id}")
    print(
        f"{len(foreseen.todo)} of {len(foreseen.trials)} trials to run in {foreseen.folder}: "
        f"about {duration(foreseen.seconds)} and {foreseen.disk_bytes / 1e6:.1f} MB"
    )


def forecast_as_dict(foreseen: Forecast) -> dict[str, Any]:
    todo = set(foreseen.todo)
    return {
        "folder": str(foreseen.folder),
        "trials": [{"id": trial.id, "stored": trial not in todo} for trial in foreseen.trials],
        "seconds": foreseen.seconds,
        "disk_bytes": foreseen.disk_bytes,
    }


def show_summary(summary: ModelSummary) -> None:
    """Print a model's layer table, its totals and the sizes estimated for one image."""
    table = Table(
        title=f"{summary.model} with {summary.norm}, input {_shape(summary.input_shape)}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("layer")
    for heading in ("output shape", "parameters", "multiply-adds"):
        table.add_column(heading, justify="right")
    for layer in summary.layers:
        table.add_row(
            layer.name,
            _shape(layer.output_shape),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        )
    table.add_section()
    table.add_row("total", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}")
    _console().print(table)
    print("\nEstimated size for one image in float32:")
    for part, mib in summary.size_mib().items():
        print(f"  {part:21} {mib:6.2f} MiB")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


def _console() -> Console:
    console = Console(highlight=False)
    return Console(highlight=False, width=min(console.width, COLUMNS))
