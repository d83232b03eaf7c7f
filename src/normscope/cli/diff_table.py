"""What the terminal shows of two experiments side by side."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from normscope.analysis.between import Between
from normscope.analysis.shared_seeds import Compared
from normscope.analysis.verdicts import Outcome
from normscope.cli.show import (
    console,
    fits,
    interval_of,
    mean_sd,
    say,
    say_equivalence,
    show_rows,
    tell,
)
from normscope.report.as_json import verdict_as_dict
from normscope.report.judged import p_tested
from normscope.study.diff import Diff
from normscope.words import confidence, visible


def show_diff(diff: Diff) -> None:
    """Print what differs, a table for each batch size and family, then the answers and caveats."""
    screen, found = console(), diff.found
    tell(f"A: {diff.a}")
    tell(f"B: {diff.b}, measured against A")
    _show_differing(screen, found)
    for family in (found.compared, found.gaps):
        for size, compared in groupby(family, lambda each: each.asked.sizes[1]):
            print()
            _show_family(screen, [*compared], found, size)
    both = (*found.compared, *found.gaps)
    outcomes: list[Outcome] = [each.verdict.outcome for each in both]
    say_equivalence(screen, outcomes, found.rules)
    for heading, sentences in (
        ("Answer", (*map(str, found.answers), found.method)),
        ("Caveats", found.caveats),
    ):
        if any(sentences):
            screen.print(f"\n{heading}", style="bold")
            for sentence in sentences:
                say(sentence, screen.width, indent="- ")


def _show_differing(screen: Console, found: Between) -> None:
    print()
    if found.differing:
        table = Table(box=None, pad_edge=False)
        for heading in ("what differs", "A", "B"):
            table.add_column(heading, header_style="bold", overflow="fold")
        for each in found.differing:
            table.add_row(*map(visible, (each.what, each.a, each.b)))
        screen.print(table)
    if found.differing and found.sameness:
        print()
    say(found.sameness, screen.width)


def _show_family(
    screen: Console, compared: Sequence[Compared], found: Between, batch_size: int
) -> None:
    """The norms, or their gaps to the baseline, at one batch size."""
    against = compared[0].asked.against
    several = len({each.asked.sizes for each in found.compared}) > 1
    caption = f"Gap to {against}, points" if against else "Test accuracy, %"
    headings = (
        "norm",
        "n",
        "A\nmean ± sd",
        "B\nmean ± sd",
        f"B − A, points\n{confidence(found.rules.alpha)} interval",
        "p\nby Holm",
        "verdict",
    )
    in_one, in_two = ([_cells(each, between) for each in compared] for between in (" ", "\n"))
    broken = fits(screen, headings, in_two) and not fits(screen, headings, in_one)
    show_rows(
        screen,
        f"{caption}, batch size {batch_size:,}" if several else caption,
        headings,
        in_two if broken else in_one,
    )


def _cells(compared: Compared, between: str) -> list[str]:
    """A row; `between` a difference and its interval there is a space, or the end of a line."""
    asked, verdict = compared.asked, compared.verdict
    n = verdict.difference.n
    of_b, of_a = verdict.guessing
    a, b = (
        "\n".join([mean_sd(found, signed=asked.against is not None), *guessing.counts.split(", ")])
        for found, guessing in ((compared.a, of_a), (compared.b, of_b))
    )
    return [
        visible(asked.norm),
        f"{n}" if n == compared.planned else f"{n}/{compared.planned}",
        a.rstrip(),
        b.rstrip(),
        interval_of(verdict.difference).replace(" ", between, 1),
        p_tested(verdict.judgement),
        compared.outcome,
    ]


def diff_as_dict(diff: Diff) -> dict[str, Any]:
    """The same as plain values."""
    found = diff.found
    return {
        "a": str(diff.a),
        "b": str(diff.b),
        "differing": [asdict(each) for each in found.differing],
        "trials": {
            "in_both": found.trials,
            "same_id": found.repeated,
            "identical": found.identical,
        },
        "design": {
            "sequential": found.rules.sequential,
            "rules": found.rules.version,
            "alpha": found.rules.alpha,
            "margin_points": found.rules.margin,
            "overlap_of_folds": found.rules.overlap,
            "method": found.method,
        },
        "answers": [str(answer) for answer in found.answers],
        "norms": [_as_dict(each) for each in found.compared],
        "gaps": [_as_dict(each) for each in found.gaps],
        "caveats": list(found.caveats),
    }


def _as_dict(compared: Compared) -> dict[str, Any]:
    asked, (size_a, size_b) = compared.asked, compared.asked.sizes
    return {
        "norm": asked.norm,
        "against": asked.against,
        "batch_size_a": size_a,
        "batch_size_b": size_b,
        "outcome": compared.outcome,
        "seeds": list(compared.verdict.judgement.pairs.seeds),
        "seeds_planned": compared.planned,
        **{f"a_{key}": getattr(compared.a, key) for key in ("n", "mean", "sd")},
        **{f"b_{key}": getattr(compared.b, key) for key in ("n", "mean", "sd")},
        "verdict": verdict_as_dict(compared.verdict),
    }
