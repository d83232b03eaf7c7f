"""What the norms cost, and what was foreseen from it."""

from collections.abc import Sequence

from normscope.analysis import Analysis
from normscope.experiment import Costs, NormCost, Spread
from normscope.report.result_table import Cell
from normscope.report.tables.table import Table
from normscope.words import NONE, counted, milliseconds, number


def cost_tables(analysis: Analysis) -> list[Table]:
    """What the norms cost, and what was foreseen from it; none if it was not measured."""
    costs = analysis.costs
    return [_side_by_side(costs), _predictors(costs)] if costs else []


def _side_by_side(costs: Costs) -> Table:
    answered = list(costs.norms[0].inference_ms)
    images = [counted(count, "image") for count in answered]
    rows = [
        [
            Cell(cost.norm),
            _milliseconds(cost.step_ms),
            *(_milliseconds(cost.inference_ms[count]) for count in answered),
            *_folded(cost, answered),
            Cell(number(cost.peak_memory_mib, 1)),
        ]
        for cost in costs.norms
    ]
    return Table(
        "Cost, side by side",
        f"Measured in turn, in {counted(costs.rounds, 'round')} of alternating order: the median, "
        f"and the lowest to the highest, on {cost_place(costs)}. A step trains on "
        f"{counted(costs.batch_size, 'image')} as normscope compare does; its memory is what it "
        "needs beside weights and data. Inference is torch's layers one by one, in float32. "
        "Folded: a norm that is one scale and shift per channel in evaluation disappears into a "
        "convolution beside it.",
        [
            "Norm",
            "Training step (ms)",
            *(f"Inference, {each} (ms)" for each in images),
            *(f"Folded, {each} (ms)" for each in images),
            "Memory of a step (MiB)",
        ],
        rows,
        [cost.norm for cost in costs.norms],
    )


def _folded(cost: NormCost, answered: Sequence[int]) -> list[Cell]:
    if cost.folded_ms is None:
        return [Cell("")] * len(answered)
    return [_milliseconds(cost.folded_ms[count]) for count in answered]


def cost_place(costs: Costs) -> str:
    """``cpu, 1 thread, float32``."""
    here = costs.environment
    threads = f", {counted(here.threads, 'thread')}" if here.device == "cpu" else ""
    return f"{here.device}{threads}, {here.precision}"


def _milliseconds(spread: Spread) -> Cell:
    low, high = milliseconds(spread.low), milliseconds(spread.high)
    return Cell(milliseconds(spread.median), f"{low} to {high}")


def _predictors(costs: Costs) -> Table:
    rows = []
    for cost in costs.norms:
        values = [NONE] * 4
        if found := cost.predictors:
            values = [number(found.similarity[end], 2) for end in (0, -1)]
            values += [number(found.gradient_norms[end], 3) for end in (0, -1)]
        rows.append([Cell(cost.norm), *map(Cell, values)])
    seeds = next((cost.predictors.seeds for cost in costs.norms if cost.predictors), 0)
    return Table(
        "Before training",
        f"Of untrained networks, the mean of {counted(seeds, 'seed')}, after arXiv 2106.05956. "
        "Similarity: the mean cosine of the activations of two images; the larger it is where the "
        "classifier reads them, the slower is training foreseen to be. Gradient norm: of a "
        "layer's weights; a large one in the first layer is said to foresee instability.",
        [
            "Norm",
            "Similarity after the first block",
            "Similarity at the classifier",
            "Gradient norm, first layer",
            "Gradient norm, last layer",
        ],
        rows,
        [cost.norm for cost in costs.norms],
    )
