"""Which images are hard for all, and what mistakes are shared."""

from normscope.analysis import Analysis
from normscope.analysis.agreement import Agreement
from normscope.report.result_table import Cell
from normscope.report.tables.table import Table
from normscope.stats import SharedMistakes
from normscope.words import number


def agreement_tables(analysis: Analysis) -> list[Table]:
    """How far trials agree on which test images are hard; none before a trial has finished."""
    agreement = analysis.agreement
    if agreement is None:
        return []
    tables = [_splits(agreement)] if agreement.every.trials > 1 else []
    if agreement.shared is not None:
        tables.append(_shared(agreement, agreement.shared))
    return tables


def _splits(agreement: Agreement) -> Table:
    splits = [*agreement.splits.items()]
    if len(splits) > 1:
        splits.append(("all of them", agreement.every))
    return Table(
        "Hard and easy images",
        f"Of the {agreement.test_size:,} test images, how many are right or wrong in every "
        f"finished trial: {_trials(agreement)}. The more trials there are, the more images are "
        "mixed.",
        ["Norm", "Right in all", "Wrong in all", "Mixed"],
        [
            [Cell(name), *(Cell(f"{n:,}") for n in (s.right, s.wrong, s.mixed))]
            for name, s in splits
        ],
        [name if name in agreement.splits else None for name, _ in splits],
    )


def _trials(agreement: Agreement) -> str:
    """``3 of each norm``, or ``3 of bn, 2 of gn``."""
    counts = {norm: split.trials for norm, split in agreement.splits.items()}
    if len({*counts.values()}) == 1 < len(counts):
        return f"{next(iter(counts.values()))} of each norm"
    return ", ".join(f"{count} of {norm}" for norm, count in counts.items())


def _shared(agreement: Agreement, shared: SharedMistakes) -> Table:
    norms = agreement.norms
    rows = [
        [Cell(norm), *(Cell(number(v, 1), "", r == c) for c, v in enumerate(shared.percent[r]))]
        for r, norm in enumerate(norms)
    ]
    return Table(
        "Mistakes in common",
        "How many percent of their mistakes two trials have in common, which is 2 |A and B| / "
        "(|A| + |B|), mean over the pairs of trials with different seeds. Bold: two seeds of the "
        "same norm, beside which the other numbers are to be read. At random, two trials with this "
        f"many mistakes would share {number(agreement.by_chance_percent, 1)} %.",
        ["Norm", *norms],
        rows,
        list(norms),
    )
