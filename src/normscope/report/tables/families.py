"""The families of comparisons beside the main one: secondary, robustness, calibration."""

from collections.abc import Sequence

from normscope.analysis import Analysis
from normscope.analysis.contrasts import to_choose
from normscope.analysis.metrics import (
    CALIBRATION,
    CALIBRATION_FAMILY,
    TEMPERATURE,
    TEST_LOSS,
    Metric,
)
from normscope.analysis.robustness import ALL, CLEAN, Robustness
from normscope.report.result_table import Cell, mean_sd
from normscope.report.tables.table import Table, compared, contrast_cell


def secondary(analysis: Analysis) -> Table:
    """What else differs from the baseline, a row per metric."""
    found = {(c.metric, c.norm): c for c in analysis.secondary if c.judgement.pairs.seeds}
    norms = list(dict.fromkeys(contrast.norm for contrast in analysis.secondary))
    metrics = list(dict.fromkeys(metric for metric, _ in found))
    rows = [
        [Cell(metric.heading), *(contrast_cell(found.get((metric, norm))) for norm in norms)]
        for metric in metrics
    ]
    return Table(
        "Secondary metrics",
        f"Mean difference to {analysis.experiment.baseline} within seeds. All "
        f"{len(analysis.secondary)} comparisons are one family of their own, corrected by Holm at "
        f"{100 * analysis.rules.alpha:g} %; bold where decided. Where a level was not always "
        f"reached, only the order counts.{_directions(metrics)}{_left_out(analysis)}",
        ["Metric", *norms],
        rows,
        [None] * len(rows),
    )


def _directions(metrics: Sequence[Metric]) -> str:
    """Which way is better."""
    exceptions = [
        *(f"{metric.title} (higher)" for metric in metrics if metric.better == "higher"),
        *(f"{metric.title} (neither)" for metric in metrics if metric.better is None),
    ]
    return f" Lower is better, except for {' and '.join(exceptions)}."


def _left_out(analysis: Analysis) -> str:
    """That regrouped norms are no members of these families, where there are any beside others."""
    chosen = to_choose(analysis.experiment)
    return "" if len(chosen) == len(analysis.experiment.norms) else " Regrouped norms are left out."


def robustness(found: Robustness, analysis: Analysis) -> Table:
    """What each norm keeps of its accuracy on images that were made worse."""
    baseline, names = analysis.experiment.baseline, [metric.name for metric in found.metrics]
    rows = [
        [
            Cell(arm.name),
            mean_sd(arm.estimates[CLEAN], 1),
            *(
                compared(arm.estimates[name], found.contrast(name, arm.name, baseline))
                for name in names
            ),
            Cell(str(arm.estimates[ALL].n)),
        ]
        for arm in found.arms
    ]
    clean = "the same images" if found.same_images else "all test images"
    return Table(
        "Robustness",
        "Test accuracy in percent on the probe's test images, made worse in six ways, each the "
        f"mean of five strengths; and on {clean} as they are. Lost are the points between that and "
        f"all kinds. Means over n seeds, with the difference to {baseline} within seeds; bold "
        f"where decided. All {len(found.contrasts)} comparisons are one family of their own, "
        f"corrected by Holm at {100 * analysis.rules.alpha:g} %. Adapted: with the statistics of "
        "the corrupted images in the place of the norm's running ones.",
        ["Norm", "Clean (%)", *(metric.heading for metric in found.metrics), "n"],
        rows,
        [arm.norm for arm in found.arms],
    )


def calibration(analysis: Analysis) -> Table:
    """How far each norm's confidence can be trusted."""
    found = {(c.metric, c.norm): c for c in analysis.calibration if c.judgement.pairs.seeds}
    plain = (TEST_LOSS, CALIBRATION)
    rows = [
        [
            Cell(norm.norm),
            *(mean_sd(norm.estimates[m.name], m.decimals) for m in plain),
            *(
                compared(norm.estimates[m.name], found.get((m, norm.norm)), m.decimals)
                for m in CALIBRATION_FAMILY
            ),
            Cell(str(norm.estimates[TEMPERATURE.name].n)),
        ]
        for norm in (analysis.norms if found else ())
        if norm.norm in to_choose(analysis.experiment)
    ]
    return Table(
        "Calibration",
        "How far confidence can be trusted: the test loss, and by how many points confidence and "
        "accuracy differ on average (calibration error, 15 bins), as they are and scaled: with "
        "the logits of each half of the test images divided by a temperature that was fitted on "
        "the other half. A temperature above 1 says that the network is too sure. Means over n "
        f"seeds; behind the last three the difference to {analysis.experiment.baseline} within "
        f"seeds, bold where decided. These {len(analysis.calibration)} comparisons are one family "
        f"of their own, corrected by Holm at {100 * analysis.rules.alpha:g} %; the others are "
        f"among the secondary metrics.{_left_out(analysis)}",
        [
            "Norm",
            *(metric.heading for metric in (*plain, *CALIBRATION_FAMILY)),
            "n",
        ],
        rows,
        [row[0].text for row in rows],
    )
