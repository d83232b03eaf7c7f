"""Figures of the differences to the baseline, and of batch sizes: numbers by hand, then marks."""

import re
from dataclasses import replace

import numpy as np
import pytest
from drawn_words import assert_words_fit
from matplotlib.colors import to_hex
from report_fakes import collapsed, diverged, failed, make_analysis, make_everything

from normscope.analysis.guessing import Guessing
from normscope.experiment import Design
from normscope.report.figures import ANSWER, BATCH, CURVES, FIGURE_FILE, FIGURES, make_figures
from normscope.report.plots.batch_sizes import _range, batch_data, draw_batch
from normscope.report.plots.differences import difference_range, reach, widened
from normscope.report.plots.forest import draw_forest, forest_data
from normscope.report.plots.paired import draw_paired, paired_data
from normscope.report.plots.race import MAX_STACKED, draw_race, race_data
from normscope.report.plots.style import norm_styles
from normscope.report.plots.svg import to_png
from normscope.stats.spending import levels_reached

FIXED, SEQUENTIAL = Design(), Design(until_decided=True)
NORMS = ("bn", "gn", "ln")
WORSE = (-2.0, -2.4, -1.6, -2.0, -2.2, -1.8, -2.1, -1.9, -2.0, -2.3, -1.7, -2.0)
EQUAL = (0.1, -0.2, 0.15, -0.05, 0.1, -0.1, 0.05, 0.0, -0.15, 0.1, -0.05, 0.05)
LATE = (0.5, 0.9, 0.2, 0.7, 0.4, 0.8)  # its level is 1 in 32
TORN = (*(1.0, 1.25, 0.75) * 4, *(-3.0, -2.75, -3.25) * 12)  # two distributions
UNSURE = (0.9, -0.8, 1.1, -0.2, 0.7, -0.6, 0.8, 0.3, -0.9, 1.0, 0.1, -0.4)


def accurate(result, percent):
    """The same trial, had it ended with that test accuracy."""
    last = replace(result.history[-1], **{"test_accuracy_percent": percent})
    return result.model_copy(update={"history": (*result.history[:-1], last)})


def as_asked(analysis):
    """The same analysis with its norms in the order in which a test asks for them."""
    norms = analysis.experiment.norms
    summaries = sorted(
        analysis.by_batch_size, key=lambda each: (each.batch_size, norms.index(each.norm))
    )
    return replace(analysis, order=norms, by_batch_size=tuple(summaries))


def compared(design=FIXED, change=lambda result: result, sizes=(512,), **differences):
    """An analysis in which bn reached 75 % with every seed, the others so many points more."""

    def changed(results):
        for result in results:
            norm, seed = result.trial.norm, result.trial.seed
            yield change(accurate(result, 75.0 + (differences[norm][seed] if norm != "bn" else 0)))

    return as_asked(make_analysis(
        norms=("bn", *differences), seeds=len(next(iter(differences.values()))), epochs=2,
        test_size=50, design=design, batch_sizes=sizes, change=lambda rs: list(changed(rs)),
    ))  # fmt: skip


def draw(analysis):
    """Every figure that there is something for, by its name, drawn for this one alone."""
    norms, rest = analysis.asked, (analysis.experiment.baseline, analysis.rules)
    drawings = {
        "forest": (forest_data, lambda rows: draw_forest(rows, norms, *rest)),
        "race": (race_data, lambda rows: draw_race(rows, norms, *rest)),
        "paired": (paired_data, lambda rows: draw_paired(rows, norms, *rest)),
        "batch": (batch_data, lambda rows: draw_batch(rows, norms)),
    }
    return {name: show(rows) for name, (data, show) in drawings.items() if (rows := data(analysis))}


def marks(axes, marker):
    """x and y of everything that is drawn with this marker."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [tuple(map(float, xy)) for line in lines for xy in line.get_xydata()]


def words(axes):
    return [text.get_text() for text in axes.texts]


# -- data: the forest ----------------------------------------------------------------------------


def test_the_forest_has_the_intervals_of_the_verdicts_and_those_for_all_at_once():
    """Student's t with 3 degrees of freedom: 4.17653 at 2.5 %, 3.18245 at 5 % (two-sided)."""
    analysis = compared(gn=(-1, -2, -3, -2), ln=(1, -1, 1, -1))
    gn, ln = forest_data(analysis)
    half = 4.17653 * (2 / 3) ** 0.5 / 2  # first of two by Holm
    assert (gn.norm, gn.n, gn.mean, gn.outcome) == ("gn", 4, -2, "worse")
    assert gn.interval == gn.simultaneous == pytest.approx((-2 - half, -2 + half), abs=1e-4)
    error = (4 / 3) ** 0.5 / 2
    assert (ln.norm, ln.mean, ln.outcome) == ("ln", 0, "undecided")
    assert ln.interval == pytest.approx((-3.18245 * error, 3.18245 * error), abs=1e-4)
    assert ln.simultaneous == pytest.approx((-4.17653 * error, 4.17653 * error), abs=1e-4)


def test_one_seed_has_a_mean_and_no_interval():
    (row,) = forest_data(compared(gn=(-1.5,)))
    assert (row.n, row.mean, row.interval, row.simultaneous) == (1, -1.5, None, None)


def test_where_looks_contradict_or_all_differences_are_equal_there_is_no_interval():
    for values in (TORN, (0.5,) * 9):
        (row,) = forest_data(compared(SEQUENTIAL, gn=values))
        assert (row.mean, row.interval, row.simultaneous) == (np.mean(values), None, None)


def ends_early(*ended):
    return lambda r: diverged(r, after=1) if (r.trial.norm, r.trial.seed) in ended else r


def breaks_down(result):
    """The first trial of ln collapses, the second one diverges, and the first of x collapses."""
    ends = {("ln", 0): collapsed, ("ln", 1): lambda r: diverged(r, after=1), ("x", 0): collapsed}
    return ends.get((result.trial.norm, result.trial.seed), lambda r: r)(result)


def test_after_a_diverged_trial_there_is_no_mean():
    gn, ln = forest_data(compared(change=ends_early(("ln", 1)), gn=(1, 2, 3), ln=(1, 2, 3)))
    assert (gn.mean, gn.guessing.total) == (2, 0)
    assert (ln.n, ln.mean, ln.interval, ln.simultaneous) == (3, None, None, None)
    assert ln.guessing == Guessing(6, diverged=1)


def test_a_norm_without_a_seed_in_common_with_the_baseline_has_no_row():
    def change(result):
        return failed(result, "no") if result.trial.norm == "gn" else result

    analysis = compared(change=change, gn=(1, 2), ln=(1, 2))
    assert [row.norm for row in forest_data(analysis)] == ["ln"]
    assert [row.norm for row in paired_data(analysis)] == ["ln"]


def test_without_any_mean_or_any_comparison_there_is_no_forest():
    assert forest_data(compared(change=ends_early(("bn", 0)), gn=(1, 2))) == ()
    assert forest_data(make_analysis(norms=("bn",), epochs=1)) == ()


# -- data: the race ------------------------------------------------------------------------------


def evidence(values):
    """1 over the level at which each look crosses."""
    return 1 / levels_reached(values)


def first(refuted):
    return int(np.argmax(refuted)) + 1 if np.any(refuted) else None


@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.1])
def test_a_race_is_decided_when_0_or_both_ends_of_the_margin_are_refuted(shift):
    equal = np.array(EQUAL) + shift
    gn, ln, x = race_data(compared(SEQUENTIAL, gn=WORSE, ln=equal.tolist(), x=UNSURE))
    enough = 3 / 0.05  # three comparisons
    upper, lower = (evidence(equal + edge) >= enough / 2 for edge in (-0.5, 0.5))  # one-sided
    assert gn.decided == first(evidence(WORSE) >= enough) == 6
    assert ln.decided == max(first(upper), first(lower)) == 6
    assert x.decided is None
    assert (gn.note, ln.note, x.note) == (
        "worse after 6 seeds",
        "equivalent after 6 seeds",
        "undecided, n 12",
    )


def test_a_race_has_the_mean_after_every_seed_and_intervals_that_never_widen():
    (race,) = race_data(compared(SEQUENTIAL, gn=UNSURE))
    assert race.means[:3].tolist() == pytest.approx([0.9, 0.05, 0.4])
    assert np.isinf(race.lows).tolist() == np.isinf(race.highs).tolist() == [True] * 5 + [False] * 7
    assert (np.diff(race.lows[5:]) >= 0).all()
    assert (np.diff(race.highs[5:]) <= 0).all()
    for n, low in enumerate(race.lows, start=1):  # what it excludes has been refuted, no more
        if np.isfinite(low):
            assert evidence(np.array(UNSURE[:n]) - (low - 1e-6)).max() >= 20
            assert evidence(np.array(UNSURE[:n]) - (low + 1e-6)).max() < 20


def test_the_last_interval_of_a_race_is_the_thin_one_of_the_forest():
    analysis = compared(SEQUENTIAL, gn=WORSE, ln=EQUAL)
    for race, row in zip(race_data(analysis), forest_data(analysis), strict=True):
        assert (race.lows[-1], race.highs[-1]) == row.simultaneous


def test_a_race_whose_looks_contradict_ends_and_equal_differences_narrow_nothing():
    torn, equal, _ = race_data(compared(SEQUENTIAL, gn=TORN, ln=(0.5,) * 48, x=UNSURE * 4))
    gap = first(torn.lows > torn.highs)
    assert gap is not None
    assert np.isinf(equal.lows).all()
    assert np.isinf(equal.highs).all()
    axes = draw(compared(SEQUENTIAL, gn=TORN))["race"].axes[0]
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().x1 < gap


def test_looks_before_there_is_spread_decide_nothing():
    """As in the verdicts: six equal differences are no evidence, however many."""
    values = (1.0,) * 6 + (0.9, 1.1, 1.0, 1.1, 0.9)
    analysis = compared(SEQUENTIAL, gn=values)
    (race,) = race_data(analysis)
    judgement = analysis.norms[1].verdict.judgement
    assert np.isinf(race.lows[:6]).all()
    assert (race.lows[-1], race.highs[-1]) == judgement.simultaneous
    assert race.outcome == "better"
    assert race.decided == 7


def test_what_holm_decides_at_a_wider_level_has_no_mark():
    """With gn decided, ln is tested at 5 %, not at 2.5 %: enough to tell it from 0."""
    gn, ln = race_data(compared(SEQUENTIAL, gn=WORSE[:6], ln=LATE))
    assert 20 < evidence(LATE)[-1] < 40 < evidence(WORSE)[5]
    assert gn.decided is not None
    assert (ln.outcome, ln.decided, ln.note) == ("better", None, "better, n 6")


@pytest.mark.parametrize(
    "analysis",
    [
        lambda: compared(FIXED, gn=WORSE),  # no race
        lambda: compared(SEQUENTIAL, gn=WORSE[:5]),  # nothing known yet
        lambda: compared(SEQUENTIAL, ends_early(("gn", 3)), gn=WORSE),  # signs have no mean
        lambda: make_analysis(norms=("bn",), epochs=1, design=SEQUENTIAL),
    ],
)
def test_without_an_interval_there_is_no_race(analysis):
    assert race_data(analysis()) == ()


# -- data: pairs ---------------------------------------------------------------------------------


def test_pairs_are_differences_by_seed_and_signs_where_a_trial_diverged():
    def change(result):
        end = ends_early(("gn", 1), ("bn", 2), ("gn", 3), ("bn", 3))(result)
        return failed(end, "no") if (end.trial.norm, end.trial.seed) == ("ln", 0) else end

    gn, ln = paired_data(compared(change=change, gn=(1, 2, 3, 4, -5), ln=(1, -2, 3, 4, 5)))
    assert (gn.differences, gn.signs) == ({0: 1, 4: -5}, {1: -1, 2: 1, 3: 0})
    assert (gn.mean, gn.sd, gn.ahead) == (None, None, "2 of 5")
    assert (ln.differences, ln.signs) == ({1: -2, 4: 5}, {2: 1, 3: 1})  # 0 has no outcome
    assert ln.ahead == "3 of 4"


def test_pairs_have_the_mean_and_sd_of_the_differences():
    (row,) = paired_data(compared(gn=(1, 2, 6)))
    assert (row.mean, row.sd) == (pytest.approx(3), pytest.approx(7**0.5))


# -- data: batch sizes ---------------------------------------------------------------------------


def sized(percent, sizes=(2, 64, 512), seeds=2, change=lambda r: r, norms=NORMS):
    """Accuracies by norm, batch size and seed."""

    def changed(results):
        for r in results:
            yield change(
                accurate(r, percent(r.trial.norm, r.trial.recipe.batch_size, r.trial.seed))
            )

    return as_asked(make_analysis(
        norms=norms, seeds=seeds, epochs=2, test_size=50, batch_sizes=sizes,
        change=lambda rs: list(changed(rs)),
    ))  # fmt: skip


def usual(norm, size, seed):
    return 70.0 + NORMS.index(norm) + seed + {2: -4, 64: -1, 512: 0}[size]


def at_two(norm, seed):
    def change(result):
        trial = result.trial
        there = (trial.norm, trial.recipe.batch_size, trial.seed) == (norm, 2, seed)
        return diverged(result, after=1) if there else result

    return change


def test_errors_are_what_lacks_to_100_percent_by_batch_size():
    bn, gn, _ = batch_data(sized(usual))
    assert bn.sizes.tolist() == [2, 64, 512]
    assert bn.means.tolist() == pytest.approx([33.5, 30.5, 29.5])
    assert sorted(gn.seeds) == [(2, 32), (2, 33), (64, 29), (64, 30), (512, 28), (512, 29)]


def test_where_a_trial_diverged_there_is_no_mean_error():
    bn, gn, _ = batch_data(sized(usual, change=at_two("bn", 1)))
    assert np.isnan(bn.means).tolist() == [True, False, False]
    assert (bn.guessing, gn.guessing) == ({2: Guessing(2, diverged=1)}, {})
    assert [seed for seed in bn.seeds if seed[0] == 2] == [(2, 34)]


def test_one_batch_size_makes_no_figure():
    assert batch_data(compared(gn=(1, 2))) == ()


def ranges(by_size, sizes=(64, 512), seeds=2):
    """The axis of the figure for mean errors by norm and batch size."""
    percent = {
        (norm, size): 100 - error
        for norm, errors in by_size.items()
        for size, error in zip(sizes, errors, strict=True)
    }

    def of(norm, size, seed):
        return percent[norm, size] + (seed - (seeds - 1) / 2)

    lines = batch_data(sized(of, sizes, seeds, norms=tuple(by_size)))
    return _range(lines), lines


@pytest.mark.parametrize(
    ("by_size", "low", "high"),
    [
        ({"bn": (25, 26), "gn": (26, 25)}, 24.5, 26.5),
        ({"bn": (35, 24), "gn": (24, 24)}, 23.5, 35.5),  # the gap that the figure is famous for
        ({"bn": (90, 24), "gn": (24, 25)}, 23.5, 25.5),  # chance, beyond the axis
        ({"bn": (25, 60), "gn": (26, 61)}, 24.5, 61.5),  # all of one size: they are the figure
        ({"bn": (90, 90), "gn": (24, 90), "ln": (90, 25)}, 23.5, 90.5),  # most of them
        ({"bn": (90, 90), "gn": (90, 90)}, 89.5, 90.5),
    ],
)  # fmt: skip
def test_the_axis_of_errors_leaves_out_few_or_none(by_size, low, high):
    (found_low, found_high), _ = ranges(by_size)
    assert (found_low, found_high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    "by_size",
    [{"bn": (25, 60), "gn": (26, 61)}, {"bn": (24, 90), "gn": (24, 25)},
     {"bn": (90, 90), "gn": (90, 90)}],
    ids=str,
)  # fmt: skip
def test_every_line_of_the_figure_ends_within_its_axes(by_size):
    """Warnings are errors here: a leader to a point far outside leaves no room for the axes."""
    _, lines = ranges(by_size)
    figure = draw_batch(lines, tuple(by_size))
    to_png(figure)
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert all(low <= text.xy[1] <= high for text in axes.texts if text.get_text() in by_size)


# -- how far an axis reaches ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "margin", "shown"),
    [
        ([-1.4, 0.2], 0.5, (-1.4, 0.5)),
        ([-1.4, -65.0], 0.5, (-1.4, 0.5)),  # a norm that learned nothing
        ([-65.0], 0.5, (-65.0, 0.5)),  # alone, it is what there is to show
        ([-0.01, -9.0], 0.5, (-9.0, 0.5)),
        ([-4.0, 30.0, -65.0], 0.5, (-65.0, 30.0)),
        ([0.3, 0.1], 0.0, (0.0, 0.3)),
        ([0.0], 0.0, (-0.5, 0.5)),
    ],
)
def test_an_axis_reaches_to_all_differences_but_those_far_beyond(values, margin, shown):
    assert difference_range(values, margin) == shown


def test_reach_is_the_largest_that_is_not_far_beyond():
    assert reach([3, 1, 70], 1, far=20) == 3
    assert reach([3, 1, 59], 1, far=20) == 59
    assert reach([], 1) == 1


def test_intervals_widen_an_axis_but_not_without_end():
    assert widened((-1, 1), [-2, 1.5]) == (-2, 1.5)
    assert widened((-1, 1), [-200, 0]) == (-4, 1)
    assert widened((-1, 1), []) == (-1, 1)


# -- drawing: the forest -------------------------------------------------------------------------


def lines_of(axes, norm, norms=NORMS):
    """Lines without marker in the norm's colour: ends and width."""
    color = norm_styles(norms)[norm].color
    return [
        (*line.get_xdata(), line.get_linewidth())
        for line in axes.lines
        if line.get_color() == color and line.get_marker() in ("None", "")
    ]


def test_the_forest_shows_mean_interval_margin_and_the_baseline_at_0():
    analysis = compared(gn=(-1, -2, -3, -2), ln=(1, -1, 1, -1))
    axes = draw(analysis)["forest"].axes[0]
    gn, ln = forest_data(analysis)
    assert marks(axes, "s") == [(-2, 0)]
    assert marks(axes, "^") == [(0, 1)]
    thin, thick = lines_of(axes, "ln")
    assert thick[:2] == pytest.approx(ln.interval)
    assert thin[:2] == pytest.approx(ln.simultaneous)
    assert thin[2] < thick[2]
    assert [line[:2] for line in lines_of(axes, "gn")] == [pytest.approx(gn.interval)]
    assert not marks(axes, "<") + marks(axes, ">")
    (band,) = axes.patches
    assert band.get_extents().transformed(axes.transData.inverted()).intervalx.tolist() == [
        pytest.approx(-0.5),
        pytest.approx(0.5),
    ]
    (name,) = [text for text in axes.texts if text.get_text() == "bn"]
    assert name.xy == (0, 1)
    assert words(axes)[1:] == [
        *("mean", "−2.00", "+0.00"),
        *("n", "4", "4"),
        *("verdict", "worse", "undecided"),
    ]


def test_no_margin_no_band():
    figure = draw(compared(Design(margin_points=0), gn=(1, 2, 3)))["forest"]
    assert not figure.axes[0].patches
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["95 % interval"]


def test_an_interval_beyond_the_axis_ends_in_an_arrow_inside_it():
    axes = draw(compared(gn=(-40, 39, 1), ln=(0.1, 0.3, 0.2)))["forest"].axes[0]
    (left, right), ((low, high, _),) = axes.get_xlim(), set(lines_of(axes, "gn"))
    assert -4 < left < right < 4
    assert marks(axes, "<") == [(pytest.approx(low), 0)]
    assert marks(axes, ">") == [(pytest.approx(high), 0)]
    assert left < low < high < right


def test_a_mean_far_beyond_the_others_is_an_arrow():
    axes = draw(compared(gn=(-65.0, -65.1, -64.9), ln=(0.1, 0.2, 0.3)))["forest"].axes[0]
    assert axes.get_xlim()[0] > -0.6  # its interval does not widen the axis either
    assert [height for _, height in marks(axes, "<")] == [0]
    assert not lines_of(axes, "gn")
    assert "−65.00" in words(axes)


def test_a_row_without_mean_says_why():
    axes = draw(compared(change=ends_early(("ln", 0)), gn=(1, 2), ln=(1, 2)))["forest"].axes[0]
    assert "1 diverged" in words(axes)
    by_sign = "Where trials diverged or collapsed, only which of the two is ahead counts."
    found, every = (
        " ".join(figure.caption for figure in make_figures(analysis))
        for analysis in (
            compared(change=ends_early(("ln", 0)), gn=(1, 2), ln=(1, 2)),
            compared(gn=(1, 2), ln=(1, 2)),
        )
    )
    assert by_sign in found
    assert by_sign not in every
    assert not marks(axes, "^")
    assert "–" in words(axes)
    both = draw(compared(change=breaks_down, gn=(1, 2), ln=(1, 2), x=(1, 2)))["forest"].axes[0]
    assert "2 diverged or collapsed" in words(both)
    assert "1 collapsed" in words(both)


# -- drawing: the race ---------------------------------------------------------------------------


def test_a_race_marks_where_it_was_decided_and_fills_what_is_unknown():
    analysis = compared(SEQUENTIAL, gn=[v - 0.1 * i for i, v in enumerate(WORSE)], ln=UNSURE)
    figure = draw(analysis)["race"]
    gn, ln = figure.axes
    mean = race_data(analysis)[0].means
    decided = race_data(analysis)[0].decided
    assert marks(gn, "s") == [(decided, pytest.approx(mean[decided - 1]))]
    assert not marks(ln, "^")
    dotted = [line for line in gn.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata() for line in dotted] == [[decided, decided]]
    for axes in (gn, ln):
        (band,) = axes.collections
        extent = band.get_paths()[0].get_extents()
        assert (extent.y0, extent.y1) == pytest.approx(axes.get_ylim())
        assert (extent.x0, extent.x1) == (1, 12)
    assert gn.get_ylim() == ln.get_ylim()
    assert gn.get_xticks().tolist() == [1, 2, 4, 6, 8, 10, 12]
    assert f"worse after {decided} seeds" in words(gn)
    assert "undecided, n 12" in words(ln)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["gn", "ln"]


def test_a_norm_far_beyond_the_scale_of_the_race_says_where_it_is():
    far = tuple(value - 60 for value in WORSE)
    gn, ln = draw(compared(SEQUENTIAL, gn=far, ln=EQUAL))["race"].axes
    assert gn.get_ylim()[0] > -0.6  # its interval does not widen the scale either
    assert "−62.00 ↓" in words(gn)
    assert not any("↓" in text for text in words(ln))


@pytest.mark.parametrize(("others", "columns"), [(MAX_STACKED, 1), (MAX_STACKED + 1, 2)])
def test_many_races_stand_in_columns(others, columns):
    figure = draw(compared(SEQUENTIAL, **{f"norm{i}": UNSURE for i in range(others)}))["race"]
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == others
    assert len({round(axes.get_position().x0, 3) for axes in shown}) == columns
    last = [axes for axes in shown if axes.xaxis.get_tick_params()["labelbottom"]]
    assert len(last) == columns


# -- drawing: pairs ------------------------------------------------------------------------------


def test_pairs_are_dots_in_the_order_of_seeds_and_the_mean_a_bar():
    axes = draw(compared(gn=(1, 3, 2), ln=(-1, 0, 1)))["paired"].axes[0]
    values, heights = zip(*marks(axes, "s"), strict=True)
    assert values == pytest.approx((1, 3, 2))
    assert list(heights) == sorted(heights)
    assert np.mean(heights) == pytest.approx(0)
    assert max(np.abs(heights)) < 0.5
    assert [line[:2] for line in lines_of(axes, "gn")] == [pytest.approx((2, 2))]
    assert words(axes)[-3:] == ["ahead in", "3 of 3", "1 of 3"]


def test_a_diverged_trial_is_open_at_the_end_of_the_axis():
    change = ends_early(("gn", 1), ("bn", 2))
    axes = draw(compared(change=change, gn=(1, 2, -1, 0), ln=(1, 2, 3, 4)))["paired"].axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    found = {(line.get_marker(), round(line.get_ydata()[0])) for line in hollow}
    assert found == {("<", 0), (">", 0), (">", 1)}
    left, right = axes.get_xlim()
    assert all(left < line.get_xdata()[0] < right for line in hollow)
    assert marks(axes, "s") == [(1, pytest.approx(-0.28)), (0, pytest.approx(0.28))]
    assert not lines_of(axes, "gn")


def test_a_collapsed_trial_is_open_as_a_diverged_one_is():
    analysis = compared(change=breaks_down, gn=(1, 2), ln=(1, 2), x=(1, 2))
    gn, ln, x = paired_data(analysis)
    assert (gn.signs, ln.signs, x.signs) == ({}, {0: -1, 1: -1}, {0: -1})
    assert x.differences == {1: 2}
    (legend,) = draw(analysis)["paired"].legends
    assert "a trial diverged or collapsed" in [text.get_text() for text in legend.get_texts()]


def test_a_difference_far_beyond_the_others_is_a_full_arrow():
    axes = draw(compared(gn=(0.5, -64.0, 0.7)))["paired"].axes[0]
    assert axes.get_xlim()[0] > -1
    (arrow,) = [line for line in axes.lines if line.get_marker() == "<"]
    assert arrow.get_markerfacecolor() == norm_styles(["bn", "gn"])["gn"].color
    assert [value for value, _ in marks(axes, "s")] == pytest.approx([0.5, 0.7])


# -- drawing: batch sizes ------------------------------------------------------------------------


def test_errors_stand_over_their_batch_size_and_norms_at_the_ends_of_lines():
    axes = draw(sized(usual))["batch"].axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == [2, 64, 512]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["2", "64", "512"]
    assert marks(axes, "s") == [(2, 32.5), (64, 29.5), (512, 28.5)]
    dots = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in dots] == [6, 6, 6]
    labels = {text.get_text(): text for text in axes.texts}
    assert set(labels) == set(NORMS)
    for norm, mean in zip(NORMS, (29.5, 28.5, 27.5), strict=True):
        assert labels[norm].xy == (512, mean)
        assert to_hex(labels[norm].arrow_patch.get_edgecolor()) == (
            norm_styles(NORMS)[norm].color.lower()
        )


def test_an_error_far_beyond_the_others_is_told_in_words():
    def exploding(norm, size, seed):
        return 10.0 if (norm, size) == ("bn", 2) else usual(norm, size, seed)

    axes = draw(sized(exploding))["batch"].axes[0]
    assert axes.get_ylim()[1] < 40
    (note,) = [text for text in axes.texts if "↑" in text.get_text()]
    assert note.get_text() == "bn 90.0 ↑"
    assert note.xy[0] == 2


def test_diverged_trials_are_told_at_their_batch_size():
    def change(result):
        return diverged(result, 1) if result.trial.norm == "ln" else at_two("bn", 1)(result)

    axes = draw(sized(usual, change=change))["batch"].axes[0]
    notes = {text.xy[0]: text.get_text() for text in axes.texts if "trial" in text.get_text()}
    assert notes == {
        2: "diverged trials: bn 1, ln 2",
        64: "diverged trials: ln 2",
        512: "diverged trials: ln 2",
    }
    assert [text.get_text() for text in axes.texts if text.get_text() in NORMS] == ["bn", "gn"]


def test_collapsed_trials_are_told_at_their_batch_size_too():
    def change(result):
        lost = result.trial.norm == "ln" and result.trial.seed == 1
        return collapsed(result) if lost else at_two("bn", 1)(result)

    analysis = sized(usual, change=change)
    ln = batch_data(analysis)[2]
    assert np.isnan(ln.means).all()
    assert sorted(ln.seeds) == [(2, 32), (64, 29), (512, 28)]
    axes = draw(analysis)["batch"].axes[0]
    notes = {text.xy[0]: text.get_text() for text in axes.texts if "trial" in text.get_text()}
    assert notes == {
        2: "diverged or collapsed trials: bn 1, ln 1",
        64: "collapsed trials: ln 1",
        512: "collapsed trials: ln 1",
    }
    caption = told(analysis)["batch_sizes"].caption
    assert caption.endswith("There is no mean where a trial diverged or collapsed.")


def test_a_norm_that_diverged_at_the_largest_size_is_named_at_its_last_mean():
    def change(result):
        ended = result.trial.norm == "gn" and result.trial.recipe.batch_size == 512
        return diverged(result, after=1) if ended else result

    axes = draw(sized(usual, change=change))["batch"].axes[0]
    assert {text.get_text(): text.xy for text in axes.texts}["gn"] == (64, 29.5)


def test_with_no_finished_trial_there_are_still_words():
    axes = draw(sized(usual, change=lambda r: diverged(r, after=1)))["batch"].axes[0]
    assert words(axes)[0] == "diverged trials: 6, in 3 norms"


# -- all of them ---------------------------------------------------------------------------------


def told(analysis):
    """The figures of the differences and of batch sizes, by their names."""
    entries = [entry for entry in FIGURES if entry.section in (ANSWER, BATCH)]
    return {figure.name: figure for entry in entries for figure in entry.make(analysis)}


def random_differences(names, seeds):
    rng = np.random.default_rng(7)
    means = rng.normal(-0.5, 1, (len(names), 1))
    return dict(zip(names, rng.normal(means, 0.5, (len(names), seeds)).tolist(), strict=True))


TWENTY = [f"norm{i}" for i in range(18)] + ["a_long_name_of_a_norm"]
CASES = {
    "three": lambda: compared(SEQUENTIAL, gn=WORSE, ln=UNSURE),
    "fixed": lambda: compared(gn=WORSE, ln=UNSURE),
    "one seed": lambda: compared(gn=(1,), ln=(2,)),
    "diverged": lambda: compared(SEQUENTIAL, ends_early(("ln", 0)), gn=WORSE, ln=EQUAL),
    "both": lambda: compared(SEQUENTIAL, breaks_down, gn=WORSE, ln=EQUAL, x=EQUAL),
    "far": lambda: compared(SEQUENTIAL, gn=[v - 60 for v in WORSE], ln=EQUAL),
    "twenty": lambda: compared(SEQUENTIAL, sizes=(16, 512), **random_differences(TWENTY, 30)),
    "exploding": lambda: sized(lambda n, b, s: 20 if n == "bn" and b == 2 else usual(n, b, s)),
    "explained": lambda: sized(usual, change=at_two("bn", 0)),
}
EVERY_FIGURE = (
    CASES["three"],
    CASES["explained"],
    lambda: make_analysis(
        ("bn", "gn", "gn:order=random"), test_size=50, epochs=3, probes=make_everything
    ),
    lambda: make_analysis(("bn", "ghost-bn:size=2"), test_size=50, epochs=2),
    lambda: make_analysis(
        ("bn", "gn"),
        epochs=2,
        class_names=("cat", "dog"),
        labels=np.repeat([0, 1], [40, 10]),
        train_counts=(80, 20),
    ),
)


@pytest.mark.parametrize("case", CASES)
def test_words_neither_overlap_nor_leave_their_figure_which_stays_small(case):
    analysis = CASES[case]()
    figures = told(analysis).values()
    assert len(figures) >= 2
    for figure in figures:
        assert FIGURE_FILE.fullmatch(f"{figure.name}.svg")
        assert FIGURE_FILE.fullmatch(f"{figure.name}.png")
        assert len(figure.svg) < 300_000
        assert to_png(figure.drawing).startswith(b"\x89PNG")
        assert_words_fit(figure.drawing)


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.names[0])
def test_the_figures_of_an_entry_have_its_names_and_are_drawn_for_some_case(entry):
    name = re.compile("|".join(entry.names))
    made = [figure.name for analysis in EVERY_FIGURE for figure in entry.make(analysis())]
    assert made
    assert all(name.fullmatch(one) for one in made)
    assert len({one for one in made if one in entry.names}) in (0, len(entry.names))


# -- in the report -------------------------------------------------------------------------------


def test_the_figures_of_the_answer_come_first_and_say_their_numbers():
    figures = told(compared(SEQUENTIAL, gn=WORSE, ln=EQUAL, x=UNSURE))
    assert list(figures) == ["differences", "race", "paired"]
    everything = make_figures(compared(SEQUENTIAL, gn=WORSE, ln=EQUAL))
    assert [figure.name for figure in everything][:3] == list(figures)
    assert [figure.section for figure in everything][:4] == [ANSWER] * 3 + [CURVES]
    assert figures["differences"].alt.startswith(
        "Difference to bn in test accuracy: gn −2.00 points (−2."
    )
    assert "ln +0.00 points" in figures["differences"].alt
    assert "Decided: 2 of 3." in figures["differences"].caption
    assert "gn worse after 6 seeds; ln equivalent after 6 seeds; x undecided, n 12." in (
        figures["race"].alt
    )
    assert "gn ahead in 0 of 12; ln ahead in 6 of 12; x ahead in 7 of 12." in figures["paired"].alt


def test_captions_tell_of_what_is_missing():
    one = told(compared(gn=(1,)))
    assert "A mark without a line has no interval." in one["differences"].caption
    assert "equivalence" not in one["differences"].caption
    ended = told(compared(SEQUENTIAL, ends_early(("ln", 0)), gn=WORSE, ln=EQUAL))
    assert ended["race"].caption.endswith("No interval, because trials diverged: ln.")
    assert ended["paired"].caption.endswith("a trial diverged, which counts as guessing.")
    assert "ln undecided, n 12, trials diverged" in ended["differences"].alt
    both = told(compared(SEQUENTIAL, breaks_down, gn=WORSE, ln=EQUAL, x=EQUAL))
    assert both["race"].caption.endswith("because trials diverged or collapsed: ln, x.")
    assert both["paired"].caption.endswith(
        "Open marks: a trial diverged or collapsed, which counts as guessing."
    )
    alt = both["differences"].alt
    assert "ln undecided, n 12, trials diverged or collapsed; x undecided, n 12, trials coll" in alt
    torn = told(compared(SEQUENTIAL, gn=TORN))["race"].caption
    assert torn.endswith("The interval ends where looks contradict each other: gn.")
    late = told(compared(SEQUENTIAL, gn=WORSE[:6], ln=LATE))
    assert "Decided without a mark (ln)" in late["race"].caption
    assert "margin" not in told(compared(Design(until_decided=True, margin_points=0), gn=WORSE))[
        "race"
    ].caption  # fmt: skip


def test_many_races_are_told_by_their_number_and_the_first():
    many = {f"n{i}": UNSURE for i in range(6)}
    assert "1 of 7 norms were decided on the way, the first gn: worse after 6 seeds." in (
        told(compared(SEQUENTIAL, gn=WORSE, **many))["race"].alt
    )
    none = told(compared(SEQUENTIAL, x=UNSURE, **many))["race"].alt
    assert "0 of 7 norms were decided on the way." in none


def test_batch_sizes_are_told_by_their_means_and_how_they_change():
    figure = told(sized(usual))["batch_sizes"]
    assert "bn 33.5 at 2, 30.5 at 64, 29.5 at 512; gn 32.5 at 2" in figure.alt
    assert "(n 2)" in figure.caption
    assert "from batch size 512 to 2, in points: bn +4.0, gn +4.0, ln +4.0." in figure.caption
    ended = told(sized(usual, change=at_two("bn", 1)))["batch_sizes"]
    assert "bn none at 2, 30.5 at 64" in ended.alt
    assert "(n 1 to 2)" in ended.caption
    assert "in points: gn +4.0, ln +4.0. There is no mean where a trial diverged." in ended.caption


def test_batch_sizes_of_many_norms_are_told_by_the_extremes():
    norms = ["bn", *(f"n{i}" for i in range(1, 8))]
    analysis = sized(
        lambda norm, size, seed: 70 + norms.index(norm) * (1 if size == 512 else 2),
        sizes=(64, 512), norms=norms,
    )  # fmt: skip
    figure = told(analysis)["batch_sizes"]
    assert "at 64 from n7 16.0 to bn 30.0; at 512 from n7 23.0 to bn 30.0." in figure.alt
    assert "in points: from n7 −7.0 to bn +0.0." in figure.caption


def test_a_mean_that_is_not_known_leaves_the_others_in_their_order():
    """NaN compares as neither less nor greater, so sorting with it in between sorts nothing."""
    norms = ["bn", *(f"n{i}" for i in range(1, 9))]

    def change(result):
        there = (result.trial.norm, result.trial.recipe.batch_size) == ("n1", 64)
        return diverged(result, after=1) if there else result

    analysis = sized(
        lambda norm, size, seed: 70 + norms.index(norm) * (1 if size == 512 else 2),
        sizes=(64, 512), norms=norms, change=change,
    )  # fmt: skip
    figure = told(analysis)["batch_sizes"]
    assert "at 64 from n8 14.0 to bn 30.0; at 512 from n8 22.0 to bn 30.0." in figure.alt
    assert "in points: from n8 −8.0 to bn +0.0." in figure.caption


def test_nothing_is_drawn_of_nothing():
    assert told(make_analysis(norms=("bn",), epochs=1)) == {}
    nobody = compared(change=lambda r: failed(r, "no") if r.trial.norm == "bn" else r, gn=(1, 2))
    assert told(nobody) == {}
    ended = sized(usual, change=lambda r: diverged(r, after=1))
    assert "none at 2" in told(ended)["batch_sizes"].alt
    assert "Change" not in told(ended)["batch_sizes"].caption
