"""Figures of what happens inside: their data against numbers by hand, and words that fit."""

import math
import re

import numpy as np
import pytest
from drawn_words import assert_words_fit
from report_fakes import failed, make_analysis, make_everything

from normscope.experiment import Predictions, Probes, Series
from normscope.report.figures import CALIBRATION, FIGURE_FILE, FIGURES, WHY
from normscope.report.plots.calibration import surplus
from normscope.report.plots.eval_gap import MAX_SEEDS, differing, gap_data, gap_figures
from normscope.report.plots.inside import Band
from normscope.report.plots.landscape import at_loss_data, draw_landscape, landscape_data
from normscope.report.plots.maps import maps_data, tiles
from normscope.report.plots.sameness import sameness_data, sameness_over_epochs
from normscope.report.plots.shares import shares_data
from normscope.report.plots.similarity import pairs_of, similarity_data
from normscope.report.plots.style import norm_styles

NOTHING = (np.nan, np.nan)


def few(**changes):
    """A small experiment, quick to analyse."""
    return make_analysis(epochs=3, test_size=50, **changes)


def of_norms(epochs, values):
    return Series(np.array(epochs, float), np.array(values, float), ("norm",), (("a", "b"),))


def only(**by_norm):
    """Probes of some norms: a function of the seed for each, that returns series by name."""

    def probes(trial):
        return Probes(by_norm[trial.norm](trial.seed)) if trial.norm in by_norm else None

    return probes


def test_a_band_is_of_the_seeds_that_have_a_reading():
    band = Band.of([np.array([1, np.nan, np.nan]), np.array([3, 5, np.nan])])
    assert band is not None
    np.testing.assert_array_equal(band.mean, [2, 5, np.nan])
    np.testing.assert_array_equal(band.low, [1, 5, np.nan])
    np.testing.assert_array_equal(band.high, [3, 5, np.nan])
    assert band.n == 2
    assert Band.of([]) is None
    assert Band.of([np.array(NOTHING)]) is None


# -- sameness ------------------------------------------------------------------------------------


def sameness(seed):
    """Of the second seed the middle of the training was not looked at."""
    epochs = [0, 2, 3] if seed == 0 else [0, 3]
    values = [[0.8, 0.6], [0.5, 0.3], [0.4, 0.2]] if seed == 0 else [[0.6, 0.4], [0.2, 0.2]]
    return {"redundancy.sameness_position": of_norms(epochs, values)}


def ended_early(seed):
    return {"redundancy.sameness_position": of_norms([0, 1], [[0.5, 0.5], [0.5, 0.5]])}


def test_sameness_by_layer_is_of_the_last_epoch_over_seeds():
    analysis = few(seeds=2, probes=only(bn=sameness, ln=ended_early))
    (row,) = sameness_data(analysis)
    assert row.norm == "bn"
    assert row.position.mean.tolist() == pytest.approx([0.3, 0.2])
    assert (row.position.low[0], row.position.high[0]) == (0.2, 0.4)
    assert row.untrained is not None
    assert row.untrained.mean.tolist() == pytest.approx([0.7, 0.5])
    assert row.pooled is row.floor is None


def test_sameness_over_epochs_has_a_mean_where_all_seeds_have_a_reading():
    analysis = few(seeds=2, probes=only(bn=sameness))
    (curves,) = sameness_over_epochs(analysis)
    assert [seed.values.tolist() for seed in curves.seeds] == [
        pytest.approx([0.7, 0.4, 0.3]),
        pytest.approx([0.5, 0.2]),
    ]
    assert curves.mean is not None
    assert curves.mean.epochs.tolist() == [0, 3]
    assert curves.mean.values.tolist() == pytest.approx([0.6, 0.25])


def test_a_trial_that_failed_has_no_part_in_it():
    def change(results):
        return [failed(r, "no") if r.trial.seed == 1 else r for r in results]

    analysis = few(seeds=2, probes=only(bn=sameness), change=change)
    (row,) = sameness_data(analysis)
    assert row.position.n == 1
    assert row.position.mean.tolist() == [0.4, 0.2]


# -- shares of variance --------------------------------------------------------------------------


def test_shares_are_means_over_seeds_in_the_order_of_the_bar():
    def shares(seed):
        parts = {"channel": 0.1, "sample": 0.2, "interaction": 0.3, "spatial": 0.4}
        sign = 1 if seed else -1
        return {
            f"variance.{name}": of_norms([3], [[value, value + (0.05 if i % 2 else -0.05) * sign]])
            for i, (name, value) in enumerate(parts.items())
        }

    (row,) = shares_data(few(seeds=2, probes=only(gn=shares)))
    assert row.shares.tolist() == [pytest.approx([v, v]) for v in (0.1, 0.2, 0.3, 0.4)]
    assert row.gap is None
    assert row.n == 2


def test_shares_of_regrouped_norms_are_not_drawn_beside_others():
    drawn = few(norms=("bn", "gn", "gn:order=random"), seeds=2, probes=make_everything)
    assert [row.norm for row in shares_data(drawn)] == ["bn", "gn"]
    alone = few(norms=("gn", "gn:order=random"), seeds=2, probes=make_everything)
    assert [row.norm for row in shares_data(alone)] == ["gn", "gn:order=random"]


# -- accuracy by statistics ----------------------------------------------------------------------


def test_differing_epochs_are_by_the_exact_test_corrected_over_all_of_them():
    """By hand: p is 2/2^10, 2/2^6, 22/2^6 and 1; of four, Holm makes .0078, .094, .69 and 1."""
    ones, others = np.array([0, 6, 2, 5]), np.array([10, 0, 4, 5])
    assert differing(ones, others, 0.05).tolist() == [True, False, False, False]
    assert differing(ones, others, 0.1).tolist() == [True, True, False, False]
    assert differing(ones, others, 4 * 2 / 2**10).tolist() == [True, False, False, False]
    assert differing(ones, others, 4 * 2 / 2**10 - 1e-9).tolist() == [False] * 4


def gaps(seed):
    epochs = np.arange(4.0)
    names = {
        "running_percent": [10, 40, 50, 60], "precise_percent": [10, 41, 55, 60],
        "batch_percent": [10, 40, 50, 60], "only_running_precise": [30, 0, 0, 0],
        "only_precise": [0, 2, 50, 0], "only_running_batch": [0] * 4, "only_batch": [0] * 4,
    }  # fmt: skip
    return {f"eval-gap.{name}": Series(epochs, np.array(v, float)) for name, v in names.items()}


def test_the_untrained_network_is_left_out_of_accuracies_and_tests():
    analysis = few(seeds=2, probes=only(bn=gaps))
    rows = gap_data(analysis, "bn")
    assert [row.seed for row in rows] == [0, 1]
    assert rows[0].epochs.tolist() == [1, 2, 3]
    assert rows[0].percent["precise"].tolist() == [41, 55, 60]
    assert rows[0].differs["precise"].tolist() == [False, True, False]
    assert not rows[0].differs["batch"].any()
    (figure,) = gap_figures(analysis)
    assert "precise 2, batch 0 of 6" in figure.caption
    assert gap_data(analysis, "gn") == ()


def test_marks_take_their_colour_from_where_they_stand():
    """What a style sheet says of a figure's inks does not reach a path that is used elsewhere."""
    (figure,) = gap_figures(few(seeds=2, probes=only(bn=gaps)))
    marks = re.findall(r"<defs>\s*<path [^>]*>", figure.svg)
    assert len(marks) >= 2
    assert not any("stroke=" in mark for mark in marks)
    assert 'fill-opacity="0" stroke="#1c1b1a"' in figure.svg


def test_more_seeds_than_fit_are_said_to_be_left_out():
    analysis = few(seeds=MAX_SEEDS + 1, norms=("bn",), probes=only(bn=gaps))
    (figure,) = gap_figures(analysis)
    assert sum(axes.get_visible() for axes in figure.drawing.axes) == MAX_SEEDS
    assert f"The first {MAX_SEEDS} seeds are drawn." in figure.caption
    assert f"precise {MAX_SEEDS + 1}, batch 0 of {3 * (MAX_SEEDS + 1)}" in figure.caption


# -- landscape -----------------------------------------------------------------------------------


def around(seed):
    steps = (("0", "0.003", "0.01", "0.03", "0.1"),)
    losses = [[2, 1.9, 1.5, 2, 4], [1, 0.9, 0.8 + 0.2 * seed, 1, 9]]
    changes = [[0, 0.1, 0.3, 1, 2], [0, 0.2, 0.5 + seed, 2, 3]]
    both = {"loss_nats": losses, "gradient_change": changes}
    return {
        f"landscape.{name}": Series(np.array([0.0, 3.0]), np.array(v, float), ("step",), steps)
        for name, v in both.items()
    }


def test_the_landscape_is_the_change_of_the_loss_by_step_and_moment():
    analysis = few(seeds=2, probes=only(ln=around))
    first, last = landscape_data(analysis)
    assert (first.norm, first.epoch, last.epoch) == ("ln", 0, 3)
    assert first.steps.tolist() == [0.003, 0.01, 0.03, 0.1]
    assert first.loss.mean.tolist() == pytest.approx([-0.1, -0.5, 0, 2])
    assert last.loss.mean.tolist() == pytest.approx([-0.1, -0.1, 0, 8])
    assert (last.loss.low[1], last.loss.high[1]) == pytest.approx((-0.2, 0))
    assert last.gradient.mean.tolist() == pytest.approx([0.2, 1.0, 2, 3])


def test_norms_are_compared_at_the_loss_before_the_step():
    (row,) = at_loss_data(few(seeds=2, probes=only(ln=around)))
    assert row.losses.tolist() == [[2, 1], [2, 1]]
    assert row.changes.tolist() == [[0.3, 0.5], [0.3, 1.5]]


# -- CKA -----------------------------------------------------------------------------------------


def rotated(features, seed):
    """The same features in other directions: CKA does not see the difference."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(features.shape[1], features.shape[1])))
    return features @ turn


def test_pairs_are_of_different_seeds_and_a_rotation_makes_no_difference():
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 200, 6))
    grams = {
        norm: {seed: np.array([turned @ turned.T]) for seed in (0, 1, 2)
               for turned in [rotated(features, seed)]}
        for norm, features in {"x": one, "y": other}.items()
    }  # fmt: skip
    pairs = pairs_of(grams)
    assert {key: len(found) for key, found in pairs.items()} == {
        ("x", "x"): 3, ("y", "y"): 3, ("x", "y"): 6
    }  # fmt: skip
    np.testing.assert_allclose(pairs["x", "x"], 1)
    assert np.abs(pairs["x", "y"]).max() < 0.05  # independent: the sd is about 1/200


def test_one_network_has_no_other_to_be_compared_with():
    alone = few(seeds=1, norms=("bn",), probes=make_everything)
    assert similarity_data(alone) == ()
    pair = few(seeds=2, norms=("bn",), probes=make_everything)
    (row,) = similarity_data(pair)
    assert row.across is None
    assert row.within is not None
    assert row.within.n == 1


# -- maps ----------------------------------------------------------------------------------------


def test_tiles_stand_in_rows_and_each_is_on_its_own_scale():
    ramps = np.array([[[0, 1], [2, 4]], [[5, 5], [5, 5]], [[9, 7], [8, 7]], [[0, 0], [0, 1]]])
    square = tiles(ramps)
    assert square.shape == (8, 8)
    np.testing.assert_array_equal(square[:2, :2], [[0, 0.25], [0.5, 1]])
    np.testing.assert_array_equal(square[:2, 3:5], 0.5)
    np.testing.assert_array_equal(square[:2, 6:], [[1, 0], [0.5, 0]])
    np.testing.assert_array_equal(square[3:5, :2], [[0, 0], [0, 1]])
    assert np.isnan(square[2]).all()
    assert np.isnan(square[:, 2]).all()


def test_maps_are_of_the_first_seed_without_what_fills_them_up():
    images = maps_data(few(seeds=2, probes=make_everything))
    assert [[(row.norm, row.seed) for row in rows] for rows in images] == [
        [("bn", 0), ("gn", 0), ("ln", 0)]
    ] * 2
    row = images[1][2]
    assert row.picture.shape == (32, 32, 3)
    assert row.filters is not None
    assert row.filters.shape == (12, 3, 3, 3)
    shapes = [each.shape for each in row.maps if each is not None]
    assert shapes == [(12, 30, 30), (12, 12, 12), (10, 4, 4)]


# -- how sure ------------------------------------------------------------------------------------


def test_reliability_is_of_all_seeds_of_a_norm_together():
    """Two classes at log-odds ln 3, so 75 % sure, and ln 1.5, so 60 %; labels are 0, 1, 0, 1..."""

    def change(results):
        changed = []
        for result in results:
            odds = 3.0 if result.trial.seed == 0 else 1.5
            logits = np.tile(np.array([math.log(odds), 0.0], np.float16), (50, 1))
            predictions = Predictions(np.zeros(50, np.int64), logits)
            changed.append(result.model_copy(update={"predictions": predictions}))
        return changed

    analysis = few(seeds=2, class_names=("a", "b"), change=change)
    bins = analysis.reliability["gn"]
    there = bins.count > 0
    assert bins.count[there].tolist() == [50, 50]
    assert bins.confidence[there].tolist() == pytest.approx([0.6, 0.75], abs=1e-3)
    assert bins.accuracy[there].tolist() == [0.5, 0.5]
    assert surplus(bins) == pytest.approx(0.175, abs=1e-3)


# -- all of them ---------------------------------------------------------------------------------

MANY = ("bn", *(f"gn:order=similar-scale-trained:groups={i}" for i in range(5)))
CASES = {
    "three": lambda: few(probes=make_everything),
    "one seed": lambda: few(seeds=1, probes=make_everything),
    "one norm": lambda: few(norms=("bn",), probes=make_everything),
    "many norms": lambda: few(norms=MANY, seeds=2, probes=make_everything),
}


@pytest.mark.parametrize("case", CASES)
def test_words_fit_and_files_stay_small(case):
    analysis = CASES[case]()
    entries = [entry for entry in FIGURES if entry.section in (WHY, CALIBRATION)]
    made = [figure for entry in entries for figure in entry.make(analysis)]
    assert len(made) >= 5
    for figure in made:
        assert FIGURE_FILE.fullmatch(f"{figure.name}.svg")
        assert len(figure.svg) < 300_000
        assert_words_fit(figure.drawing)


@pytest.mark.parametrize("entry", [entry for entry in FIGURES if entry.section == WHY],
                         ids=lambda entry: entry.names[0])  # fmt: skip
def test_nothing_is_drawn_without_probes(entry):
    assert entry.make(few()) == []


def test_norms_keep_their_colours_where_others_have_no_readings():
    analysis = few(seeds=2, probes=only(ln=around))
    figure = draw_landscape(landscape_data(analysis), analysis.experiment.norms)
    color = norm_styles(analysis.experiment.norms)["ln"].color
    assert {line.get_color() for line in figure.axes[0].lines} == {color}
