"""What the terminal shows, in at most 80 columns, and the same as plain values for ``--json``."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from normscope.analysis import Analysis
from normscope.analysis.answers import confidence, signed
from normscope.analysis.metrics import SecondaryFinding
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Verdict
from normscope.experiment import ModelSummary
from normscope.stats import Estimate
from normscope.study.forecast import Forecast
from normscope.study.power import SeedPlan
from normscope.words import duration

COLUMNS = 80
TABLE_COLUMNS = 76  # what the result table needs


def outcome(analysis: Analysis) -> dict[str, Any]:
    """The analysis as plain values for JSON: None where a number is not defined."""
    rows = analysis.table().to_dict(orient="records")
    return {
        "experiment": analysis.experiment.model_dump(mode="json"),
        "synthetic": analysis.facts.synthetic,
        "design": {
            "sequential": analysis.rules.sequential,
            "alpha": analysis.rules.alpha,
            "margin_points": analysis.rules.margin,
            "comparisons": sum(norm.verdict is not None for norm in analysis.by_batch_size),
            "protocol": analysis.experiment.protocol,
            "method": analysis.method,
        },
        "answers": list(analysis.answers),
        "verdicts": [_verdict(norm.verdict) for norm in analysis.by_batch_size if norm.verdict],
        "winner_set": None if analysis.winners is None else list(analysis.winners),
        "secondary": [_secondary(found) for found in analysis.secondary],
        "levels_percent": list(analysis.levels_percent),
        "evidence": [asdict(evidence) for evidence in analysis.evidence],
        "variance_points_squared": {norm: asdict(s) for norm, s in analysis.splits.items()},
        "tuning": [asdict(search) for search in analysis.searches],
        "norms": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "findings": list(analysis.findings),
        "caveats": list(analysis.caveats),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    judgement = verdict.judgement
    low, high = judgement.simultaneous or (None, None)
    return {
        "norm": judgement.pairs.norm,
        "baseline": verdict.baseline,
        "batch_size": judgement.pairs.batch_size,
        "outcome": verdict.outcome,
        "within_margin": judgement.within_margin,
        "looks_contradict": judgement.contradictory,
        **{f"difference_points_{k}": v for k, v in asdict(judgement.difference).items()},
        "simultaneous_low": low,
        "simultaneous_high": high,
        "p_holm": judgement.p_value,
        "family": judgement.family,
        "diverged": verdict.diverged[0],
        "baseline_diverged": verdict.diverged[1],
        "seeds_that_would_probably_decide": judgement.seeds_needed,
    }


def _secondary(found: SecondaryFinding) -> dict[str, Any]:
    judgement = found.judgement
    return {
        "metric": found.metric.name,
        "norm": found.norm,
        "finding": judgement.finding,
        **{f"difference_{k}": v for k, v in asdict(judgement.difference).items()},
        "by_order_only": judgement.pairs.ordinal,
        "p_holm": judgement.p_value,
        "family": judgement.family,
    }


def _plain(value: Any) -> Any:
    """A missing number is None in JSON, never NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def show_analysis(analysis: Analysis) -> None:
    """Print the result table, then the answers, findings and caveats as sentences."""
    console = _console()
    experiment = analysis.experiment
    title = f"{experiment.dataset}, {experiment.model}, recipe {experiment.recipe.name}"
    if len(experiment.batch_sizes) > 1:
        title += f", batch size {experiment.main_batch_size:,}"
    headings = (
        "norm",
        "n",
        "test acc. %\nmean ± sd",
        f"points to baseline\n{confidence(analysis.rules)} interval",
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
    if len(experiment.batch_sizes) > 1:
        _show_batch_sizes(console, analysis)
    for heading, sentences in (
        ("Answer", (*analysis.answers, *([analysis.method] if analysis.method else []))),
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


def _show_batch_sizes(console: Console, analysis: Analysis) -> None:
    """Test accuracy and verdict by batch size: a line per norm and batch size."""
    table = Table(box=None, pad_edge=False)
    for heading in ("batch size", "norm", "test acc. %", "points to baseline", "verdict"):
        side = "left" if heading in ("norm", "verdict") else "right"
        table.add_column(heading, justify=side, header_style="bold")
    for norm in analysis.by_batch_size:
        verdict = norm.verdict
        table.add_row(
            f"{norm.batch_size:,}" if norm.norm == analysis.experiment.baseline else "",
            norm.norm,
            _mean_sd(norm.test_accuracy_percent),
            _interval(verdict.difference) if verdict else "",
            verdict.outcome if verdict else "baseline",
        )
    console.print()
    console.print(table)


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
    if difference.low is None or difference.high is None:
        return signed(difference.mean)
    return f"{signed(difference.mean)} [{signed(difference.low)}, {signed(difference.high)}]"


def _epochs(norm: NormSummary) -> str:
    if norm.epochs_to_level.mean is None:
        return f"{norm.reached}/{norm.finished}" if norm.finished else "-"
    return f"{norm.epochs_to_level.mean:.1f}"


def show_forecast(foreseen: Forecast) -> None:
    """Print every trial with its id and whether it is stored, then the cost of the rest."""
    for notice in foreseen.notices:
        print(notice)
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
        "notices": list(foreseen.notices),
    }


def show_seed_plan(planned: SeedPlan, seconds_per_trial: float, dataset: str) -> None:
    """Print the seeds that each design takes, and how long that takes on this machine."""
    family = f"{planned.comparisons} comparison{'s' if planned.comparisons > 1 else ''}"
    print(
        f"A true difference of {planned.difference_points:g} points, at an sd of "
        f"{planned.sd_points:g} points between\npaired differences, {family}, alpha "
        f"{100 * planned.alpha:g} %:\n"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("found in")
    for heading in ("fixed design", "sequential"):
        table.add_column(heading, justify="right")
    for power in planned.fixed:
        cells = [
            _seeds(planned, design[power], seconds_per_trial)
            for design in (planned.fixed, planned.sequential)
        ]
        table.add_row(f"{100 * power:g} % of experiments", *cells)
    _console().print(table)
    note = (
        "Fixed: --seeds N, one look. Sequential: --until-decided, a look after every seed; the "
        "number is that of the seeds by which this difference is found; it goes on until all "
        "comparisons are decided. Times are for "
        f"{dataset} on this machine, at {seconds_per_trial:.0f} s per trial."
    )
    print(f"\n{textwrap.fill(note, COLUMNS)}")


def _seeds(planned: SeedPlan, seeds: int | None, seconds_per_trial: float) -> str:
    if seeds is None:
        return "more than 1,000 seeds"
    return f"{seeds} seeds, {duration(seeds * planned.norms * seconds_per_trial)}"


def seed_plan_as_dict(planned: SeedPlan, seconds_per_trial: float) -> dict[str, Any]:
    return {**asdict(planned), "seconds_per_trial": seconds_per_trial}


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
