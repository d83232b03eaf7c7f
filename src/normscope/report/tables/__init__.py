"""The tables behind the verdicts, as text: the same in the page and in Markdown."""

from normscope.report.tables.costs import cost_place, cost_tables
from normscope.report.tables.evidence import evidence_tables
from normscope.report.tables.inside import inside_tables
from normscope.report.tables.mistakes import agreement_tables
from normscope.report.tables.table import Table

__all__ = [
    "Table",
    "agreement_tables",
    "cost_place",
    "cost_tables",
    "evidence_tables",
    "inside_tables",
]
