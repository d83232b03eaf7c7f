"""A verdict over settings, drawn and in Markdown: marks where the numbers are, words as written."""

import numpy as np
import pytest
from drawn_words import assert_words_fit
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon
from report_fakes import diverged
from suite_fakes import NOISE, NORMS, analysis_of, lose, make_four

from normscope.analysis.across import across_settings
from normscope.report.plots.across import across_data, across_figure, draw_across
from normscope.report.plots.style import norm_styles
from normscope.report.suite import render_suite, suite_table, write_suite


@pytest.fixture(scope="module")
def four():
    return make_four()


@pytest.fixture(scope="module")
def across(four):
    return across_settings(four, NORMS)


def panels_of(across):
    figure = draw_across(across_data(across), "bn", across[0].rules)
    assert_words_fit(figure)
    return figure.axes


def diamonds(axes):
    """Those of a panel, without the band of equivalence."""
    return [p for p in axes.patches if type(p) is Polygon and len(p.get_xy()) == 5]


def test_every_mark_is_where_the_numbers_are(across):
    for each, axes in zip(across, panels_of(across), strict=True):
        color = norm_styles(NORMS)[each.norm].color
        (diamond,) = diamonds(axes)
        corners = diamond.get_xy()
        low, high = each.supporting
        assert corners[:, 0].min() == pytest.approx(low)
        assert corners[:, 0].max() == pytest.approx(high)
        assert corners[1][0] == corners[3][0] == pytest.approx(each.pooled.mean)
        assert {*corners[[0, 2], 1]} == {4}  # below the settings 0 to 3
        assert to_hex(diamond.get_facecolor()).upper() == color
        own = [line for line in axes.lines if line.get_color() == color]
        thin = [line for line in own if line.get_linewidth() == 1 and line.get_linestyle() == "-"]
        (prediction,) = thin
        assert prediction.get_xdata() == pytest.approx(each.prediction)
        thick = [line.get_xdata() for line in own if line.get_linewidth() == 3.5]
        ends = [f.verdict.judgement.supporting for f in each.found]
        assert np.array(thick) == pytest.approx(np.array(ends))
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels == ["a", "b", "c", "d", "over all"]


def test_all_panels_have_one_axis(across):
    first, second = panels_of(across)
    assert first.get_xlim() == second.get_xlim()
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "Difference in test accuracy (points)")


def test_what_is_not_known_is_not_drawn(four):
    spoilt = analysis_of(-0.4 + NOISE, NOISE, change=lose("gn", lambda r: diverged(r, 3)))
    found = across_settings({**four, "d": spoilt}, NORMS)
    gn, ln = panels_of(found)
    assert (len(diamonds(gn)), len(diamonds(ln))) == (0, 1)
    assert "1 diverged" in [text.get_text() for text in gn.texts]
    table = suite_table(found)
    assert [row[1] for row in table[4:]] == ["undecided: 1 diverged", "–", "–", "–", "–"]


def test_two_settings_are_drawn_without_a_prediction_and_long_names_shortened(four):
    long = {f"fashion-mnist-{'mobilenetv2-' * 3}{name}": four[name] for name in ("a", "c")}
    found = across_settings(long, ("bn", "gn"))
    (axes,) = panels_of(found)
    (diamond,) = diamonds(axes)
    low, high = axes.get_xlim()
    assert low < diamond.get_xy()[:, 0].min() < diamond.get_xy()[:, 0].max() < high
    assert not [line for line in axes.lines if line.get_linewidth() == 1 and len(
        line.get_xdata()) == 2 and line.get_color() == norm_styles(NORMS)["gn"].color]  # fmt: skip
    assert axes.get_yticklabels()[0].get_text().endswith("…")
    assert "thin line" not in across_figure(found).caption


def test_the_table_has_a_row_per_setting_and_the_whole_below(across, four):
    heading, *rows = suite_table(across)
    assert heading == ["Setting", "gn", "ln"]
    assert [row[0] for row in rows] == [
        "a", "b", "c", "d", "over all", "another setting", "sd between settings", "p (Holm)"
    ]  # fmt: skip
    gn = next(norm for norm in four["a"].norms if norm.norm == "gn").verdict.difference
    assert rows[0][1] == f"worse: −1.50 (−{-gn.low:.2f} to −{-gn.high:.2f}), n 5"
    mean, (low, high) = across[0].pooled.mean, across[0].interval
    assert rows[4][1] == f"undecided: −{-mean:.2f} (−{-low:.2f} to +{high:.2f})"


def test_that_equivalence_has_an_interval_of_its_own_is_said_where_it_is_shown(across, four):
    """The figure draws that interval, the table the one of a difference."""
    own = "Where the verdict is equivalent, the interval is a 90 % one."
    note = "Equivalence is judged by a 90 % interval of its own."
    assert across[1].outcome == "equivalent"
    figure = across_figure(across)
    assert own in figure.caption
    labels = [text.get_text() for text in figure.drawing.legends[0].get_texts()]
    assert labels[0] == "interval of the verdict"
    assert f"with their 95 % interval. {note}\n" in render_suite(across, four, figure, "x")
    only_gn = across[:1]
    figure = across_figure(only_gn)
    assert own not in figure.caption
    assert figure.drawing.legends[0].get_texts()[0].get_text() == "95 % interval"
    assert note not in render_suite(only_gn, four, figure, "x")


def test_the_file_is_written_with_its_figure_and_escapes_names(across, four, tmp_path):
    named = {f"{name}_x": analysis for name, analysis in four.items()}
    found = across_settings(named, NORMS)
    text = render_suite(found, named, across_figure(found), "the command")
    assert text.startswith("# gn and ln against bn in 4 settings\n\n## Answer\n\n- **gn is worse")
    assert "| a\\_x | worse: " in text
    assert r"[a\_x/report.html](a_x/report.html)" in text
    assert write_suite(tmp_path, across, four, "x") == tmp_path / "suite.md"
    assert {path.name for path in tmp_path.iterdir()} == {"suite.md", "suite.png", "suite.svg"}
