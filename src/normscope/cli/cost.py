"""What norms cost, as two tables."""

import textwrap

from rich.table import Table

from normscope.cli.show import console
from normscope.experiment import Costs, NormCost, Spread
from normscope.report.tables import cost_place
from normscope.words import NONE, counted, milliseconds, number


def show_costs(costs: Costs) -> None:
    """Print times with their spread, then sizes and what untrained networks foresee."""
    answered = list(costs.norms[0].inference_ms)
    rows = []
    for cost in costs.norms:
        rows.append([cost.norm, cost.step_ms, *cost.inference_ms.values()])
        if cost.folded_ms:
            rows.append([f"{cost.norm}, folded", None, *cost.folded_ms.values()])
    print(
        f"Milliseconds: median and lowest to highest of {counted(costs.rounds, 'round')}; "
        f"{cost_place(costs)}\n"
    )
    headings = [
        "norm",
        f"training step,\n{counted(costs.batch_size, 'image')}",
        *(f"inference,\n{counted(count, 'image')}" for count in answered),
    ]
    _print(headings, [[row[0], *map(_milliseconds, row[1:])] for row in rows])
    print()
    _print(
        ["norm", "parameters", "multiply-\nadds", "memory of a\nstep, MiB",
         "similarity of\nsamples", "gradient norm,\nfirst layer"],
        [_sizes(cost) for cost in costs.norms],
    )  # fmt: skip
    print(f"\n{textwrap.fill(_explained(costs), console().width)}")


def _milliseconds(spread: Spread | None) -> str:
    if spread is None:
        return ""
    middle, low, high = (milliseconds(v) for v in (spread.median, spread.low, spread.high))
    return f"{middle} ({low} to {high})"


def _sizes(cost: NormCost) -> list[str]:
    foreseen = [NONE, NONE]
    if cost.predictors:
        foreseen = [
            number(cost.predictors.last_similarity, 2),
            number(cost.predictors.first_gradient_norm, 3),
        ]
    return [
        cost.norm,
        f"{cost.parameters:,}",
        f"{cost.multiply_adds:,}",
        number(cost.peak_memory_mib, 1),
        *foreseen,
    ]


def _explained(costs: Costs) -> str:
    seeds = next((cost.predictors.seeds for cost in costs.norms if cost.predictors), 0)
    return (
        "Inference is torch's layers one by one; folded, the norm is part of a convolution beside "
        "it, which only a norm can be that is a fixed scale and shift in evaluation. The last two "
        f"columns are of untrained networks, the mean of {counted(seeds, 'seed')} (arXiv "
        "2106.05956): the more alike two images look to the classifier, the slower is training "
        "foreseen to be; the larger the gradient of the first layer, the less stable. See "
        "docs/cost.md."
    )


def _print(headings: list[str], rows: list[list[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        if place:
            table.add_column(heading, justify="right", no_wrap=True)
        else:  # a long name takes several lines before a number is cut
            table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
