"""What the networks are like inside."""

from normscope.analysis import Analysis
from normscope.report.result_table import Cell
from normscope.report.tables.table import Table
from normscope.words import number


def inside_tables(analysis: Analysis) -> list[Table]:
    """What the networks of each norm are like inside; none where no probes were taken."""
    if not analysis.inside:
        return []
    rows = [
        [Cell(each.norm), *(Cell(number(v, 2)) for v in each.measures.values()), Cell(str(each.n))]
        for each in analysis.inside
    ]
    return [
        Table(
            "Inside the networks",
            "Means over layers and over n seeds, after the training where nothing else is said. "
            "Sameness is how far the channels of a layer resemble each other at each position: 0 "
            "for not at all, 1 if all are alike. Shuffled: the same when each channel's maps are "
            "dealt out anew among the images, below which it cannot fall; pooled: of means over "
            "all positions, where brightness counts. Best r²: what a channel shares with the one "
            "that is most like it. S1: each channel is replaced by a scaled and shifted copy of "
            "the one that is most like it, and by its own mean; 1 if the copies do no harm, 0 if "
            "they do as much as the means. Shares are of the variance at the norm's input; what is "
            "left lies between pixels. Affine gap: how far the norm is from one fixed scale and "
            "shift per channel.",
            ["Norm", *analysis.inside[0].measures, "n"],
            rows,
            [each.norm for each in analysis.inside],
        )
    ]
