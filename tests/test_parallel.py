"""A function of many arguments, computed by several processes, whose values come in order."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from normscope import parallel
from normscope.parallel import in_order, meanwhile


@pytest.fixture(autouse=True)
def three_processes(monkeypatch):
    monkeypatch.setattr(parallel, "available_cores", lambda: 3)


def squared(number):
    """Slower for small numbers, which so end later than those after them."""
    time.sleep(0.02 if number % 4 == 0 else 0)
    return number**2, os.getpid()


def test_values_come_in_the_order_of_the_arguments_from_several_processes():
    found = list(in_order(squared, range(40)))
    assert [value for value, _ in found] == [number**2 for number in range(40)]
    processes = {process for _, process in found}
    assert 1 < len(processes) <= 3
    assert os.getpid() not in processes


@pytest.mark.parametrize(("cores", "worth_it"), [(1, True), (3, False)])
def test_one_core_or_little_to_do_needs_no_other_process(monkeypatch, cores, worth_it):
    monkeypatch.setattr(parallel, "available_cores", lambda: cores)
    assert {process for _, process in in_order(squared, range(3), worth_it)} == {os.getpid()}


def test_few_arguments_are_taken_ahead_of_the_values():
    taken = []

    def arguments():
        for number in range(100):
            taken.append(number)
            yield number

    values = in_order(squared, arguments())
    for _ in range(5):
        next(values)
    assert len(taken) <= 5 + parallel.AHEAD * 3 + 1
    values.close()


class Refused(Exception):
    """An error that cannot be made again from what a pickle keeps of it."""

    def __init__(self, number, reason):
        super().__init__(f"{number} is {reason}")


def refusing(number):
    if number == 7:
        raise Refused(number, "too much")
    return number


def test_an_error_is_raised_as_if_there_were_no_other_process():
    values = in_order(refusing, range(20))
    assert [next(values) for _ in range(7)] == list(range(7))
    with pytest.raises(Refused, match="7 is too much"):
        next(values)


def test_something_is_computed_meanwhile_in_another_process():
    with meanwhile(squared, range(5)) as answers:
        deadline = time.monotonic() + 60
        while not started_by(os.getpid()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert answers() == answers()
        found = answers()
    assert [value for value, _ in found] == [0, 1, 4, 9, 16]
    (process,) = {process for _, process in found}
    assert process != os.getpid()
    assert not is_running(process)


@pytest.mark.parametrize(("cores", "worth_it"), [(1, True), (3, False)])
def test_or_here_when_it_is_asked_for(monkeypatch, cores, worth_it):
    monkeypatch.setattr(parallel, "available_cores", lambda: cores)
    with meanwhile(squared, [3], worth_it) as answers:
        assert answers() == [(9, os.getpid())]


def test_an_error_meanwhile_is_raised_when_the_answer_is_asked_for():
    with meanwhile(refusing, [6, 7]) as answers, pytest.raises(Refused, match="7 is too much"):
        answers()


def test_nobody_waits_for_what_is_no_longer_asked_for():
    started = time.monotonic()
    with pytest.raises(KeyError), meanwhile(time.sleep, [60, 60, 60]):
        raise KeyError
    assert time.monotonic() - started < 20


def test_an_interrupt_while_they_are_stopped_leaves_no_process(monkeypatch):
    start, started = parallel.children.start, []

    def recorded(*arguments, **options):
        started.append(start(*arguments, **options))
        return started[-1]

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel.children, "start", recorded)
    values = in_order(squared, range(1000))
    for _ in range(12):
        next(values)
    monkeypatch.setattr(parallel.children, "stop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        values.close()
    assert len(started) > 1
    monkeypatch.undo()
    for helper in started:
        helper.wait(timeout=20)
        parallel.children.stop(helper)


def ending(number):
    """Its process ends in the midst of every tenth, but not that of the test."""
    if number % 10 == 3 and os.getpid() != int(os.environ["NORMSCOPE_TEST"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_what_a_process_that_ends_should_have_computed_is_computed_here(monkeypatch):
    monkeypatch.setenv("NORMSCOPE_TEST", str(os.getpid()))
    assert list(in_order(ending, range(60))) == list(range(60))


def test_what_cannot_be_sent_is_computed_here():
    arguments = [1, lambda: None, 3]
    assert list(in_order(str, arguments)) == list(map(str, arguments))


def chatty(number):
    print("not an answer")
    return number


def test_what_a_function_prints_is_no_answer(capfd, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    assert list(in_order(chatty, range(5))) == list(range(5))
    assert capfd.readouterr().err.count("not an answer") == 5


def is_running(process):
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def test_no_process_is_left_when_nobody_takes_more_values():
    values = in_order(squared, range(1000))
    processes = {next(values)[1] for _ in range(12)}
    assert all(map(is_running, processes))
    values.close()
    assert not any(map(is_running, processes))


def started_by(parent):
    """The processes that one has started."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [each for file in tasks for each in file.read_text(encoding="ascii").split()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_no_process_outlives_one_that_was_killed(tmp_path):
    (tmp_path / "slow.py").write_text(
        textwrap.dedent(
            """
            import os, time

            def slow(number):
                open(f"{os.getpid()}.started", "w").close()
                time.sleep(60)
            """
        ),
        encoding="utf-8",
    )
    code = (
        "from normscope import parallel; parallel.available_cores = lambda: 2\n"
        "from slow import slow\n"
        "list(parallel.in_order(slow, range(4)))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while len(started := list(tmp_path.glob("*.started"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    processes = [int(each.stem) for each in started]
    deadline = time.monotonic() + 5
    while any(map(is_running, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
