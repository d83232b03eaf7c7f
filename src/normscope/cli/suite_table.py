"""What the terminal shows of a verdict over several settings."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from normscope.analysis.across import Across, InSetting
from normscope.cli.show import console, say, say_equivalence, tell
from normscope.report.plots.across import OVER_ALL
from normscope.report.suite import ANOTHER, heading, in_setting, outcomes, over_all
from normscope.study.suite import Suite
from normscope.words import NONE, confidence, interval, signed, visible

TABLE_COLUMNS = 60  # what a norm's table needs


def show_suite(suite: Suite) -> None:
    """Print a table per norm, with a row for each setting, then the answers and the paths.

    In a narrow terminal, which would cut numbers, a setting is a line of words.
    """
    screen = console()
    say(f"{heading(suite.across)}.", screen.width)
    for across in suite.across:
        print()
        show_across(screen, across)
    say_equivalence(screen, outcomes(suite.across), suite.across[0].rules)
    screen.print("\nAnswer", style="bold")
    for across in suite.across:
        say(f"{across.sentence} {across.of_another}".rstrip(), screen.width, indent="- ")
    say(suite.method, screen.width, indent="- ")
    tell(f"\nSuite: {suite.path}")
    for comparison in suite.comparisons.values():
        tell(f"Report: {comparison.page}")


def show_across(screen: Console, across: Across) -> None:
    """A table of one norm, or lines of words where the terminal is narrow."""
    (_show_norm if screen.width >= TABLE_COLUMNS else _show_lines)(screen, across)


def _show_norm(screen: Console, across: Across) -> None:
    sure = confidence(across.rules.alpha)
    heading = visible(f"{across.norm} against {across.baseline}, points")
    table = Table(title=heading, title_justify="left",
                  title_style="", box=None, pad_edge=False)  # fmt: skip
    table.add_column("setting", overflow="fold", header_style="bold")
    for name in ("mean", f"{sure} interval", "n"):
        table.add_column(name, justify="right", no_wrap=True, header_style="bold")
    table.add_column("verdict", header_style="bold")
    for found in across.found:
        table.add_row(visible(found.setting), *_cells(found))
    table.add_section()
    mean = across.pooled and across.pooled.mean
    ends = interval(*across.interval) if across.interval else NONE
    table.add_row(OVER_ALL, signed(mean), ends, "", across.outcome)
    if across.prediction:
        table.add_row(ANOTHER, "", interval(*across.prediction), "", "")
    screen.print(table)


def _show_lines(screen: Console, across: Across) -> None:
    say(f"{across.norm} against {across.baseline}, points", screen.width)
    for found in across.found:
        say(f"  {found.setting}: {in_setting(found)}", screen.width)
    say(f"  {OVER_ALL}: {over_all(across)}", screen.width)


def _cells(found: InSetting) -> tuple[str, str, str, str]:
    difference, guessing = found.verdict.difference, found.verdict.guessing_in_all
    told = guessing.counts if difference.mean is None and guessing.total else ""
    ends = told or interval(difference.low, difference.high)
    return signed(difference.mean), ends, str(difference.n), found.verdict.outcome


def suite_as_dict(suite: Suite) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "settings": list(suite.comparisons),
        "norms": [across_as_dict(across) for across in suite.across],
        "method": suite.method,
        "suite": str(suite.path),
        "reports": {name: str(each.page) for name, each in suite.comparisons.items()},
    }


def across_as_dict(across: Across) -> dict[str, Any]:
    """One norm over all settings, as plain values."""
    pooled, rules = across.pooled, across.rules
    both = {
        "": across.interval,
        "simultaneous_": across.simultaneous,
        "equivalence_": across.equivalence,
        "another_setting_": across.prediction,
    }
    return {
        "norm": across.norm,
        "baseline": across.baseline,
        "outcome": across.outcome,
        "answer": across.sentence,
        "of_another_setting": across.of_another,
        "difference_points_mean": pooled and pooled.mean,
        "difference_points_standard_error": pooled and pooled.standard_error,
        "between_settings_sd_points": pooled and pooled.tau,
        **{
            f"{name}{end}": ends and ends[place]
            for name, ends in both.items()
            for place, end in enumerate(("low", "high"))
        },
        "p_holm": across.p_value if pooled else None,
        "alpha": rules.alpha,
        "margin_points": rules.margin,
        "settings": [_setting(found) for found in across.found],
    }


def _setting(found: InSetting) -> dict[str, Any]:
    return {
        "setting": found.setting,
        "outcome": found.verdict.outcome,
        **{f"difference_points_{k}": v for k, v in asdict(found.verdict.difference).items()},
        "difference_points_standard_error": found.standard_error,
        "p_holm": found.verdict.judgement.p_value,
    }
