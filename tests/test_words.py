"""How errors are said in one line, and text from elsewhere so that nothing in it acts unseen."""

import unicodedata

import pytest

from normscope.words import chosen_of, evenly, visible, what_went_wrong


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]8;;http://evil\x07here\x1b]8;;\x07", r"\x1b]8;;http://evil\x07here\x1b]8;;\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\rb\nc\td\x00", r"a\rb\nc\td\x00"),
        ("invoice\u202egnp.exe", r"invoice\u202egnp.exe"),
        ("half \udc80 of one", r"half \udc80 of one"),
        ("café 猫 👩\u200d🔬 −1.5 %", "café 猫 👩\u200d🔬 −1.5 %"),
    ],
)
def test_what_acts_unseen_is_written_out(text, shown):
    assert visible(text) == shown


def test_no_control_character_of_unicode_is_left():
    controls = [chr(i) for i in range(0x11000) if unicodedata.category(chr(i)) in ("Cc", "Cs")]
    assert len(controls) == 65 + 2048
    assert visible("".join(controls)).isprintable()


def test_ends_of_our_own_lines_may_stay():
    assert visible("one\ntwo\x1b", keep="\n") == "one\ntwo\\x1b"


def test_the_line_of_an_error_does_not_act():
    assert what_went_wrong("Traceback\nValueError: \x1b[2Jgone\n") == r"ValueError: \x1b[2Jgone"


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


def test_what_is_chosen_evenly_has_both_ends_and_each_once():
    assert evenly([1, 2, 3], 3) == [1, 2, 3]
    assert evenly(range(101), 5) == [0, 25, 50, 75, 100]
    assert len(set(evenly(range(61), 60))) == 60


def test_what_is_chosen_is_told_of_all():
    assert chosen_of(3, 3, "seed") == "3 seeds"
    assert chosen_of(60, 2000, "seed") == "60 of 2,000 seeds, chosen evenly"
