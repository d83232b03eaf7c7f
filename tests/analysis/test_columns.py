"""The columns of `.table()` are those that docs/trackers.md has, and of the types it gives."""

import re
from pathlib import Path

from report_fakes import make_analysis

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"
KINDS = {"text": "O", "integer": "iu", "float": "f"}


def documented():
    """The columns with their types, and the metrics, from the two tables of the section."""
    _, section = PAGE.read_text(encoding="utf-8").split("## The columns of `.table()`")
    rows = re.findall(r"^\| (`.*?|METRIC.*?) \| (.*?) \|", section, flags=re.MULTILINE)
    named = [(name.replace("`", ""), kind) for name, kind in rows]
    columns = [(name, kind) for name, kind in named if kind in KINDS]
    return columns, [name for name, unit in named if unit not in KINDS]


def test_the_columns_of_the_table_are_documented():
    columns, metrics = documented()
    of_metrics = [(n.removeprefix("METRIC"), kind) for n, kind in columns if "METRIC" in n]
    assert [suffix for suffix, _ in of_metrics] == ["_mean", "_sd", "_n"]
    place = [name for name, _ in columns].index("METRIC_mean")
    expanded = [(metric + suffix, kind) for metric in metrics for suffix, kind in of_metrics]
    expected = [*columns[:place], *expanded, *columns[place + 3 :]]
    table = make_analysis().table()
    assert table.columns.tolist() == [name for name, _ in expected]
    for name, kind in expected:
        assert table[name].dtype.kind in KINDS[kind], name
