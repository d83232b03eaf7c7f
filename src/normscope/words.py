"""How numbers, dates and spans of time are written: in sentences, tables and figures alike.

And how text is written that comes from elsewhere, such as names in somebody's folder.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TypeVar

Item = TypeVar("Item")

NONE = "–"  # what stands where a number is not defined

# Control characters, which a terminal obeys; ends of lines and paragraphs; what turns the direction
# of writing around; halves of characters, and what is none.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def number(value: float | None, digits: int, signed: bool = False) -> str:
    """A number with so many decimals; a true minus sign, and thousands separated."""
    if value is None:
        return NONE
    value = round(value, digits) + 0.0  # and no negative zero
    return f"{value:{'+' if signed else ''},.{digits}f}".replace("-", "−")


def p_value(value: float) -> str:
    """With three decimals, or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else number(value, 3)


def signed(points: float | None, digits: int = 2) -> str:
    """``+0.79``: a difference, with its sign."""
    return number(points, digits, signed=True)


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """``+0.13 to +1.45``: the ends of an interval of differences."""
    if low is None or high is None:
        return NONE
    return f"{signed(low, digits)} to {signed(high, digits)}"


def evenly(items: Sequence[Item], most: int) -> Sequence[Item]:
    """All items, or `most` of them, spread evenly from the first to the last."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def chosen_of(shown: int, total: int, noun: str) -> str:
    """``3 seeds``; or what `evenly` made of more: ``60 of 2,000 seeds, chosen evenly``."""
    if shown == total:
        return counted(total, noun)
    return f"{shown:,} of {counted(total, noun)}, chosen evenly"


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(items: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def confidence(alpha: float) -> str:
    """``95 %``: how sure an interval is, from the chance that it is wrong."""
    return f"{100 * (1 - alpha):g} %"


def milliseconds(value: float) -> str:
    """With about three digits: ``512``, ``88.1``, ``2.05``."""
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2)


def duration(seconds: float) -> str:
    """A time span in words: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(iso: str) -> str:
    """``2026-11-23 09:31 UTC`` from an ISO date with its offset."""
    return f"{datetime.fromisoformat(iso).astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def what_went_wrong(text: str | None) -> str:
    """The line of an error that says so; "" for none.

    That is the first, or the last of what is but a traceback, as in records of before.
    """
    lines = (text or "").strip().splitlines() or [""]
    return visible(lines[-1 if lines[0].startswith("Traceback") else 0])


def visible(text: str, keep: str = "") -> str:
    r"""A text in which nothing acts that cannot be seen: ``\x1b[31m`` for an escape to red.

    `keep` holds characters that stay as they are, such as the ends of lines of our own.
    """
    return _UNSEEN.sub(lambda sign: sign[0] if sign[0] in keep else _written_out(sign[0]), text)


def _written_out(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def typeset(sentence: str) -> str:
    """A sentence without a line break before a percent sign."""
    return sentence.replace(" %", "\u00a0%")
