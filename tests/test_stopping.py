"""A request to stop: at once, or where the code looks for it."""

import signal

import pytest

from normscope import stopping


@pytest.fixture(autouse=True)
def nothing_asked():
    yield
    stopping.forget()


def test_a_request_stops_at_once():
    with pytest.raises(KeyboardInterrupt) as stop:
        stopping.ask(signal.SIGTERM)
    assert stop.value.number == signal.SIGTERM


def test_a_request_that_is_postponed_is_answered_where_the_code_looks():
    with stopping.postponed():
        assert not stopping.asked()
        stopping.answer()  # nothing was asked
        stopping.ask(signal.SIGTERM)
        assert stopping.asked()
        with pytest.raises(stopping.Stopped) as stop:
            stopping.answer()
    assert stop.value.number == signal.SIGTERM


def test_whoever_is_called_in_the_midst_of_a_step_leaves_the_answer_to_it():
    with stopping.postponed():
        stopping.ask()
        stopping.check()
    with pytest.raises(stopping.Stopped):
        stopping.check()


def test_a_second_request_waits_for_nobody():
    with stopping.postponed():
        stopping.ask(signal.SIGTERM)
        with pytest.raises(stopping.Stopped) as stop:
            stopping.ask(signal.SIGINT)
    assert stop.value.number == signal.SIGTERM  # the first says how the program ended


def test_requests_are_postponed_no_longer_than_the_outermost_asks_for():
    with stopping.postponed(), stopping.postponed():
        pass
    with pytest.raises(stopping.Stopped):
        stopping.ask()


def test_what_is_forgotten_was_not_asked():
    with stopping.postponed():
        stopping.ask()
    stopping.forget()
    assert not stopping.asked()


def test_a_moments_work_is_done_before_any_request_is_answered():
    done = []

    def work():
        with stopping.uninterrupted():
            stopping.ask()
            stopping.ask()
            done.append("all of it")

    with pytest.raises(stopping.Stopped):
        work()
    assert done


def test_a_moments_work_that_fails_says_why():
    def work():
        with stopping.uninterrupted():
            stopping.ask()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    with pytest.raises(stopping.Stopped):
        stopping.ask()  # and no longer uninterrupted


def test_a_moments_work_within_a_training_leaves_the_answer_to_the_training():
    with stopping.postponed():
        with stopping.uninterrupted():
            stopping.ask()
        with pytest.raises(stopping.Stopped):
            stopping.answer()
