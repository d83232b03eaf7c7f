"""How errors are said in one line."""

import pytest

from normscope.words import what_went_wrong


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("gn, batch size 8: ValueError: no\nTraceback (most recent call last):\n  f\nE: no",
         "gn, batch size 8: ValueError: no"),
        ("Traceback (most recent call last):\n  File x\nValueError: no\n", "ValueError: no"),
        ("the worker process ended with code 3", "the worker process ended with code 3"),
        ("", ""),
        (None, ""),
    ],
)  # fmt: skip
def test_an_error_in_one_line(error, line):
    assert what_went_wrong(error) == line
