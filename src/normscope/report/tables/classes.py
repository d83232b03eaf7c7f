"""How many images there are of each class, and how many of them each norm recognises."""

import numpy as np

from normscope.analysis import Analysis
from normscope.report.result_table import Cell, mean_sd
from normscope.report.tables.table import Table
from normscope.stats import t_interval


def class_tables(analysis: Analysis) -> list[Table]:
    """The recall of every class that is shown; none where classes are about equally frequent."""
    classes = analysis.classes
    if not classes.imbalanced:
        return []
    counts = [("Training images", classes.train), ("Test images", classes.test)]
    known = [(heading, images) for heading, images in counts if images is not None]
    rows = [
        [
            Cell(classes.names[i]),
            *(Cell(f"{images[i]:,}") for _, images in known),
            *(_recall(percent[:, i]) for percent in classes.recalls.values()),
        ]
        for i in classes.shown
    ]
    trials = ", ".join(f"{len(percent)} of {norm}" for norm, percent in classes.recalls.items())
    caption = (
        "How many percent of the test images of each class are recognised (recall): the mean over "
        f"the finished trials ({trials}), with the standard deviation over seeds."
        if trials
        else "No trial has finished."
    )
    if classes.hidden:
        caption += f" {classes.which_shown}"
    return [
        Table(
            "Recall by class",
            caption,
            ["Class", *(heading for heading, _ in known), *(f"{n} (%)" for n in classes.recalls)],
            rows,
            [None] * len(rows),
        )
    ]


def _recall(percent: np.ndarray) -> Cell:
    """Of one class in every trial; nothing for a class without test images."""
    return mean_sd(t_interval([value for value in percent.tolist() if not np.isnan(value)]), 1)
