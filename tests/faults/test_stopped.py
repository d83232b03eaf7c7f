"""A signal that asks the command to stop is answered within 5 s, and no trial is lost."""

import itertools
import random
import signal
import time
from collections import Counter

import pytest
from disturbed import COMPARE, check_kept, check_whole
from warm import PHASES

SIGNALS = (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
PROMISED_S = 5


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("times", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_a_command_that_is_stopped_goes_on(warm, undisturbed, phase, times, tmp_path):
    """In each phase; when it comes to an end, the next one begins in another folder."""
    usual, expected = undisturbed
    drawn, hits, ends = random.Random(times), Counter(), 0
    numbers = itertools.cycle(SIGNALS)
    folder, before = tmp_path / "0", {}
    while hits.total() < times:
        command = warm.start(*COMPARE, "--workers", "1", "--out", folder)
        if command.reaches(phase, visit=drawn.choice((1, 1, 2))):
            time.sleep(drawn.uniform(0, usual.seconds(phase)))
        number, sent = next(numbers), time.monotonic()
        command.send(number)
        code = command.ends()
        before = check_kept(folder, before)
        if command.phase == "after reporting":  # it had ended, but for its last words
            ends += 1
            check_whole(folder, expected)
            folder, before = tmp_path / str(ends), {}
            continue
        assert time.monotonic() - sent < PROMISED_S
        assert code == 128 + number, command.said
        hits[command.phase] += 1
    assert warm.run(*COMPARE, "--workers", "1", "--out", folder).code == 0
    check_kept(folder, before)
    check_whole(folder, expected)
