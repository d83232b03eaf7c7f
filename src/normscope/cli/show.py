"""What the terminal shows, as wide as it is, up to 120 columns."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normscope.analysis import Analysis
from normscope.analysis.answers import equivalence_note
from normscope.analysis.metrics import DROP_SUM, SECONDS_PER_EPOCH, Metric
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Outcome, Rules
from normscope.analysis.why import Reading
from normscope.experiment import ModelSummary
from normscope.report.finding import not_read, part_heading
from normscope.report.result_table import full_names, setting, title
from normscope.stats import Estimate
from normscope.stats.spending import LAST
from normscope.study.forecast import Forecast
from normscope.study.investigate import Finding
from normscope.study.power import SeedPlan
from normscope.words import NONE, confidence, counted, duration, number, signed, visible

COLUMNS = 120
TABLE_COLUMNS = 76  # what the result table needs
STYLES = {"better": "bold cyan", "worse": "bold yellow", "equivalent": "bold", "undecided": "dim"}
NAME_COLUMNS = 14  # of it: a longer name of a norm is broken and not cut, its end may tell it


def show_analysis(analysis: Analysis, verbose: bool = False) -> None:
    """Print the recommendation and the table, then the answers and caveats as sentences.

    If `verbose` also the findings, which the report has in any case.
    """
    screen = console()
    _say_boldly(screen, str(analysis.recommendation))
    print()
    _show_results(screen, analysis)
    if analysis.several_sizes:
        _show_batch_sizes(screen, analysis)
    say_equivalence(screen, [verdict.outcome for verdict in analysis.verdicts], analysis.rules)
    after = [text for text in (analysis.undecided_in_short, analysis.method) if text]
    for heading, sentences in (
        ("Answer", (*analysis.leading_answers, *after)),
        ("Caveats", analysis.caveats),
        ("Findings", analysis.findings if verbose else ()),
        ("Why", analysis.why if verbose else ()),
    ):
        if sentences:
            screen.print(f"\n{heading}", style="bold")
            for sentence in sentences:
                say(str(sentence), screen.width, indent="- ")
    print()
    if (more := len(analysis.findings) + len(analysis.why)) and not verbose:
        say(
            f"{counted(more, 'finding')} more in the report; with --verbose, here too.",
            screen.width,
        )


def show_finding(finding: Finding) -> None:
    """Print the question, what is read of it, each with its numbers, and where it is written."""
    screen = console()
    say(finding.question, screen.width)
    for part, readings in {"": finding.across, **_parts(finding)}.items():
        if part:
            screen.print(f"\n{part}", style="bold")
        for reading in readings:
            print()
            say(f"{reading.claim}: {reading.outcome}.", screen.width)
            say(reading.plain, screen.width, indent="  ")
            say(f"{reading.text} {reading.limits}", screen.width, indent="  ")
    if finding.unread:
        print()
        say(not_read(finding.unread), screen.width)
    tell(f"\nFinding: {finding.path}")
    for comparison in finding.comparisons.values():
        tell(f"Report: {comparison.page}")


def _parts(finding: Finding) -> dict[str, Sequence[Reading]]:
    """The readings by the heading of their part, in which the only one has none."""
    if len(finding.readings) == 1:
        return {"": [*finding.across, *next(iter(finding.readings.values()))]}
    return {part_heading(part): readings for part, readings in finding.readings.items()}


def finding_as_dict(finding: Finding) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "question": finding.question,
        "readings": [
            {"part": part or None, **asdict(reading)}
            for part, readings in (("", finding.across), *finding.readings.items())
            for reading in readings
        ],
        "unread": list(finding.unread),
        "finding": str(finding.path),
        "reports": {part: str(each.page) for part, each in finding.comparisons.items()},
    }


def _show_results(console: Console, analysis: Analysis) -> None:
    """The setting, the full names and the result table; in a narrow terminal a line per value."""
    headings = (
        "norm",
        "n",
        "test acc. %\nmean ± sd",
        f"points to baseline\n{confidence(analysis.rules.alpha)} interval",
        f"epochs\nto {analysis.level_percent:g} %",
        "drops\npoints",
        "s per\nepoch",
        "verdict",
    )
    rows = [_cells(norm, analysis.level) for norm in analysis.norms]
    say(f"{title(analysis)}. {setting(analysis)}", console.width)
    say(full_names(analysis), console.width)
    caption = ""
    if analysis.several_sizes:
        caption = f"Batch size {analysis.experiment.main_batch_size:,}"
    print()
    if console.width < TABLE_COLUMNS:
        _show_blocks(caption, headings, rows)
        return
    table = Table(title=caption or None, title_justify="left", box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        words = heading in ("norm", "verdict")
        longest = max(len(row[place]) for row in rows)
        table.add_column(
            heading,
            justify="left" if words else "right",
            header_style="bold",
            min_width=min(longest, NAME_COLUMNS) if words else None,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row[:-1], Text(row[-1], STYLES.get(row[-1], "")))
    console.print(table)


def _say_boldly(console: Console, sentence: str) -> None:
    lines = textwrap.wrap(visible(sentence), console.width, break_on_hyphens=False)
    console.print("\n".join(lines), style="bold", soft_wrap=True)


def say(sentence: str, columns: int, indent: str = "") -> None:
    """Print a sentence in lines of so many columns; nothing if it is empty."""
    if sentence:
        lines = textwrap.wrap(
            visible(sentence, keep="\n"),
            columns,
            initial_indent=indent,
            subsequent_indent=" " * len(indent),
            break_on_hyphens=False,
        )
        print("\n".join(lines))


def say_equivalence(screen: Console, outcomes: Sequence[Outcome], rules: Rules) -> None:
    """Print below tables of intervals that equivalence does not rest on these, if it is found."""
    if note := equivalence_note(outcomes, rules):
        print()
        say(note, screen.width)


def tell(line: str) -> None:
    """Print a line with a path or a name in it."""
    print(visible(line, keep="\n"))


def show_rows(
    screen: Console, caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """A table whose first and last columns are words, and the others numbers.

    In a terminal that would cut its numbers a line per value. A long name is broken.
    """
    if not fits(screen, headings, rows):
        _show_blocks(caption, headings, rows)
        return
    table = Table(
        title=visible(caption) or None, title_justify="left", title_style="",
        box=None, pad_edge=False,
    )  # fmt: skip
    for place, (heading, width) in enumerate(zip(headings, _widths(headings, rows), strict=True)):
        words = place in (0, len(headings) - 1)
        table.add_column(
            heading,
            justify="left" if words else "right",
            header_style="bold",
            min_width=width if words else None,
            overflow="fold",
            no_wrap=not words,
        )
    for row in rows:
        table.add_row(*row)
    screen.print(table)


def fits(screen: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether `show_rows` shows them as a table."""
    widths = _widths(headings, rows)
    return sum(widths) + 2 * (len(widths) - 1) <= screen.width


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns that each column of a table takes; a long name at its start is broken."""
    cells = zip(headings, *rows, strict=True)
    widths = [max(len(line) for cell in own for line in cell.split("\n")) for own in cells]
    return [min(widths[0], NAME_COLUMNS), *widths[1:]]


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
            mean_sd(norm.test_accuracy_percent, 1),
            interval_of(verdict.difference) if verdict else "",
            norm.outcome,
        )
    console.print()
    console.print(table)


def _show_blocks(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The table for a narrow terminal, which would cut its numbers: a line per value."""
    if caption:
        tell(caption)
    for name, *cells in rows:
        print(f"\n{name}")
        for heading, cell in zip(headings[1:], cells, strict=True):
            if cell:
                print(f"  {heading}: {cell}".replace("\n", ", "))


def _cells(norm: NormSummary, level: Metric) -> list[str]:
    count = str(norm.finished) if norm.finished == norm.trials else f"{norm.finished}/{norm.trials}"
    guessing = norm.guessing.counts.split(", ") if norm.guessing.total else []
    return [
        norm.norm,
        count,
        "\n".join([mean_sd(norm.test_accuracy_percent, 1), *guessing]),
        interval_of(norm.verdict.difference) if norm.verdict else "",
        _epochs(norm, level),
        number(norm.estimates[DROP_SUM.name].mean, 2),
        number(norm.estimates[SECONDS_PER_EPOCH.name].mean, 1),
        norm.outcome,
    ]


def mean_sd(found: Estimate, digits: int = 2, signed: bool = False) -> str:
    """``75.92 ± 0.31``: a mean with so many decimals, and the standard deviation."""
    spread = "" if found.sd is None else f" ± {number(found.sd, 2)}"
    return number(found.mean, digits, signed) + spread


def interval_of(difference: Estimate) -> str:
    """``+0.79 [+0.13, +1.45]``: a mean difference with its interval, if it has one."""
    if difference.low is None or difference.high is None:
        return signed(difference.mean)
    return f"{signed(difference.mean)} [{signed(difference.low)}, {signed(difference.high)}]"


def _epochs(norm: NormSummary, level: Metric) -> str:
    reached = norm.reached[level.name]
    if not norm.finished:
        return NONE
    if not reached:
        return "never"
    if reached < norm.finished:
        return f"in {reached}/{norm.finished}"
    return number(norm.estimates[level.name].mean, 1)


def show_forecast(foreseen: Forecast) -> None:
    """Print every trial with its id and whether it is stored, then the cost of the rest."""
    for notice in foreseen.notices:
        tell(notice)
    todo = set(foreseen.todo)
    for trial in foreseen.trials:
        tell(f"{'to run' if trial in todo else 'stored':7} {trial.id}")
    tell(
        f"{len(foreseen.todo)} of {len(foreseen.trials)} trials to run in {foreseen.folder}: "
        f"about {duration(foreseen.seconds)} and {foreseen.disk_bytes / 1e6:.1f} MB"
    )
    if words := busy_words(foreseen):
        print(words)


def busy_words(foreseen: Forecast) -> str:
    """That times were measured on a busy machine, if so."""
    if not foreseen.busy:
        return ""
    return (
        f"Other programs ran in the last minute (load {foreseen.load:.1f}): on a quiet machine it "
        "takes less time."
    )


def forecast_as_dict(foreseen: Forecast) -> dict[str, Any]:
    todo = set(foreseen.todo)
    return {
        "folder": str(foreseen.folder),
        "trials": [{"id": trial.id, "stored": trial not in todo} for trial in foreseen.trials],
        "seconds": foreseen.seconds,
        "disk_bytes": foreseen.disk_bytes,
        "load": foreseen.load,
        "notices": list(foreseen.notices),
    }


def show_seed_plan(planned: SeedPlan, seconds_per_trial: float, whose: str) -> None:
    """Print the seeds that each design takes, and how long that takes; `whose` the times are."""
    screen = console()
    sizes = f" at {counted(planned.batch_sizes, 'batch size')}" if planned.batch_sizes > 1 else ""
    say(
        f"{planned.norms} norms{sizes}, so {counted(planned.comparisons, 'comparison')}; alpha "
        f"{100 * planned.alpha:g} %; an sd of {planned.sd_points:.3g} points between paired "
        "differences.",
        screen.width,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("seeds per norm")
    for heading in ("fixed: --seeds N", "sequential: --until-decided"):
        table.add_column(heading, justify="right")
    found = planned.fixed, planned.sequential
    equal = planned.fixed_equivalent, planned.sequential_equivalent
    rows = {f"{planned.difference_points:g} points apart, found": found}
    if planned.margin_points:
        rows[f"equal, found within ±{planned.margin_points:g}"] = equal
    for what, designs in rows.items():
        table.add_row(what)
        for share in planned.fixed:
            cells = (_seeds(planned, seeds[share], seconds_per_trial) for seeds in designs)
            table.add_row(f"  in {100 * share:g} % of experiments", *cells)
    print()
    screen.print(table)
    print()
    say(_notes(planned, seconds_per_trial, whose), screen.width)


def _notes(planned: SeedPlan, seconds_per_trial: float, whose: str) -> str:
    low, middle, high = planned.course.trials
    time = duration(middle * seconds_per_trial)
    range_ = f"; {low:,} to {high:,} in 8 of 10 experiments" if low < high else ""
    decided = 100 * planned.course.decided
    late = any(seeds is None or seeds > LAST for seeds in planned.sequential.values())
    beyond = f" Looks beyond {LAST} seeds hardly decide (docs/statistics.md)." if late else ""
    return (
        "--until-decided looks after every seed, and trains what is decided no further: "
        f"{middle:,} trials in all if every norm differs by that much ({time}{range_}). By "
        f"{counted(planned.max_seeds, 'seed')}, the most allowed (--max-seeds), every comparison "
        f"is decided in {decided:.0f} % of experiments. Times are for {whose}, at "
        f"{seconds_per_trial:.0f} s per trial.{beyond}"
    )


def _seeds(planned: SeedPlan, seeds: int | None, seconds_per_trial: float) -> str:
    if seeds is None:
        return "over 1,000"
    return f"{seeds} ({duration(seeds * planned.trials_per_seed * seconds_per_trial)})"


def show_summary(summary: ModelSummary) -> None:
    """Print a model's layer table, its totals and the sizes estimated for one image."""
    table = Table(
        title=f"{summary.model} with {summary.norm}, input {_shape(summary.input_shape)}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("layer")
    for heading in ("output shape", "parameters", "multiply-adds", "sees (pixels)"):
        table.add_column(heading, justify="right")
    for layer in summary.layers:
        table.add_row(
            layer.name,
            _shape(layer.output_shape),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
            "" if layer.receptive_field is None else str(layer.receptive_field),
        )
    table.add_section()
    table.add_row("total", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}", "")
    console().print(table)
    print("\nEstimated size for one image in float32:")
    for part, mib in summary.size_mib().items():
        print(f"  {part:21} {mib:6.2f} MiB")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


def console() -> Console:
    """As wide as the terminal, up to `COLUMNS`."""
    return Console(highlight=False, markup=False, width=min(Console().width, COLUMNS))
