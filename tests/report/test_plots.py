"""Figures: their data against numbers computed by hand, and the SVG that a page can hold."""

import re
from importlib.resources import files
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Annotation, Text
from report_fakes import collapsed, diverged, failed, make_analysis

from normscope.report.plots.confusion import Confusion, confusion_data, draw_confusion
from normscope.report.plots.curves import (
    MAX_LABELS,
    METRICS,
    NormCurves,
    SeedCurve,
    curves_data,
    draw_curves,
    last_third,
    seeds_as_bands,
    spread,
)
from normscope.report.plots.dots import Row, draw_dots, epochs_to_level_data, final_accuracy_data
from normscope.report.plots.drops import draw_drops, drops_data
from normscope.report.plots.style import (
    COLORS,
    GRID,
    INK,
    MUTED,
    PAPER,
    epoch_ticks,
    norm_styles,
    shorten,
)
from normscope.report.plots.svg import _attributes, for_page, to_png, to_svg

NORMS = ("bn", "gn", "ln")


def one_diverged(results):
    """The first trial of ln diverged after 4 epochs, the first of gn raised before any."""
    changed = list(results)
    for i, result in enumerate(results):
        if (result.trial.norm, result.trial.seed) == ("ln", 0):
            changed[i] = diverged(result, after=4)
        if (result.trial.norm, result.trial.seed) == ("gn", 0):
            changed[i] = failed(result, "Traceback\nValueError: no")
    return changed


@pytest.fixture(scope="module")
def analysis():
    return make_analysis(change=one_diverged)


def accuracies(analysis, norm):
    """Test accuracy by seed and epoch, of finished trials: read without the code under test."""
    return {
        result.trial.seed: [record.test_accuracy_percent for record in result.history]
        for result in analysis.results
        if result.trial.norm == norm and result.status == "finished"
    }


def all_figures(analysis):
    norms = analysis.experiment.norms
    for metric, title in METRICS.items():
        curves = curves_data(analysis, metric)
        yield metric, draw_curves(curves, title, norms)
    late = last_third(curves_data(analysis, "test_accuracy_percent"), 15)
    yield "late", draw_curves(late, "late", norms)
    yield "final", draw_dots(final_accuracy_data(analysis), "title", "x", NORMS)
    yield "speed", draw_dots(epochs_to_level_data(analysis), "title", "x", NORMS, 15.0)
    yield "drops", draw_drops(drops_data(analysis), norms)
    for number, confusion in enumerate(confusion_data(analysis)):
        yield f"confusion_{number}", draw_confusion(confusion)


# -- data ----------------------------------------------------------------------------------------


def test_curves_hold_every_trial_and_the_mean_of_the_finished(analysis):
    bn, gn, ln = curves_data(analysis, "test_accuracy_percent")
    expected = accuracies(analysis, "ln")
    assert (bn.norm, gn.norm, ln.norm) == ("bn", "gn", "ln")
    assert [(c.seed, c.finished, len(c.values)) for c in ln.seeds] == [
        (0, False, 4),
        (1, True, 15),
        (2, True, 15),
    ]
    assert ln.finished == 2
    assert ln.mean is not None
    halves = [(a + b) / 2 for a, b in zip(expected[1], expected[2], strict=True)]
    assert ln.mean.values.tolist() == pytest.approx(halves)
    assert [curve.seed for curve in gn.seeds] == [1, 2]  # the one that raised left no epoch


def test_the_last_third_of_fifteen_epochs_is_the_last_five(analysis):
    late = last_third(curves_data(analysis, "test_accuracy_percent"), 15)
    assert {tuple(c.epochs) for norm in late for c in norm.seeds} == {(11, 12, 13, 14, 15)}
    assert [seed.seed for seed in late[2].seeds] == [1, 2]  # the diverged trial ended before


def test_a_norm_whose_trials_all_ended_early_has_no_last_third():
    everyone = make_analysis(
        norms=("bn", "gn"),
        change=lambda rs: [diverged(r, after=4) if r.trial.norm == "gn" else r for r in rs],
    )
    curves = curves_data(everyone, "test_accuracy_percent")
    assert [norm.norm for norm in last_third(curves, 15)] == ["bn"]


def test_final_accuracy_of_every_finished_trial_and_a_note_with_sd_and_n(analysis):
    row = final_accuracy_data(analysis)[1]
    finals = {seed: curve[-1] for seed, curve in accuracies(analysis, "gn").items()}
    mean, half = (finals[1] + finals[2]) / 2, abs(finals[1] - finals[2]) / 2
    assert row.values == finals
    assert row.mean == pytest.approx(mean)
    assert row.note == f"{mean:.1f} (sd {half * 2**0.5:.2f}, n 2)"


def test_epochs_to_a_level_that_not_all_reach_have_no_mean():
    analysis = make_analysis(levels_percent=(75.5,))
    for row in epochs_to_level_data(analysis):
        curves = accuracies(analysis, row.norm)
        reached = [seed for seed, curve in curves.items() if max(curve) >= 75.5]
        assert [seed for seed, epoch in row.values.items() if epoch is not None] == reached
        assert len(reached) < 3
        assert row.mean is None
        assert row.note == f"reached in {len(reached)} of 3"


def test_drops_are_falls_from_one_epoch_to_the_next(analysis):
    for row in drops_data(analysis):
        for seed, depths in zip(row.seeds, row.depths, strict=True):
            curve = accuracies(analysis, row.norm)[seed]
            by_hand = [max(0, a - b) for a, b in zip([curve[0], *curve[:-1]], curve, strict=True)]
            assert depths.tolist() == pytest.approx(by_hand)


def test_the_deepest_drop_is_named(analysis):
    row = drops_data(analysis)[0]
    depth, epoch, seed = max(
        (before - after, epoch, seed)
        for seed, curve in accuracies(analysis, "bn").items()
        for epoch, (before, after) in enumerate(pairwise(curve), start=2)
    )
    assert row.note.endswith(f"deepest {depth:.2f} (epoch {epoch}, seed {seed})")


def test_confusions_share_a_scale_that_leaves_the_diagonal_out(analysis):
    confusions = confusion_data(analysis)
    most = max(
        confusion.counts[i, j]
        for confusion in confusions
        for i in range(10)
        for j in range(10)
        if i != j
    )
    assert {confusion.most for confusion in confusions} == {most}
    assert [confusion.n for confusion in confusions] == [3, 2, 2]
    assert all(confusion.counts.sum() == pytest.approx(1000) for confusion in confusions)


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([0.2, 0.9], [0.2, 0.9]),
        ([0.5, 0.5], [0.5, 0.6]),
        ([1.0, 0.99, 0.98], [1.0, 0.9, 0.8]),
        ([0.3], [0.3]),
    ],
)
def test_labels_are_moved_apart_and_stay_inside(places, moved):
    assert spread(places, gap=0.1).tolist() == pytest.approx(moved)


@pytest.mark.parametrize(
    ("first", "last", "ticks"),
    [
        (1, 1, [1]),
        (1, 5, [1, 2, 3, 4, 5]),
        (1, 15, [1, 5, 10, 15]),
        (11, 15, [11, 12, 13, 14, 15]),
        (1, 200, [1, 50, 100, 150, 200]),
    ],
)
def test_epochs_on_an_axis_are_whole_few_and_include_both_ends(first, last, ticks):
    assert epoch_ticks(first, last) == ticks


# -- style ---------------------------------------------------------------------------------------


def test_the_three_norms_look_the_same_in_every_experiment():
    few, many = norm_styles(["ln"]), norm_styles(["x", "gn", "y", "ln", "bn"])
    assert few["ln"] == many["ln"]
    assert [many[norm].color for norm in ("bn", "gn", "ln")] == ["#0072B2", "#D55E00", "#009E73"]


def test_twenty_norms_differ_in_colour_and_neighbours_in_line_and_marker_too():
    styles = list(norm_styles([f"n{i}" for i in range(20)]).values())
    assert len({style.color for style in styles}) == 20
    for one, other in pairwise(styles):
        assert one.dashes != other.dashes
        assert one.marker != other.marker


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("automobile", "automobile"),
        ("x" * 16, "x" * 16),
        ("x" * 17, "x" * 15 + "…"),
        ("a class of a long name", "a class of a lo…"),
        ("飞机" * 4, "飞机" * 4),
        ("飞机" * 5, "飞机" * 3 + "飞…"),
    ],
)
def test_long_names_end_in_an_ellipsis_and_wide_signs_count_twice(name, shown):
    assert shorten(name, 16) == shown


def test_a_norm_without_a_finished_trial_leaves_the_others_their_colours():
    norms = ("bn", "x", "y")
    analysis = make_analysis(
        norms=norms,
        change=lambda rs: [failed(r, "no") if r.trial.norm == "x" else r for r in rs],
    )
    curves = curves_data(analysis, "test_accuracy_percent")
    dots = draw_dots(final_accuracy_data(analysis), "title", "x", norms).axes[0]
    drops = draw_drops(drops_data(analysis), norms).axes[-1]
    color = norm_styles(norms)["y"].color
    assert draw_curves(curves, "title", norms).axes[0].lines[-1].get_color() == color
    assert dots.lines[-1].get_color() == color
    assert drops.lines[-1].get_color() == color


def luminance(color):
    """Relative luminance as in WCAG 2.2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


@pytest.mark.parametrize("color", COLORS)
def test_every_colour_shows_on_white_and_on_black(color):
    assert 1.05 / (luminance(color) + 0.05) > 2
    assert (luminance(color) + 0.05) / (luminance("#171716") + 0.05) > 2


def test_drawing_neither_reads_nor_changes_the_settings_of_the_process(analysis):
    rows = final_accuracy_data(analysis)
    expected = to_svg(draw_dots(rows, "t", "x", NORMS), "f", "alt")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30.0}):
        before = dict(matplotlib.rcParams)
        assert to_svg(draw_dots(rows, "t", "x", NORMS), "f", "alt") == expected
        assert dict(matplotlib.rcParams) == before


# -- drawing -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def svgs(analysis):
    alt = 'a <b> & "c"'
    return {name: to_svg(figure, name, alt) for name, figure in all_figures(analysis)}


def test_every_figure_is_small_and_says_what_it_shows(svgs):
    for svg in svgs.values():
        assert len(svg) < 300_000
        assert 'role="img" aria-label="a &lt;b&gt; &amp; &quot;c&quot;"' in svg
        assert "metadata" not in svg


def test_every_file_of_a_figure_is_drawn_once(analysis):
    """With any layout engine, be it a placeholder, matplotlib draws twice for each."""
    figure, drawn = draw_dots(final_accuracy_data(analysis), "title", "x", NORMS), []

    class Mark(Text):
        def draw(self, renderer):
            drawn.append(renderer)

    figure.add_artist(Mark())
    to_png(figure)
    to_svg(figure, "name", "alt")
    assert len(drawn) == 2


def test_the_same_figure_twice_is_the_same_bytes(analysis):
    def draw():
        figure = draw_confusion(confusion_data(analysis)[0])
        return to_png(figure), to_svg(figure, "name", "alt")

    png, svg = draw()
    assert png.startswith(b"\x89PNG")
    assert draw() == (png, svg)


def test_ids_of_a_figure_carry_its_name_and_resolve(svgs):
    for name, svg in svgs.items():
        ids = re.findall(r' id="([^"]*)"', svg)
        used = re.findall(r'(?:url\(|href=")#([^)"]*)', svg)
        assert all(i.startswith(f"{name}-") for i in ids)
        assert len(ids) == len(set(ids))
        assert set(ids) == set(used)


def test_marks_are_there_in_browsers_that_know_no_alternative_text_of_them():
    rules = files("normscope.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    marks = re.findall(r'content: ("[^"]+") / "";', rules)
    assert len(marks) == 6
    for mark in marks:
        assert f'content: {mark}; content: {mark} / "";' in rules


def test_a_page_has_a_rule_for_every_ink_and_a_figure_no_other_fixed_dark_colour(svgs):
    rules = files("normscope.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    inks = {"ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER}
    for name, ink in inks.items():
        for look in ("fill", "stroke"):
            assert f'figure svg [{look}="{ink}"] {{ {look}: var(--{name}); }}' in rules
    for svg in map(for_page, svgs.values()):
        assert svg.startswith("<svg ")
        assert "http" not in svg
        assert "font-family" not in svg
        assert not re.search(r"<svg [^>]* (width|height)=", svg)
        colors = set(re.findall(r"#[0-9a-f]{6}", svg))
        assert INK in colors
        assert colors <= {*inks.values(), "#ffffff", *(color.lower() for color in COLORS)}


def test_no_figure_has_inline_styles(svgs):
    for svg in svgs.values():
        assert not re.search(r"<[^>]*\bstyle\b", svg)


@pytest.mark.parametrize(
    ("style", "attributes"),
    [
        ("fill: none; stroke-width: 2", {"fill": "none", "stroke-width": "2"}),
        ("image-rendering:crisp-edges;image-rendering:pixelated", {"image-rendering": "pixelated"}),
        (
            "font: bold 8.5px 'A B', sans-serif; text-anchor: end",
            {"font-weight": "bold", "font-size": "8.5px", "font-family": "'A B', sans-serif",
             "text-anchor": "end"},
        ),
        ("font: 8px 'A'", {"font-size": "8px", "font-family": "'A'"}),
    ],
)  # fmt: skip
def test_every_declaration_of_a_style_becomes_an_attribute(style, attributes):
    (element,) = ElementTree.fromstring(f"<svg><text{_attributes(style)}/></svg>")
    assert element.attrib == attributes


def test_names_of_classes_stay_text():
    names = ("a$b$c", "$x_1$", "café", "<script>", "a&b", r"\frac", "g_h", "^i", "{j}", "k")
    analysis = make_analysis(class_names=names)
    svg = to_svg(draw_confusion(confusion_data(analysis)[0]), "c", "alt")
    shown = set(re.findall(r">([^<>]+)</text>", svg))
    assert {"a$b$c", "$x_1$", "café", "&lt;script&gt;", "a&amp;b", r"\frac", "g_h", "^i"} <= shown


def test_long_names_of_classes_leave_room_for_the_matrix():
    def width(name):
        confusion = confusion_data(make_analysis(class_names=(name, "b", "c")))[0]
        return draw_confusion(confusion).axes[0].get_window_extent().width

    assert width("a" * 60) == width("a" * 17) > 0.8 * width("automobile")


def test_a_sign_that_the_font_lacks_is_text_and_no_warning(recwarn):
    names = ("飞机", "汽车", "🐸")
    figure = draw_confusion(confusion_data(make_analysis(class_names=names))[0])
    svg = to_svg(figure, "c", "alt")
    assert to_png(figure).startswith(b"\x89PNG")
    assert set(names) <= set(re.findall(r">([^<>]+)</text>", svg))
    assert not recwarn.list


def test_a_hundred_classes_have_no_numbers_in_cells_and_few_ticks():
    names = tuple(f"class{i:02d}" for i in range(100))
    confusion = confusion_data(make_analysis(class_names=names, norms=("bn", "gn")))[0]
    svg = to_svg(draw_confusion(confusion), "c", "alt")
    shown = re.findall(r">(class\d\d)</text>", svg)
    assert sorted(set(shown)) == [f"class{i}0" for i in range(10)]
    assert svg.count("<text") < 40
    assert len(svg) < 300_000


def test_colour_is_for_mistakes_and_counts_under_half_an_image_are_left_out():
    counts = np.diag([5.0, 0.4, 7.0])
    counts[0, 1], counts[2, 1] = 0.3, 3.0
    confusion = Confusion("bn", 3, counts, ("a", "b", "c"), 3.0)
    axes = draw_confusion(confusion).axes[0]
    assert [text.get_text() for text in axes.texts] == ["5", "3", "7"]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0, 0.3, 0], [0, 0, 0], [0, 3, 0]]
    assert axes.images[0].get_clim() == (0, 3)


def test_a_single_epoch_shows_as_a_dot():
    curves = curves_data(make_analysis(epochs=1), "test_accuracy_percent")
    axes = draw_curves(curves, "t", ["bn", "gn", "ln"]).axes[0]
    assert all(line.get_marker() not in ("", "None") for line in axes.lines)
    assert axes.get_xticks().tolist() == [1]


def test_a_trial_that_ended_early_is_crossed_where_it_ended(analysis):
    curves = curves_data(analysis, "test_accuracy_percent")
    axes = draw_curves(curves, "t", ["bn", "gn", "ln"]).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    (end,) = [r.history[-1] for r in analysis.results if r.status == "diverged"]
    assert [np.asarray(line.get_xydata()).tolist() for line in crosses] == [
        [[4, end.test_accuracy_percent]]
    ]


def test_a_trial_that_collapsed_is_crossed_at_its_end_and_left_out_of_mean_and_enlargement():
    def change(results):
        return [collapsed(r) if (r.trial.norm, r.trial.seed) == ("ln", 0) else r for r in results]

    analysis = make_analysis(change=change)
    curves = curves_data(analysis, "test_accuracy_percent")
    ln = curves[2]
    assert [(c.seed, c.finished, len(c.epochs)) for c in ln.seeds] == [
        (0, False, 15), (1, True, 15), (2, True, 15),
    ]  # fmt: skip
    assert ln.finished == 2
    ends = [curve[-1] for curve in accuracies(analysis, "ln").values()]
    assert ln.mean is not None
    assert ln.mean.values[-1] == pytest.approx(sum(ends) / 2)
    axes = draw_curves(curves, "t", ["bn", "gn", "ln"]).axes[0]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert np.asarray(cross.get_xydata()).tolist() == [[15, 10]]
    assert [c.seed for c in last_third(curves, 15)[2].seeds] == [1, 2]


def test_a_norm_of_which_no_trial_finished_is_named_where_it_ended():
    """gn ends early in the run, where its name goes to the right, ln late, where it goes left."""
    after = {"gn": 3, "ln": 13}

    def change(results):
        return [diverged(r, after[r.trial.norm]) if r.trial.norm in after else r for r in results]

    analysis = make_analysis(change=change)
    curves = curves_data(analysis, "test_accuracy_percent")
    axes = draw_curves(curves, "t", ["bn", "gn", "ln"]).axes[0]
    labels = {text.get_text(): text for text in axes.texts}
    assert set(labels) == {"bn  n=3", "gn  n=0", "ln  n=0"}
    for norm, epoch in after.items():
        label = labels[f"{norm}  n=0"]
        ends = [r.history[-1].test_accuracy_percent for r in analysis.results
                if r.trial.norm == norm]  # fmt: skip
        assert isinstance(label, Annotation)
        assert label.xy[0] == epoch
        assert label.xy[1] in ends
        assert (label.get_position()[0] > epoch) == (norm == "gn")
        extent = Text.get_window_extent(label)
        assert axes.bbox.x0 <= extent.x0
        assert extent.x1 <= axes.bbox.x1


def test_what_was_never_reached_is_open_and_right_of_the_last_epoch():
    row = Row("bn", {0: 7.5, 1: None}, None, "reached in 1 of 2")
    axes = draw_dots([row], "t", "Epochs", ["bn"], never_after=15.0).axes[0]
    full, hollow = [line for line in axes.lines if line.get_marker() == "o"]
    assert full.get_xdata() == (7.5,)
    assert full.get_markerfacecolor() != "none"
    assert hollow.get_markerfacecolor() == "none"
    assert 15 < np.asarray(hollow.get_xdata())[0] < axes.get_xlim()[1]
    assert "not reached" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("letter", ["n", "NO MORE WIDE LETTERS, F"])
def test_many_norms_are_named_in_a_legend_outside_the_axes(letter):
    norms = [f"{letter}orm{i}" for i in range(MAX_LABELS + 1)]
    analysis = make_analysis(norms=norms, seeds=2)
    figure = draw_curves(curves_data(analysis, "test_accuracy_percent"), "title", norms)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"{norm}  n=2" for norm in norms]
    extent = legend.get_window_extent()
    assert extent.y1 < figure.axes[0].get_window_extent().y0
    assert extent.x1 <= figure.bbox.x1
    assert not figure.axes[0].texts


def test_too_many_seeds_become_a_band():
    def norm_curves(seeds):
        curves = tuple(
            SeedCurve(seed, True, np.arange(1, 101), np.full(100, float(seed)))
            for seed in range(seeds)
        )
        return NormCurves("bn", curves, curves[0], seeds)

    assert not seeds_as_bands([norm_curves(100)])
    assert seeds_as_bands([norm_curves(101)])
    axes = draw_curves([norm_curves(101)], "t", ["bn"]).axes[0]
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().y1 == 100.0
    assert len(axes.lines) == 1


def test_a_trial_that_ended_early_is_crossed_beside_a_band_too():
    def one(finished):
        return SeedCurve(0, finished, np.arange(1, 5001), np.linspace(0, 1, 5000))

    norm = NormCurves("bn", (one(True), one(True), one(False)), one(True), 2)
    assert seeds_as_bands([norm])
    axes = draw_curves([norm], "t", ["bn"]).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [np.asarray(line.get_xydata()).tolist() for line in crosses] == [[[5000, 1]]]


def test_twenty_norms_of_thirty_seeds_stay_small():
    norms = [f"norm{i}" for i in range(20)]
    analysis = make_analysis(norms=norms, seeds=30, test_size=100)
    for metric in ("test_accuracy_percent", "train_loss_nats"):
        curves = curves_data(analysis, metric)
        assert len(to_svg(draw_curves(curves, "t", norms), "n", "alt")) < 300_000
    rows = final_accuracy_data(analysis)
    assert len(to_svg(draw_dots(rows, "t", "x", norms), "n", "alt")) < 300_000
    drops = drops_data(analysis)
    assert len(to_svg(draw_drops(drops, norms), "n", "alt")) < 300_000
