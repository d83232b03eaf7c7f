"""How numbers, dates and spans of time are written."""

import re
from datetime import datetime, timezone

NONE = "–"  # what stands where a number is not defined


def number(value: float | None, digits: int, signed: bool = False) -> str:
    """A number with so many decimals; a true minus sign, and thousands separated."""
    if value is None:
        return NONE
    value = round(value, digits) + 0.0  # and no negative zero
    return f"{value:{'+' if signed else ''},.{digits}f}".replace("-", "−")


def typeset(sentence: str) -> str:
    """A sentence of the analysis with true minus signs, and no line break before a percent sign."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", sentence).replace(" %", "\u00a0%")


def moment(iso: str) -> str:
    """``2026-11-23 09:31 UTC`` from an ISO date with its offset."""
    return f"{datetime.fromisoformat(iso).astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """A time span in words: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
