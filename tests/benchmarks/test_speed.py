"""The arithmetic of the benchmarks: short runs to whole epochs, rounds to ratios."""

import multiprocessing

import pytest

from benchmarks import reference
from benchmarks.epochs import Variant, flop_per_epoch, matrix_rate
from benchmarks.figures import ratios, spread, summarize, tables
from benchmarks.peak import peak_rate
from benchmarks.published import Marked, Setting, candidates, seconds_of_pass
from benchmarks.teams import Team
from normscope.training.lanes.target import target


def marks(start_up, loaded_ahead, steady, stop):
    """Start, end of each batch, end: the first batch waits, `loaded_ahead` are quick."""
    times = [100.0, 100.0 + start_up]
    for seconds in [*loaded_ahead, *steady, stop]:
        times.append(times[-1] + seconds)
    return times


def test_a_complete_pass_takes_what_it_took():
    run = marks(start_up=5.0, loaded_ahead=[0.1] * 3, steady=[0.4, 0.5, 0.6], stop=1.0)
    assert seconds_of_pass(run, batches=7, ahead=4) == pytest.approx(5.0 + 0.3 + 1.5 + 1.0)


def test_a_complete_pass_may_be_shorter_than_what_is_loaded_ahead():
    run = marks(start_up=5.0, loaded_ahead=[0.1, 0.1], steady=[], stop=1.0)
    assert seconds_of_pass(run, batches=3, ahead=8) == pytest.approx(6.2)


def test_a_short_pass_counts_start_and_end_once():
    """7 of 98 batches: 91 more, each the mean of the last three (0.5 s), no second start."""
    run = marks(start_up=5.0, loaded_ahead=[0.1] * 3, steady=[0.4, 0.5, 0.6], stop=1.0)
    expected = 5.0 + 0.3 + 1.5 + 1.0 + 91 * 0.5
    assert seconds_of_pass(run, batches=98, ahead=4) == pytest.approx(expected)
    a_mean_over_all_steps = 98 * (5.0 + 0.3 + 1.5 + 1.0) / 7
    assert a_mean_over_all_steps > 2 * expected  # what the short run alone would say


def test_batches_without_loader_workers_all_count_in_the_mean():
    run = marks(start_up=2.0, loaded_ahead=[], steady=[1.0, 3.0], stop=0.0)
    assert seconds_of_pass(run, batches=10, ahead=0) == pytest.approx(6.0 + 7 * 2.0)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_marked_and_passed_on_unchanged(workers, shapes):
    train, test = reference.loaders(shapes, batch_size=30, workers=workers)
    marked = Marked(test)
    for _ in range(2):  # every pass is a new one
        labels = [int(label) for _, batch in marked for label in batch]
        assert labels == shapes.test_labels.tolist()
        assert len(marked.marks) == len(test) + 2
        assert marked.marks == sorted(marked.marks)
    assert len(Marked(train)) == len(train)


def test_candidates_hold_the_published_setting_and_a_worker_for_each_core():
    assert candidates(2) == [Setting(t, w) for t in (1, 2) for w in (0, 1, 2)]
    assert Setting(16, 2) in candidates(16)
    assert Setting(16, 16) in candidates(16)
    assert candidates(1) == [Setting(1, w) for w in (0, 1, 2)]


def three_norms(kind, precision, *rows):
    return {
        Variant(kind, norm, precision): row
        for norm, row in zip(("bn", "gn", "ln"), rows, strict=True)
    }


TIMES = {
    **three_norms("reference", "fp32", [30.0, 60.0], [40.0, 50.0], [50.0, 70.0]),
    **three_norms("normscope", "fp32", [10.0, 20.0], [10.0, 20.0], [20.0, 20.0]),
    **three_norms("normscope", "bf16", [5.0, 9.0], [5.0, 9.0], [5.0, 12.0]),
    **three_norms("strong", "fp32", [20.0, 30.0], [20.0, 30.0], [20.0, 30.0]),
    **three_norms("strong", "bf16", [10.0, 10.0], [10.0, 10.0], [10.0, 10.0]),
    Variant("convolutions", "", "fp32"): [8.0, 10.0],
    Variant("convolutions", "", "bf16"): [2.0, 5.0],
    Variant("peak", "", "fp32"): [4.0, 5.0],
    Variant("peak", "", "bf16"): [2.0, 2.0],
}


def test_ratios_are_of_sums_round_by_round():
    assert ratios([[1.0, 2.0], [3.0, 4.0]], [[2.0, 1.0], [2.0, 2.0]]) == [1.0, 2.0]


def test_summary_by_precision():
    found = summarize(TIMES)
    assert found["fp32"]["faster_than_reference"] == [120 / 40, 180 / 60]
    assert found["bf16"]["faster_than_reference"] == [120 / 15, 180 / 30]
    assert found["fp32"]["faster_than_strong"] == [60 / 40, 90 / 60]
    assert found["fp32"]["times_convolutions"] == [40 / 24, 60 / 30]
    assert found["bf16"]["times_convolutions"] == [15 / 6, 30 / 15]
    assert found["bf16"]["times_peak"] == [15 / 6, 30 / 6]
    assert found["bf16"]["experiment_seconds"] == [15 * 15, 15 * 30]


def test_spread_is_the_median_and_the_range():
    assert spread([3.0, 1.0, 2.5]) == "2.5 (1.0 to 3.0)"
    assert spread([3.14159], ".2f") == "3.14"


def test_tables_are_markdown():
    lines = tables(TIMES).splitlines()
    published = "| reference, fp32 | 45.0 (30.0 to 60.0) | 45.0 (40.0 to 50.0) "
    assert published + "| 60.0 (50.0 to 70.0) |" in lines
    assert "| convolutions, bf16 | 3.5 (2.0 to 5.0) | the same | the same |" in lines
    peak = (
        "| times what the cores can multiply (peak) | 3.67 (3.33 to 4.00) | 3.75 (2.50 to 5.00) |"
    )
    assert peak in lines
    assert "| times as fast as the reference | 3.00 (3.00 to 3.00) | 7.00 (6.00 to 8.00) |" in lines
    assert "| 3 norms x 15 epochs | 750 (600 to 900) s | 338 (225 to 450) s |" in lines


def test_what_was_not_timed_is_not_in_the_tables():
    others = {v: row for v, row in TIMES.items() if v.kind != "peak"}
    assert "peak" not in tables(others)
    assert "times_peak" not in summarize(others)["fp32"]


def test_the_convolutions_of_an_epoch_are_counted():
    """17.6 GFLOP in a training step of 512 images: 50,000 of them and a test on 10,000."""
    test = 0.2 / 3 * 1.03  # the first layer's input has no gradient
    assert flop_per_epoch() / 1e9 == pytest.approx(17.6 * 50_000 / 512 * (1 + test), rel=0.01)


@pytest.mark.skipif(target() is None, reason="no vectors that multiply and add")
def test_cores_multiply_in_registers_faster_than_in_matrices():
    """Or the loop waits for something; and not faster than two vectors in each of 6e9 cycles."""
    assert 0.5 * matrix_rate("fp32") < peak_rate("fp32") < 2 * 2 * target().lanes * 6


def start_method():
    """In a function of its own: what is pickled must not bring its own context."""
    return multiprocessing.get_start_method()


def test_a_team_starts_processes_as_a_script_would():
    """Otherwise every DataLoader of the published loop would import torch anew in each worker."""
    with Team(1, threads=1) as team:
        assert team.together(start_method) == [start_method()]
