"""From seconds per epoch, round by round, to ratios and to the tables of docs/performance.md."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.epochs import Variant
from benchmarks.images import EPOCHS, NORMS_PUBLISHED

LIMITS = "convolutions", "peak"

Times = Mapping[Variant, Sequence[float]]  # seconds of the machine per epoch, one number per round


def ratios(above: Sequence[Sequence[float]], below: Sequence[Sequence[float]]) -> list[float]:
    """For each round, the summed time of some variants divided by that of others."""
    return [a / b for a, b in zip(sums(above), sums(below), strict=True)]


def sums(rows: Sequence[Sequence[float]]) -> list[float]:
    """For each round, the sum over variants."""
    return [sum(round_) for round_ in zip(*rows, strict=True)]


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """The median, and the range if there is more than one value."""
    median = f"{statistics.median(values):{form}}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):{form}} to {max(values):{form}})"


def of_kind(times: Times, kind: str, precision: str) -> list[Sequence[float]]:
    """The rounds of each norm."""
    return [row for v, row in times.items() if (v.kind, v.precision) == (kind, precision)]


def summarize(times: Times) -> dict[str, dict[str, list[float]]]:
    """By precision, over all norms: speed against what others write and against the limits.

    Each has one number per round. `experiment_seconds` are those of 3 norms x 15 epochs. What was
    not timed is not there.
    """
    published = of_kind(times, "reference", "fp32")
    found = {}
    for precision in dict.fromkeys(v.precision for v in times if v.kind == "normscope"):
        own = of_kind(times, "normscope", precision)
        found[precision] = {"faster_than_reference": ratios(published, own)}
        if strong := of_kind(times, "strong", precision):
            found[precision]["faster_than_strong"] = ratios(strong, own)
        for limit in LIMITS:
            if floor := of_kind(times, limit, precision) * len(own):
                found[precision][f"times_{limit}"] = ratios(own, floor)
        found[precision]["experiment_seconds"] = [EPOCHS * seconds for seconds in sums(own)]
    return found


def tables(times: Times) -> str:
    """Both tables of docs/performance.md, as Markdown."""
    return f"{table_of_epochs(times)}\n\n{table_of_ratios(times)}"


def table_of_epochs(times: Times) -> str:
    """Seconds per epoch, a row per kind and precision, a column per norm."""
    rows = [["seconds per epoch", *NORMS_PUBLISHED], ["---"] * (1 + len(NORMS_PUBLISHED))]
    for kind, precision in dict.fromkeys((v.kind, v.precision) for v in times):
        cells = [spread(row) for row in of_kind(times, kind, precision)]
        cells += ["the same"] * (len(NORMS_PUBLISHED) - len(cells))
        rows.append([f"{kind}, {precision}", *cells])
    return markdown(rows)


def table_of_ratios(times: Times) -> str:
    """All norms together, a column per precision."""
    found = summarize(times)
    rows = [["all three norms", *found], ["---"] * (1 + len(found))]
    for title, key, form, unit in (
        ("times as fast as the reference", "faster_than_reference", ".2f", ""),
        ("times as fast as plain layers (strong)", "faster_than_strong", ".2f", ""),
        ("times torch's convolutions alone", "times_convolutions", ".2f", ""),
        ("times what the cores can multiply (peak)", "times_peak", ".2f", ""),
        (f"3 norms x {EPOCHS} epochs", "experiment_seconds", ".0f", " s"),
    ):
        if all(key in values for values in found.values()):
            rows.append([title, *(spread(values[key], form) + unit for values in found.values())])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def rest(rates: Mapping[str, float], starts: Mapping[str, Mapping[str, float]]) -> str:
    """The speed of matrix products and the cost of starting, one line each."""
    lines = [
        f"matrix products in {precision}: {rate:.0f} GFLOP/s, all cores together"
        for precision, rate in rates.items()
    ]
    lines += [
        f"{title}: {found['set_up_s']:.1f} s to the first step, peak {found['peak_mib']:.0f} MiB"
        for title, found in starts.items()
    ]
    return "\n".join(lines)


def by_name(times: Times) -> dict[str, Any]:
    """The times keyed by the names of the variants, for JSON."""
    return {str(variant): list(row) for variant, row in times.items()}
