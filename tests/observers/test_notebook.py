from contextlib import closing

import pytest
from html_parts import Parts
from report_fakes import diverged, make_experiment, make_labels, make_result

from normscope.experiment.plan import plan
from normscope.observers import InNotebook, PlainLines, usual_observer
from normscope.observers.bars import MOST_BARS
from normscope.observers.notebook import ENDINGS, EVERY_S, is_of_a_notebook


class Cell:
    """What a notebook shows below a cell, and how often that was replaced."""

    def __init__(self):
        self.html, self.plain, self.times = "", "", 0

    def __call__(self, html, plain):
        self.html, self.plain, self.times = html, plain, self.times + 1


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def make_results(norms=("bn", "gn"), seeds=1, epochs=3):
    experiment = make_experiment(norms=norms, seeds=seeds, epochs=epochs)
    return [make_result(experiment, trial, make_labels(20)) for trial in plan(experiment)]


@pytest.fixture
def cell():
    return Cell()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def observer(cell, clock):
    return InNotebook(now=clock, show=cell)


def train(observer, result, clock, seconds=20.0):
    """Every epoch takes so many seconds."""
    observer.trial_started(result.trial)
    for record in result.history:
        clock.seconds += seconds
        observer.epoch_ended(result.trial, record)
    observer.trial_ended(result)


def test_it_shows_what_was_begun_how_far_all_is_and_how_trials_ended(observer, cell, clock):
    bn, gn = make_results()
    gn = diverged(gn, after=1)
    observer.noticed("The data is small.")
    observer.started([bn.trial, gn.trial], 7, "in haste")
    train(observer, bn, clock)
    observer.trial_started(gn.trial)
    final = bn.history[-1].test_accuracy_percent
    assert cell.plain.splitlines() == [
        "The data is small.",
        "2 trials to run, 7 stored; in haste",
        f"bn seed 0: test {final:.1f} % in 3 min",
        "all  1/2 trials, 60 s left",
        "gn seed 0  0/3 epochs",
    ]
    observer.trial_ended(gn)
    assert cell.plain.splitlines()[3] == "gn seed 0 diverged: the loss was not finite in epoch 2"
    observer.block_ended(1, ["gn undecided"])
    observer.block_ended(2, ["gn worse"])
    assert "after 2 seeds  gn worse" in cell.plain
    assert "undecided" not in cell.plain


def test_every_text_is_in_the_html_beside_the_bar_that_it_tells_of(observer, cell):
    (bn,) = make_results(norms=("bn",))
    observer.started([bn.trial], 0, "")
    observer.trial_started(bn.trial)
    observer.epoch_ended(bn.trial, bn.history[0])
    observer.trial_retried(bn.trial, "it was lost")
    parts = Parts(cell.html)
    assert parts.texts == cell.plain.splitlines()
    assert [value for name, value in parts.attributes if name in ("value", "max")] == [
        *("0", "1"),  # of the trials
        *("0", "3"),  # of the epochs, from the start once more
    ]


def test_a_fleet_whose_members_end_their_epochs_at_once_is_shown_once(observer, cell, clock):
    results = make_results(norms=("bn",), seeds=30)
    observer.started([result.trial for result in results], 0, "")
    for result in results:
        observer.trial_started(result.trial)
    before, clock.seconds = cell.times, 10.0
    for result in results:
        observer.epoch_ended(result.trial, result.history[0])
    assert cell.times == before + 2  # with the first and with the last
    assert cell.plain.count("1/3 epochs") == 30
    clock.seconds += EVERY_S / 2
    observer.epoch_ended(results[0].trial, results[0].history[1])
    assert cell.times == before + 2


def test_of_many_trials_only_some_have_a_line(observer, cell):
    results = make_results(norms=("bn",), seeds=MOST_BARS + 20)
    observer.started([result.trial for result in results], 0, "")
    for result in results:
        observer.trial_started(result.trial)
    assert len(cell.plain.splitlines()) == 2 + MOST_BARS
    for result in results:
        observer.trial_ended(result)
    ended = cell.plain.splitlines()
    assert len(ended) == 2 + ENDINGS
    assert ended[-2].startswith(f"bn seed {MOST_BARS + 19}: ")
    assert ended[-1].startswith(f"all  {MOST_BARS + 20}/{MOST_BARS + 20} trials")


def test_a_trial_of_another_process_is_counted(observer, cell):
    bn, gn = make_results()
    observer.started([bn.trial, gn.trial], 0, "")
    observer.trial_found(gn)
    assert "trained by another normscope" in cell.plain
    assert "1/2 trials" in cell.plain


def test_files_have_a_bar_until_they_are_here(observer, cell):
    observer.downloaded(40_000_000, 170_000_000)
    assert cell.plain == "downloading  40/170 MB"
    observer.downloaded(170_000_000, 170_000_000)
    assert cell.plain == ""
    observer.images_read(1, 2000)
    observer.images_read(2000, 2000)
    assert cell.plain == ""


def test_who_wants_to_stop_is_asked_after_every_epoch(cell):
    (bn,) = make_results(norms=("bn",))

    def check():
        raise KeyboardInterrupt

    with closing(InNotebook(check, show=cell)) as observer:
        observer.started([bn.trial], 0, "")
        with pytest.raises(KeyboardInterrupt):
            observer.epoch_ended(bn.trial, bn.history[0])


def test_names_and_errors_are_text(observer, cell, clock):
    odd = '<img src=x onerror=alert(1)>\x1b[31m&"'
    (bn,) = make_results(norms=("bn",))
    failed = bn.model_copy(
        update={
            "trial": bn.trial.model_copy(update={"norm": odd}),
            "status": "failed",
            "error": f"Traceback\n{odd}",
        }
    )
    observer.started([failed.trial], 0, odd)
    train(observer, failed, clock)
    observer.noticed(odd)
    parts, shown = Parts(cell.html), odd.replace("\x1b", r"\x1b")
    assert {*parts.tags} == {"div", "span", "progress"}
    assert " ".join(parts.texts).count(shown) == 4
    assert cell.plain.count(shown) == 4


def test_a_call_from_python_shows_bars_in_a_notebook_and_lines_elsewhere(monkeypatch, capsys):
    kernel = pytest.importorskip("ipykernel.iostream")
    assert isinstance(usual_observer(), PlainLines)
    assert not is_of_a_notebook(None)
    monkeypatch.setattr("sys.stdout", kernel.OutStream.__new__(kernel.OutStream))
    assert isinstance(usual_observer(), InNotebook)
