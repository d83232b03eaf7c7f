"""What the terminal shows of two experiments side by side, in at most 80 columns."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from normscope.analysis.between import Between
from normscope.analysis.shared_seeds import Compared
from normscope.cli.show import console, interval_of, mean_sd, say, show_rows, tell
from normscope.report.as_json import verdict_as_dict
from normscope.report.judged import p_tested
from normscope.stats import Estimate
from normscope.study.diff import Diff
from normscope.words import confidence, number, signed, visible

SHORT = 5  # characters of a name that leaves a difference and its interval room in one line


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
    captions = [
        f"gap to {against}, points" if against else "test accuracy, %",
        f"batch size {batch_size:,}" if several else "",
    ]
    longest = max(len(each.asked.norm) for each in compared)
    headings = (
        "norm",
        "n",
        "A\nmean ± sd",
        "B\nmean ± sd",
        f"B − A, points\n{confidence(found.rules.alpha)} interval",
        "p\n(Holm)",
        "verdict",
    )
    joint = " " if longest <= SHORT else "\n"
    rows = [_cells(each, joint) for each in compared]
    show_rows(screen, ", ".join(filter(None, captions)).capitalize(), headings, rows)


def _cells(compared: Compared, joint: str) -> list[str]:
    asked, verdict = compared.asked, compared.verdict
    n = verdict.difference.n
    of_b, of_a = verdict.guessing
    return [
        visible(asked.norm),
        f"{n}" if n == compared.planned else f"{n}/{compared.planned}",
        _mean(compared.a, asked.against, of_a.counts),
        _mean(compared.b, asked.against, of_b.counts),
        interval_of(verdict.difference).replace(" ", joint, 1),
        p_tested(verdict.judgement),
        compared.outcome,
    ]


def _mean(found: Estimate, against: str | None, guessing: str) -> str:
    """An accuracy, or a gap with its sign; below it how many trials diverged or collapsed."""
    words = mean_sd(found)
    if against and found.mean is not None:
        words = words.replace(number(found.mean, 2), signed(found.mean), 1)
    return "\n".join([words, *guessing.split(", ")]).rstrip()


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
