"""Accuracy by the images in bn's statistics: numbers by hand, marks, its place in the report."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_words import assert_words_fit
from matplotlib.colors import to_hex
from report_fakes import collapsed, diverged, make_analysis

from normscope.analysis.guessing import Guessing
from normscope.report.figures import FIGURE_FILE, make_figures
from normscope.report.html import render_page
from normscope.report.markdown import render_markdown
from normscope.report.plots.statistics_batch import (
    draw_statistics,
    statistics_data,
    statistics_figures,
)
from normscope.report.plots.style import norm_styles
from normscope.report.plots.svg import to_png

NORMS = ("bn", "ghost-bn:size=8", "ghost-bn:size=2", "gn")
FALL = {"bn": 0.0, "ghost-bn:size=8": -1.0, "ghost-bn:size=2": -7.0, "gn": -2.0}


def analysed(norms=NORMS, seeds=3, change=lambda r: r, percent=None, **options):
    """Test accuracies of 74, 75, 76 % and so on by seed, less how far each norm has fallen."""

    def usual(norm, seed):
        return 74.0 + seed + FALL.get(norm, -1.5)

    def changed(results):
        for result in results:
            value = (percent or usual)(result.trial.norm, result.trial.seed)
            last = replace(result.history[-1], **{"test_accuracy_percent": value})
            yield change(result.model_copy(update={"history": (*result.history[:-1], last)}))

    return make_analysis(
        norms, seeds, epochs=2, test_size=50, change=lambda rs: list(changed(rs)), **options
    )


def drawn(analysis):
    lines = statistics_data(analysis)
    (axes,) = draw_statistics(lines, analysis.experiment.norms).axes
    return axes


def ends(result, how, *which):
    return how(result) if (result.trial.norm, result.trial.seed) in which else result


# -- data ----------------------------------------------------------------------------------------


def test_points_are_means_with_student_s_interval_by_the_images_in_the_statistics():
    """Three values that are 1 apart: t with 2 degrees of freedom is 4.30265 at 5 %."""
    lines = statistics_data(analysed())
    (curve,) = lines.curves
    assert (curve.norm, list(curve.points)) == ("bn", [2, 8, 512])
    assert [p.accuracy.mean for p in curve.points.values()] == pytest.approx([68, 74, 75])
    half = 4.30265 / 3**0.5
    for point in curve.points.values():
        found = point.accuracy
        assert (found.n, found.low, found.high) == pytest.approx(
            (3, found.mean - half, found.mean + half), abs=1e-4
        )
    assert sorted(curve.points[2].seeds) == [67, 68, 69]
    assert list(lines.levels) == ["gn"]
    assert lines.levels["gn"].accuracy.mean == pytest.approx(73)


def test_of_several_batch_sizes_the_main_one_is_shown():
    lines = statistics_data(analysed(batch_sizes=(128, 512)))
    assert list(lines.curves[0].points) == [2, 8, 512]
    assert len(lines.curves[0].points[2].seeds) == 3


def test_one_size_of_the_statistics_makes_no_figure():
    for norms in (("bn", "gn"), ("ghost-bn", "gn"), ("bn", "ghost-bn:size=512")):
        analysis = analysed(norms)
        assert statistics_data(analysis).levels == {}
        assert statistics_figures(analysis) == []


def test_where_a_trial_diverged_there_is_no_mean():
    analysis = analysed(
        change=lambda r: ends(r, lambda r: diverged(r, 1), ("ghost-bn:size=2", 1), ("gn", 0))
    )
    lines = statistics_data(analysis)
    two = lines.curves[0].points[2]
    assert (two.accuracy.mean, two.seeds) == (None, (67, 69))
    assert two.guessing == Guessing(3, diverged=1)
    assert lines.levels["gn"].accuracy.mean is None
    (figure,) = statistics_figures(analysis)
    assert figure.caption.endswith("There is no mean where a trial diverged.")
    assert "bn none at 2, 74.0 at 8, 75.0 at 512; beside them gn none." in figure.alt


# -- drawing -------------------------------------------------------------------------------------


def test_means_stand_over_their_images_and_other_norms_across():
    axes = drawn(analysed())
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == [2, 8, 512]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["2", "8", "512"]
    color = norm_styles(NORMS)["bn"].color.lower()
    own = [line for line in axes.lines if to_hex(line.get_color()) == color]
    (means,) = [line for line in own if line.get_linewidth() == 1.8]
    assert means.get_xydata().tolist() == pytest.approx(np.array([(2, 68), (8, 74), (512, 75)]))
    dots = [line for line in own if line.get_linestyle() == "None"]
    assert sorted(map(tuple, dots[0].get_xydata().tolist())) == [
        (size, mean + more) for size, mean in ((2, 68), (8, 74), (512, 75)) for more in (-1, 0, 1)
    ]
    upright = [line for line in own if list(line.get_xdata()) in ([2] * 2, [8] * 2, [512] * 2)]
    assert [line.get_ydata()[1] - line.get_ydata()[0] for line in upright] == pytest.approx(
        [2 * 4.30265 / 3**0.5] * 3, abs=1e-4
    )
    (across,) = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert list(across.get_ydata()) == pytest.approx([73, 73])
    (band,) = axes.patches
    assert (band.get_y(), band.get_height()) == pytest.approx(
        (73 - 4.30265 / 3**0.5, 2 * 4.30265 / 3**0.5), abs=1e-4
    )
    labels = {text.get_text(): text.xy for text in axes.texts}
    assert labels == {"bn": (512, 75), "gn": (axes.get_xlim()[1], 73)}


def test_trials_that_guess_are_told_at_their_images():
    lost = [("ghost-bn:size=2", 0), ("ghost-bn:size=2", 1), ("gn", 1)]
    axes = drawn(analysed(change=lambda r: ends(r, collapsed, *lost)))
    notes = [(text.xy[0], text.get_text()) for text in axes.texts if "trials" in text.get_text()]
    assert notes == [(2, "collapsed trials: bn 2")]
    assert "gn" not in [text.get_text() for text in axes.texts]


def test_wide_intervals_do_not_take_the_axis():
    """Two seeds: t is 12.7, and the bands would be 18 points wide around values 1 point apart."""
    low, high = drawn(analysed(norms=NORMS[:2], seeds=2)).get_ylim()
    assert high - low < 11


CASES = {
    "usual": lambda: analysed(),
    "one seed": lambda: analysed(seeds=1),
    "no other norm": lambda: analysed(NORMS[:3]),
    "sub-batches alone": lambda: analysed(("gn", "ghost-bn:size=2", "ghost-bn")),
    "two places": lambda: analysed(("bn", "bn:pre", "ghost-bn:size=2", "ghost-bn:size=4:pre")),
    "nine sizes": lambda: analysed(("bn", *(f"ghost-bn:size={2**i}" for i in range(1, 9)), "gn")),
    "many norms": lambda: analysed((*NORMS, *(f"my_norm_{i}" for i in range(15)))),
    "all diverged": lambda: analysed(change=lambda r: diverged(r, 1)),
    "one diverged": lambda: analysed(
        change=lambda r: ends(r, lambda r: diverged(r, 1), ("bn", 0), ("ghost-bn:size=2", 1))
    ),
    "far": lambda: analysed(percent=lambda norm, seed: 10.0 if norm.endswith("2") else 75 + seed),
}


@pytest.mark.parametrize("case", CASES)
def test_words_neither_overlap_nor_leave_the_figure(case):
    (figure,) = statistics_figures(CASES[case]())
    assert FIGURE_FILE.fullmatch(f"{figure.name}.svg")
    assert to_png(figure.drawing).startswith(b"\x89PNG")
    assert_words_fit(figure.drawing)


# -- in the report -------------------------------------------------------------------------------


def test_the_caption_says_that_nothing_but_the_statistics_differs():
    (figure,) = statistics_figures(analysed())
    assert (
        "Gradients are averaged over 512 images and the peak learning rate is 0.02 everywhere"
        in (figure.caption)
    )
    assert "marks their means (n 3, 2 epochs), upright lines 95 % intervals" in figure.caption
    assert figure.alt == (
        "Mean test accuracy in percent by the images in bn's statistics: bn 68.0 at 2, 74.0 at 8, "
        "75.0 at 512; beside them gn 73.0."
    )
    (tuned,) = statistics_figures(analysed(protocol="tuned"))
    assert "over 512 images and every norm has a learning rate of its own." in tuned.caption
    (many,) = statistics_figures(CASES["many norms"]())
    assert many.alt.endswith("; 16 other norms 73.0 to 73.5.")


def test_the_section_is_in_the_page_and_in_the_summary(tmp_path):
    analysis = analysed()
    figures = make_figures(analysis)
    page, summary = render_page(analysis, figures, tmp_path), render_markdown(analysis, figures)
    section = page[page.index("<h3>By statistics batch</h3>") :]
    assert section.index("Test accuracy by statistics batch (%)") < section.index("<table")
    assert "### By statistics batch" in summary
    assert "| Norm | 2 | 8 | 512 |" in summary
    assert "| bn | 68.0 (−7.00, undecided) | 74.0 (−1.00, undecided) | 75.0 (baseline) |" in summary
    assert "](figures/statistics_batch.png)" in summary


def test_each_bn_has_a_row_with_a_gap_where_a_size_is_not_its_own():
    summary = render_markdown(CASES["two places"](), [])
    rows = [line for line in summary.splitlines() if line.startswith(("| bn |", "| bn:pre |"))]
    assert any(row.startswith("| bn | 68.0") and row.count("| – |") == 1 for row in rows)
    assert any(row.startswith("| bn:pre | – |") for row in rows)


def test_without_sub_batches_there_is_no_section(tmp_path):
    analysis = analysed(("bn", "gn"))
    figures = make_figures(analysis)
    assert "statistics batch" not in render_page(analysis, figures, tmp_path)
    assert "statistics batch" not in render_markdown(analysis, figures)
