"""The report that is there from the first block on, while training goes on."""

import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from store_fakes import IMAGES, make_store, make_trials

from normscope.experiment.reading import read_experiment
from normscope.observers import Observer
from normscope.study import compare as pipeline
from normscope.study.meantime import report_meanwhile

PATIENCE_S = 120


class Noting(Observer):
    def __init__(self):
        self.said, self.ended = [], []

    def noticed(self, sentence):
        self.said.append(sentence)

    def trial_ended(self, result):
        self.ended.append(result)


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "e", seeds=2, trials=False)


@pytest.fixture
def dataset():
    return SimpleNamespace(test_images=np.zeros((IMAGES, 8, 8, 3), np.uint8))


def wait_for(happened):
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def writers():
    """The processes that write a report now."""
    return [each for each in psutil.Process().children() if writes(each)]


def writes(process):
    try:
        return "normscope.study.meantime" in " ".join(process.cmdline())
    except (psutil.ZombieProcess, psutil.NoSuchProcess):  # it has ended
        return False


def end(store, observer, result):
    store.add(result)
    observer.trial_ended(result)


def test_the_page_is_written_once_a_block_is_complete(store, dataset):
    first, second, third, _ = make_trials(store.experiment)
    page, told = store.folder / "report.html", Noting()
    with report_meanwhile(store, dataset, told, every_s=0) as observer:
        end(store, observer, first)
        assert not writers()
        end(store, observer, second)
        assert len(writers()) == 1
        wait_for(page.exists)
        wait_for(lambda: not writers())
        end(store, observer, third)
        assert not writers()
    text = " ".join(page.read_text().split())
    assert "Written while training went on" in text
    assert "with 1 of 2 seeds complete." in text
    assert told.ended == [first, second, third]
    assert told.said == []


def test_not_before_its_time(store, dataset):
    with report_meanwhile(store, dataset, Noting(), every_s=3600) as observer:
        for result in make_trials(store.experiment):
            end(store, observer, result)
        assert not writers()


def test_blocks_that_were_there_already_are_no_reason(store, dataset):
    first, second, third, _ = make_trials(store.experiment)
    store.add(first)
    store.add(second)
    with report_meanwhile(store, dataset, Noting(), every_s=0) as observer:
        end(store, observer, third)
        assert not writers()


def test_one_that_is_being_written_in_the_end_is_given_up(store, dataset):
    first, second, *_ = make_trials(store.experiment)
    with report_meanwhile(store, dataset, Noting(), every_s=0) as observer:
        end(store, observer, first)
        end(store, observer, second)
        assert len(writers()) == 1
    assert not writers()
    with store.report_lock(store.folder, waiting=pytest.fail):
        pass


def test_one_that_cannot_be_written_is_told_once_and_not_tried_again(store, dataset):
    (store.folder / "figures").write_text("a file where a folder must be")
    told = Noting()
    first, second, third, fourth = make_trials(store.experiment)
    with report_meanwhile(store, dataset, told, every_s=0) as observer:
        end(store, observer, first)
        end(store, observer, second)
        wait_for(lambda: not writers())
        end(store, observer, third)
        end(store, observer, fourth)
        assert not writers()
    (sentence,) = told.said
    assert "The report could not be written so far (" in sentence
    assert "figures" in sentence


def test_pictures_that_cannot_be_kept_end_no_training(store, dataset):
    (store.folder / "pictures" / "7.png").unlink()
    (store.folder / "pictures" / "14.png").unlink()
    (store.folder / "pictures").rmdir()
    (store.folder / "pictures").write_text("a file where a folder must be")
    told = Noting()
    with report_meanwhile(store, dataset, told, every_s=0) as observer:
        for result in make_trials(store.experiment):
            end(store, observer, result)
        assert not writers()
    (sentence,) = told.said
    assert "The report could not be written so far (" in sentence
    assert "pictures" in sentence


def test_compare_has_it_written_while_it_trains(tmp_path, monkeypatch):
    often = partial(report_meanwhile, every_s=0)
    monkeypatch.setattr(pipeline, "report_meanwhile", often)
    page = tmp_path / "e" / "report.html"
    seen = []

    class Reader(Observer):
        def trial_ended(self, result):
            if result.trial.seed == 1:
                wait_for(page.exists)
                seen.append("with 1 of 2 seeds complete" in page.read_text())

    experiment = read_experiment(norms=["bn"], seeds=2, epochs=1, train_limit=192, test_limit=100)
    pipeline.compare(experiment, out=page.parent, executor="inline", observer=Reader())
    assert seen == [True]
    assert "while training went on" not in page.read_text()
