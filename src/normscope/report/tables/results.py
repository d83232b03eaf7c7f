"""The result table in two: what a verdict rests on, and the other metrics."""

from normscope.analysis import Analysis
from normscope.analysis.summaries import NormSummary
from normscope.report.result_table import (
    SECONDS_NOTE,
    Cell,
    difference,
    headings,
    intervals_note,
    main_size,
    of_classes,
    result_row,
)
from normscope.report.tables.table import Table
from normscope.words import number


def result_tables(analysis: Analysis) -> list[Table]:
    """Norm, n, test accuracy, difference and verdict; then all else, narrow enough for a page."""
    names = headings(analysis)
    by_class = len(of_classes(analysis))  # columns behind the test accuracy
    verdict = 4 + by_class
    others = [0, *range(3, 3 + by_class), *range(verdict + 1, len(names))]
    rows = [result_row(norm, analysis) for norm in analysis.norms]
    size = main_size(analysis)
    norms: list[str | None] = [norm.norm for norm in analysis.norms]
    main = Table(
        "Results",
        f"{size}{intervals_note(analysis.verdicts, analysis.rules)}".rstrip(),
        ["Norm", "n", "Test accuracy (%)", names[verdict - 1], "Verdict"],
        [_main_row(norm, row) for norm, row in zip(analysis.norms, rows, strict=True)],
        norms,
    )
    beside = Table(
        "Other metrics",
        f"{size}Means over the finished trials, with the standard deviation over seeds. "
        f"{SECONDS_NOTE}",
        [names[place] for place in others],
        [[row[place] for place in others] for row in rows],
        norms,
    )
    return [main, beside]


def _main_row(norm: NormSummary, row: list[Cell]) -> list[Cell]:
    accuracy = norm.test_accuracy_percent
    spread = "" if accuracy.sd is None else f" ± {number(accuracy.sd, 2)}"
    return [
        *row[:2],
        Cell(f"{number(accuracy.mean, 1)}{spread}"),
        difference(norm.verdict),
        Cell(norm.outcome),
    ]
