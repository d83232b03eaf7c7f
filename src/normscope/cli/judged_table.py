"""What the terminal shows of results that were judged."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from normscope.analysis.judged import Judged, Panel
from normscope.analysis.verdicts import Outcome
from normscope.cli.show import (
    console,
    interval_of,
    mean_sd,
    say,
    say_equivalence,
    show_rows,
    tell,
)
from normscope.cli.suite_table import across_as_dict, show_across
from normscope.report.as_json import verdict_as_dict
from normscope.report.judged import (
    about,
    answers_below,
    answers_of,
    count,
    has_many,
    p_of,
    title_of,
)
from normscope.report.suite import outcomes
from normscope.study.judge import Judgment
from normscope.words import confidence, visible


def show_judgment(found: Judgment, files: Sequence[str]) -> None:
    """Print a table for each setting and batch size, then the answers and caveats."""
    screen, judged = console(), found.judged
    say(f"{title_of(judged)}. {about(judged, files)}", screen.width)
    for note in judged.notes:
        say(note, screen.width)
    for across in judged.across:
        print()
        show_across(screen, across)
    for panel in () if has_many(judged) else judged.panels:
        _show_panel(screen, panel, judged)
    in_panels: list[Outcome] = [verdict.outcome for verdict in judged.verdicts]
    say_equivalence(screen, in_panels + outcomes(judged.across), judged.rules)
    for heading, sentences in (
        ("Answer", (*map(str, answers_of(judged)), judged.method)),
        ("Caveats", judged.caveats),
    ):
        if sentences:
            screen.print(f"\n{heading}", style="bold")
            for sentence in sentences:
                say(sentence, screen.width, indent="- ")
    if has_many(judged):
        print()
        say(
            f"What is said in each of {len(judged.settings)} settings, and their tables, are in "
            "the report.",
            screen.width,
        )
    tell(f"\nReport: {found.page}")


def _show_panel(screen: Console, panel: Panel, judged: Judged) -> None:
    """The table of one setting at one batch size."""
    headings = (
        visible(judged.factor),
        "n",
        "test acc. %\nmean ± sd",
        f"points to baseline\n{confidence(judged.rules.alpha)} interval",
        "p (Holm)",
        "verdict",
    )
    rows = [
        [
            visible(level.name),
            count(level),
            "\n".join(
                [
                    mean_sd(level.accuracy),
                    *(level.guessing.counts.split(", ") if level.guessing.total else []),
                ]
            ),
            interval_of(level.verdict.difference) if level.verdict else "",
            p_of(level),
            level.verdict.outcome if level.verdict else "baseline",
        ]
        for level in panel.levels
    ]
    print()
    show_rows(screen, panel.heading, headings, rows)


def judgment_as_dict(found: Judgment) -> dict[str, Any]:
    """The same as plain values."""
    judged = found.judged
    return {
        "factor": judged.factor,
        "baseline": judged.baseline,
        "levels": list(judged.levels),
        "design": {
            "sequential": judged.rules.sequential,
            "alpha": judged.rules.alpha,
            "margin_points": judged.rules.margin,
            "overlap_of_folds": judged.rules.overlap,
            "method": judged.method,
        },
        "answers": [str(each) for each in (*answers_of(judged), *answers_below(judged))],
        "settings": [_panel_as_dict(panel) for panel in judged.panels],
        "over_all": [across_as_dict(across) for across in judged.across],
        "caveats": list(judged.caveats),
        "notes": list(judged.notes),
        "runs": len(judged.runs),
        "report": str(found.page),
    }


def _panel_as_dict(panel: Panel) -> dict[str, Any]:
    return {
        "setting": panel.setting,
        "batch_size": panel.batch_size or None,
        "seeds": list(panel.seeds),
        "levels": [
            {
                "level": level.name,
                "runs": len(level.statuses),
                "finished": len(level.percent),
                "test_accuracy_percent_mean": level.accuracy.mean,
                "test_accuracy_percent_sd": level.accuracy.sd,
            }
            for level in panel.levels
        ],
        "verdicts": [verdict_as_dict(verdict) for verdict in panel.verdicts],
    }
