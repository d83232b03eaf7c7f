"""Telling a tracker, whatever it does."""

import pytest
from report_fakes import failed, make_experiment, make_labels, make_result

from normscope.experiment.plan import plan
from normscope.observers.tracker import Tracker
from normscope.observers.tracking import Tracking

EXPERIMENT = make_experiment(norms=("bn", "gn"), seeds=1, epochs=3)
BN, GN = (make_result(EXPERIMENT, trial, make_labels(20)) for trial in plan(EXPERIMENT))


class Notes(Tracker):
    """Notes what it is told; raises from the call on that has the number `lost_after`."""

    def __init__(self, shown=0, ended=False, lost_after=100):
        self.calls, self.shown, self.ended, self.lost_after = [], shown, ended, lost_after

    def note(self, *call):
        if len(self.calls) == self.lost_after:
            raise ConnectionError("the server is gone\nsee its log")
        self.calls.append(call)

    def has(self, result):
        return self.ended

    def begin(self, trial, at):
        self.note("begin", trial.norm, at)
        return self.shown

    def epoch(self, trial, record, at):
        self.note("epoch", trial.norm, record.epoch, at)

    def end(self, result, at):
        self.note("end", result.trial.norm, at)

    def summarize(self, report):
        self.note("summarize")

    def close(self):
        self.closed = True
        self.note("close")


def told(tracker, result, epochs=None):
    """What its user is told while a trial runs."""
    said = []
    observer = Tracking("comet", tracker, said.append, now=lambda: 7.0)
    observer.trial_started(result.trial)
    for record in result.history[:epochs]:
        observer.epoch_ended(result.trial, record)
    observer.trial_ended(result)
    observer.reported(None)
    observer.close()
    return said


def test_a_trial_that_runs_is_told_of_as_it_happens():
    tracker = Notes()
    assert told(tracker, BN) == []
    epochs = [("epoch", "bn", epoch, 7.0) for epoch in (1, 2, 3)]
    rest = [("end", "bn", 7.0), ("summarize",), ("close",)]
    assert tracker.calls == [("begin", "bn", 7.0), *epochs, *rest]


def test_epochs_that_a_run_has_are_not_added_again():
    tracker = Notes(shown=2)
    told(tracker, BN)
    assert [call[2] for call in tracker.calls if call[0] == "epoch"] == [3]


def test_epochs_that_were_not_told_of_are_added_when_the_trial_ends():
    tracker = Notes()
    told(tracker, BN, epochs=1)
    assert [call[2] for call in tracker.calls if call[0] == "epoch"] == [1, 2, 3]


def test_a_trial_that_raised_before_it_began_has_a_run():
    tracker, said = Notes(), []
    Tracking("comet", tracker, said.append).trial_ended(failed(BN, "out of memory"))
    assert [call[0] for call in tracker.calls] == ["begin", "end"]


def test_a_run_that_ended_so_is_left_alone():
    tracker = Notes(ended=True)
    Tracking("comet", tracker, print).stored(BN)
    assert tracker.calls == []


def test_a_trial_of_another_process_is_looked_for_when_all_have_ended():
    """That process tells the tracker of it after it has stored it."""
    tracker = Notes()
    tracking = Tracking("comet", tracker, print)
    tracking.trial_found(BN)
    assert tracker.calls == []
    tracking.reported(None)
    assert [call[0] for call in tracker.calls] == [
        "begin", "epoch", "epoch", "epoch", "end", "summarize",
    ]  # fmt: skip


@pytest.mark.parametrize("lost_after", range(7))
def test_a_tracker_that_fails_is_told_no_more_and_its_user_once(lost_after):
    tracker = Notes(lost_after=lost_after)
    assert told(tracker, GN) == [
        "comet failed and is told no more (the server is gone). No training ends for that; the "
        "same command adds later what is missing there."
    ]
    assert len(tracker.calls) == lost_after
    assert tracker.closed


def test_who_wants_to_stop_is_heard_in_the_midst_of_a_tracker():
    class Interrupted(Notes):
        def note(self, *call):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        told(Interrupted(), BN)
