"""The layers of the networks, and how many parameters they have."""

from collections.abc import Sequence

from normscope.analysis import Analysis
from normscope.experiment import ModelSummary
from normscope.report.result_table import Cell
from normscope.report.tables.table import Table
from normscope.words import listed


def network_tables(analysis: Analysis) -> list[Table]:
    """The layers of the baseline's network, then the size of each, where they differ."""
    models = list(analysis.models.values())
    if not models:
        return []
    alike = all(_shapes(model) == _shapes(models[0]) for model in models)
    return [_layers(models)] if alike else [_layers(models), _sizes(models)]


def _layers(models: Sequence[ModelSummary]) -> Table:
    first, *others = models
    rows = [
        [
            Cell(layer.name),
            Cell(" × ".join(map(str, layer.output_shape))),
            Cell(f"{layer.parameters:,}"),
            Cell(f"{layer.multiply_adds:,}"),
        ]
        for layer in first.layers
    ]
    total = [Cell("Total"), Cell(""), *map(Cell, _size(first))]
    same = [model.norm for model in others if _shapes(model) == _shapes(first)]
    caption = (
        f"For one image of {' × '.join(map(str, first.input_shape))} (channels, height, width)."
    )
    if same:
        caption += f" With {listed(same)} all shapes and numbers are the same."
    return Table(
        f"Layers of {first.model} with {first.norm}",
        caption,
        ["Layer", "Output shape", "Parameters", "Multiply-adds"],
        [*rows, total],
        [None] * (len(rows) + 1),
    )


def _sizes(models: Sequence[ModelSummary]) -> Table:
    return Table(
        "Size by norm",
        "Of the whole network, for one image.",
        ["Norm", "Parameters", "Multiply-adds"],
        [[Cell(model.norm), *map(Cell, _size(model))] for model in models],
        [model.norm for model in models],
    )


def _size(model: ModelSummary) -> tuple[str, str]:
    return f"{model.parameters:,}", f"{model.multiply_adds:,}"


def _shapes(model: ModelSummary) -> list[tuple[tuple[int, ...], int, int]]:
    return [(each.output_shape, each.parameters, each.multiply_adds) for each in model.layers]
