"""The figure of who shares statistics with whom."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import make_analysis, make_probes

from normscope.report.plots.grouping import grouping_data, grouping_figures

SIMILAR, DISSIMILAR = (f"gn:order={each}similar-scale-initial" for each in ("", "dis"))
NOISE = np.array([0.05, -0.02, 0.03, -0.04, 0.01])
FINALS = {
    "bn": 76 + NOISE, "gn": 75 - NOISE, SIMILAR: 75.6 + NOISE, DISSIMILAR: 74.9 - 2 * NOISE,
    "gn:order=random": 75.01 + NOISE, "bn-scale": 75.9 + 3 * NOISE,
}  # fmt: skip


def analysed(finals):
    def change(results):
        moved = []
        for r in results:
            last = {"test_accuracy_percent": float(finals[r.trial.norm][r.trial.seed])}
            history = (*r.history[:-1], replace(r.history[-1], **last))
            moved.append(r.model_copy(update={"history": history}))
        return moved

    return make_analysis(tuple(finals), 5, change=change, probes=make_probes(0.3))


def test_a_row_for_each_pair():
    rows = grouping_data(analysed(FINALS))
    assert [row.norm for row in rows] == [
        "bn-scale − bn", "similar − dissimilar (scale, initial)", "random − given"
    ]  # fmt: skip
    means = [np.mean(FINALS[a] - FINALS[b]) for a, b in
             (("bn-scale", "bn"), (SIMILAR, DISSIMILAR), ("gn:order=random", "gn"))]  # fmt: skip
    assert [row.mean for row in rows] == pytest.approx(means)
    assert rows[1].outcome == "better"


def test_the_figure_names_them_and_is_left_out_without_any():
    (figure,) = grouping_figures(analysed(FINALS))
    assert "similar − dissimilar (scale, initial) +0.72 points (" in figure.alt
    texts = [text.get_text() for axes in figure.drawing.axes for text in axes.texts]
    assert "no difference" in texts
    assert grouping_figures(analysed({"bn": 76 + NOISE, "gn": 75 + NOISE})) == []


def test_two_norms_with_the_same_order_are_told_apart():
    two = {f"gn:groups=2:order={each}similar-scale-initial": 75 + NOISE for each in ("", "dis")}
    rows = grouping_data(analysed({**FINALS, **two}))
    assert len({row.norm for row in rows}) == len(rows) == 4
