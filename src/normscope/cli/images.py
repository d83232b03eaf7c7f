"""What a check of a user's own images found."""

import textwrap
from typing import Any

from normscope.cli.show import console
from normscope.data.own import KINDS, Findings
from normscope.data.own.problems import Severity
from normscope.words import visible

SHOWN = 5  # of each kind, unless all are asked for
HEADINGS: dict[Severity, str] = {"error": "Errors", "warning": "Warnings", "note": "Notes"}


def show_findings(findings: Findings, every: bool) -> None:
    """Print how the images are read, then what was found: each kind with its number and paths."""
    for sentence in findings.said():
        print(textwrap.fill(visible(sentence, keep="\n"), console().width))
    for severity, heading in HEADINGS.items():
        found = findings.of(severity)
        if found:
            print(f"\n{heading}")
        for kind, paths in found:
            print(f"  {KINDS[kind].title:66} {len(paths):>9,}")
            shown = paths if every else paths[:SHOWN]
            for path in shown:
                seen = visible(str(path))
                print(f"    {seen if every else _shortened(seen)}")
            if len(paths) > len(shown):
                print(f"    ... and {len(paths) - len(shown):,} more (--all)")
    print()


def _shortened(path: str) -> str:
    """A path that fits the line: its end tells more than its middle."""
    room = console().width - 4
    if len(path) <= room:
        return path
    return f"{path[: room // 3]}...{path[-(room - room // 3 - 3) :]}"


def findings_as_dict(findings: Findings, skip_bad: bool) -> dict[str, Any]:
    """The same as plain values, with every path."""
    return {
        "said": findings.said(),
        **{
            f"{severity}s": {
                kind: [each._asdict() for each in paths] for kind, paths in findings.of(severity)
            }
            for severity in HEADINGS
        },
        "refusal": findings.refusal,
        "would_go_on": not findings.stops(skip_bad),
    }
