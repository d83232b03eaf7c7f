import io
from contextlib import closing
from dataclasses import replace

import pytest
from report_fakes import diverged, failed, make_experiment, make_labels, make_result
from rich.console import Console

from normscope.experiment.plan import plan
from normscope.observers import OBSERVERS, LiveBars, Observer, PlainLines, observer_for
from normscope.observers.bars import MOST_BARS
from normscope.observers.progress import Clock
from normscope.words import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5300, "88 min"),
        (5430, "1 h 30 min"),
        (36000, "10 h 00 min"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def replay(observer, results):
    observer.downloaded(50, 100)
    observer.downloaded(100, 100)
    observer.images_read(2, 2)
    observer.started([result.trial for result in results], stored=7, how="in haste")
    for result in results:
        observer.trial_started(result.trial)
        for record in result.history:
            observer.epoch_ended(result.trial, record)
        observer.trial_ended(result)
    observer.close()


@pytest.fixture
def results():
    experiment = make_experiment(norms=("bn", "gn"), seeds=1, epochs=3)
    assert len(plan(experiment)) == 2
    bn, gn = (make_result(experiment, trial, make_labels(20)) for trial in plan(experiment))
    return [bn, diverged(gn, after=1)]


class Stopwatch:
    """A clock that stands still until it is moved."""

    seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def stopwatch():
    return Stopwatch()


def lasting(record, seconds):
    return replace(record, train_seconds=0.75 * seconds, test_seconds=0.25 * seconds)


def run_in_time(observer, results, stopwatch, seconds):
    """The epochs take these `seconds`, one after the other; yields after each."""
    durations = iter(seconds)
    observer.started([result.trial for result in results], stored=0, how="in haste")
    for result in results:
        observer.trial_started(result.trial)
        for record in result.history:
            took = next(durations)
            stopwatch.seconds += took
            observer.epoch_ended(result.trial, lasting(record, took))
            yield
        observer.trial_ended(result)


@pytest.fixture
def one_diverges_early(results):
    """bn ends after one of three epochs; gn runs all three."""
    bn, gn = results
    whole = gn.model_copy(update={"history": bn.history, "status": "finished", "error": None})
    return [diverged(bn, after=1), whole]


# Of six epochs two fall away after the first, so 5, 2, 1 and 0 are to come after each of the four;
# the means so far are 10, 20, 30 and 40 s, of which the first may be that of a slow start.
TAKEN = [10, 30, 50, 70]
LEFT = ["", "40 s left", "30 s left", "0 s left"]


def test_the_time_left_is_the_mean_of_the_epochs_so_far_times_those_to_come(
    one_diverges_early, stopwatch
):
    stream = io.StringIO()
    list(run_in_time(PlainLines(stream, now=stopwatch), one_diverges_early, stopwatch, TAKEN))
    epochs = [line for line in stream.getvalue().splitlines() if line.startswith("trial ")]
    assert [line.split("  ")[-1] for line in epochs] == LEFT


@pytest.mark.parametrize("kind", ["lines", "bars"])
def test_a_trial_that_is_tried_again_has_its_epochs_before_it(kind, one_diverges_early, stopwatch):
    """Two trials of three epochs; the first begins anew after one of 10 s."""
    stream = io.StringIO()
    plain = PlainLines(stream, now=stopwatch)
    bars = LiveBars(Console(file=stream, width=200), now=stopwatch)
    observer = plain if kind == "lines" else bars
    bn, gn = one_diverges_early
    observer.started([bn.trial, gn.trial], stored=0, how="in haste")
    observer.trial_started(bn.trial)
    for after_one, tried_again in (("", ""), ("50 s left", "60 s left")):
        stopwatch.seconds += 10
        observer.epoch_ended(bn.trial, lasting(bn.history[0], 10))
        assert observer.clock.left() == after_one
        observer.trial_retried(bn.trial, "the worker process ended with \x1b[31mcode 7")
        assert observer.clock.left() == tried_again
    observer.close()
    again = "bn seed 0: the worker process ended with \\x1b[31mcode 7; it is tried again"
    assert stream.getvalue().splitlines().count(again) == 2


@pytest.mark.parametrize("kind", ["lines", "bars"])
def test_a_trial_that_another_process_trained_has_no_epochs_to_come(kind, results, stopwatch):
    """Two trials of three epochs; one has had two epochs of 10 s when the other is found."""
    stream = io.StringIO()
    plain = PlainLines(stream, now=stopwatch)
    bars = LiveBars(Console(file=stream, width=200), now=stopwatch)
    observer = plain if kind == "lines" else bars
    bn, gn = results
    observer.started([bn.trial, gn.trial], stored=0, how="in haste")
    observer.trial_started(bn.trial)
    for record in bn.history[:2]:
        stopwatch.seconds += 10
        observer.epoch_ended(bn.trial, lasting(record, 10))
    assert observer.clock.left() == "40 s left"
    observer.trial_found(gn)
    assert observer.clock.left() == "10 s left"
    assert observer.clock.failed == 0
    observer.trial_found(failed(gn, "it raised"))
    assert observer.clock.failed == 1
    observer.close()
    (line, _) = [each for each in stream.getvalue().splitlines() if "another normscope" in each]
    assert line.startswith("gn seed 0 diverged: ")
    assert line.endswith(", trained by another normscope")


def test_epochs_from_before_a_trial_was_stopped_say_nothing_of_the_pace(results, stopwatch):
    """Of two trials of three epochs one goes on after two of 40 s, which are told again at once.

    Before that the worker took longer to start than an epoch takes.
    """
    first, second = results
    clock = Clock([first.trial, second.trial], stopwatch)
    stopwatch.seconds += 50
    clock.begun(first.trial)
    stopwatch.seconds += 1
    for record in first.history[:2]:
        clock.ended(first.trial, lasting(record, 40))
    assert clock.seconds_left() is None
    stopwatch.seconds += 39
    clock.ended(first.trial, lasting(first.history[2], 39))
    clock.trial_ended(first)
    assert clock.seconds_left() == pytest.approx(3 * 90)


def test_what_passes_before_the_first_steps_is_not_expected_again(results, stopwatch):
    """Two trials at once, of three epochs of 10 s, after 20 s in which workers start."""
    first, second = results
    clock = Clock([first.trial, second.trial], stopwatch)
    for trial in (first.trial, second.trial):
        clock.begun(trial)
    stopwatch.seconds += 30
    for result in results:
        clock.ended(result.trial, lasting(first.history[0], 30))
        assert clock.seconds_left() is None
    stopwatch.seconds += 10
    clock.ended(first.trial, lasting(first.history[1], 10))
    clock.ended(second.trial, lasting(first.history[1], 10))
    assert clock.seconds_left() == pytest.approx(10)


def test_trials_of_one_epoch_have_a_time_left_all_the_same(results, stopwatch):
    once = [
        each.trial.model_copy(update={"recipe": each.trial.recipe.model_copy(update={"epochs": 1})})
        for each in results
    ]
    clock = Clock(once, stopwatch)
    stopwatch.seconds += 10
    clock.ended(once[0], lasting(results[0].history[0], 10))
    assert clock.seconds_left() == pytest.approx(10)


def test_live_bars_show_the_time_left(one_diverges_early, stopwatch):
    observer = LiveBars(Console(file=io.StringIO(), force_terminal=True), now=stopwatch)
    steps = run_in_time(observer, one_diverges_early, stopwatch, TAKEN)
    assert [observer.bars.tasks[observer.whole].fields["note"] for _ in steps] == LEFT
    observer.close()


def test_live_bars_count_what_failed(one_diverges_early):
    first, second = one_diverges_early
    observer = LiveBars(Console(file=io.StringIO(), force_terminal=True))
    observer.started([first.trial, second.trial], stored=0, how="in haste")
    observer.trial_started(first.trial)
    observer.trial_ended(failed(first, "it raised"))
    assert observer.bars.tasks[observer.whole].fields["note"] == "1 failed"
    observer.trial_started(second.trial)
    observer.epoch_ended(second.trial, lasting(second.history[0], 0))
    observer.trial_ended(second)
    assert observer.bars.tasks[observer.whole].fields["note"].startswith("1 failed, ")
    observer.close()


def test_reading_images_says_every_tenth_once_after_a_download_too():
    stream = io.StringIO()
    observer = PlainLines(stream)
    observer.downloaded(2_000_000, 2_000_000)
    for count in range(0, 2_001, 64):
        observer.images_read(count, 2_000)
    observer.images_read(2_000, 2_000)
    first, *lines = stream.getvalue().splitlines()
    assert first == "downloading: 100 % of 2 MB"
    assert lines == [f"reading: {tenth}0 % of 2,000 images" for tenth in range(1, 11)]


def test_a_download_says_every_tenth_once():
    stream = io.StringIO()
    observer = PlainLines(stream)
    for received in range(0, 60_000_001, 1_000_000):
        observer.downloaded(received, 200_000_000)
    observer.downloaded(180_000_000, 200_000_000)  # the rest was here from an earlier try
    observer.downloaded(200_000_000, 200_000_000)
    assert stream.getvalue().splitlines() == [
        "downloading: 10 % of 200 MB",
        "downloading: 20 % of 200 MB",
        "downloading: 30 % of 200 MB",
        "downloading: 90 % of 200 MB",
        "downloading: 100 % of 200 MB",
    ]


def test_plain_lines_name_every_epoch_and_every_ending(results):
    stream = io.StringIO()
    at_once = [
        r.model_copy(update={"history": tuple(lasting(each, 0) for each in r.history)})
        for r in results
    ]
    replay(PlainLines(stream), at_once)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["downloading: 50 % of 0 MB", "downloading: 100 % of 0 MB"]
    assert lines[2] == "reading: 100 % of 2 images"
    assert lines[3] == "2 trials to run, 7 stored; in haste"
    epochs = [line for line in lines if "epoch" in line and line.startswith("trial")]
    assert [line.split("  ")[:3] for line in epochs] == [
        ["trial 1/2", "bn seed 0", "epoch 1/3"],
        ["trial 1/2", "bn seed 0", "epoch 2/3"],
        ["trial 1/2", "bn seed 0", "epoch 3/3"],
        ["trial 2/2", "gn seed 0", "epoch 1/3"],
    ]
    assert all(line.endswith("left") for line in epochs)
    assert lines[-1].startswith("gn seed 0 diverged: the loss was not finite")


def test_live_bars_end_and_leave_a_line_per_trial(results):
    stream = io.StringIO()
    replay(LiveBars(Console(file=stream, force_terminal=True, width=80)), results)
    shown = stream.getvalue()
    final = results[0].history[-1].test_accuracy_percent
    assert f"bn seed 0: test {final:.1f} %" in shown
    assert "gn seed 0 diverged" in shown
    assert "2/2 trials" in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is given back


def test_live_bars_closed_in_mid_download_give_the_terminal_back():
    stream = io.StringIO()
    observer = LiveBars(Console(file=stream, force_terminal=True))
    observer.downloaded(1, 100)
    assert "\x1b[?25h" not in stream.getvalue()
    observer.close()
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")


# -- every observer --------------------------------------------------------------------------------


class Epochs(Observer):
    """Wants the epochs only."""

    def __init__(self):
        self.seen = []

    def epoch_ended(self, trial, record):
        self.seen.append((trial.norm, record.epoch))


def test_an_observer_may_leave_out_what_it_does_not_want(results):
    observer = Epochs()
    replay(observer, results)
    observer.block_ended(1, ["gn undecided"])
    observer.sequence_ended("Stopped.")
    assert observer.seen == [("bn", 1), ("bn", 2), ("bn", 3), ("gn", 1)]


@pytest.mark.parametrize("make", OBSERVERS.values(), ids=list(OBSERVERS))
def test_who_wants_to_stop_is_asked_after_every_epoch(make, results):
    asked = []

    def check():
        asked.append(True)
        if len(asked) == 2:
            raise KeyboardInterrupt

    observer = make(io.StringIO(), check)
    with pytest.raises(KeyboardInterrupt), closing(observer):
        replay(observer, results)
    assert len(asked) == 2


def test_nothing_is_said_where_standard_output_is_closed(results, monkeypatch, capfd):
    monkeypatch.setattr("sys.stdout", None)
    replay(PlainLines(), results)
    assert capfd.readouterr() == ("", "")


def test_how_the_comparisons_stand_is_said_by_the_number_of_seeds():
    stream = io.StringIO()
    observer = PlainLines(stream)
    observer.block_ended(1, ["gn undecided", "ln undecided"])
    observer.block_ended(2, ["gn worse"])
    assert stream.getvalue().splitlines() == [
        "after 1 seed   gn undecided",
        "               ln undecided",
        "after 2 seeds  gn worse",
    ]


def test_a_terminal_gets_bars_and_a_file_gets_lines():
    terminal, file = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True
    assert isinstance(observer_for(terminal), LiveBars)
    assert isinstance(observer_for(file), PlainLines)


@pytest.mark.parametrize("name", OBSERVERS)
def test_every_observer_of_the_table_tells_its_stream_of_every_trial(name, results):
    stream = io.StringIO()
    replay(OBSERVERS[name](stream, lambda: None), results)
    for result in results:
        assert f"{result.trial.norm} seed {result.trial.seed}" in stream.getvalue()


ODD = "x[/b]\x1b[31m\x1b]8;;http://evil\x07"


@pytest.mark.parametrize("name", OBSERVERS)
def test_what_would_act_on_a_terminal_is_shown(name, results):
    """Neither a norm's name nor an error is markup, nor does either reach the terminal as it is."""
    stream = io.StringIO()
    observer = PlainLines(stream)
    if name == "bars":
        observer = LiveBars(Console(file=stream, force_terminal=True, width=200))
    odd = [
        result.model_copy(
            update={
                "trial": result.trial.model_copy(update={"norm": ODD}),
                "error": result.error and f"Traceback\n{ODD}",
            }
        )
        for result in results
    ]
    replay(observer, odd)
    observer.noticed(ODD)
    observer.sequence_ended(ODD)
    shown = r"x[/b]\x1b[31m\x1b]8;;http://evil\x07"
    assert stream.getvalue().count(shown) >= 5
    assert "\x1b]" not in stream.getvalue()
    assert "x[/b]\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()


def test_of_very_many_trials_some_have_bars_and_the_others_get_theirs_as_these_end():
    bars = LiveBars(Console(file=io.StringIO()))
    results = make_results_of(MOST_BARS + 30)
    bars.started([result.trial for result in results], 0, "")
    with closing(bars):
        for result in results:
            bars.trial_started(result.trial)
        assert len(bars.bars.tasks) == MOST_BARS + 1  # and the one of all
        last = results[-1]
        bars.epoch_ended(last.trial, last.history[0])
        bars.trial_retried(last.trial, "it was lost")
        assert last.trial.id not in bars.running
        bars.trial_ended(results[0])
        bars.epoch_ended(last.trial, last.history[0])
        assert last.trial.id in bars.running
        for result in results[1:]:
            bars.trial_ended(result)
        assert len(bars.bars.tasks) == 1


def make_results_of(count):
    experiment = make_experiment(norms=("bn",), seeds=count, epochs=2)
    return [make_result(experiment, trial, make_labels(10)) for trial in plan(experiment)]
