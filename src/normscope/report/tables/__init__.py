"""The tables behind the verdicts, as text: the same in the page and in Markdown."""

from normscope.report.tables.classes import class_tables
from normscope.report.tables.costs import cost_place, cost_tables
from normscope.report.tables.evidence import (
    BY_BATCH_SIZE,
    BY_STATISTICS_BATCH,
    evidence_tables,
)
from normscope.report.tables.inside import inside_tables
from normscope.report.tables.mistakes import agreement_tables
from normscope.report.tables.network import network_tables
from normscope.report.tables.results import result_tables
from normscope.report.tables.table import Table

__all__ = [
    "BY_BATCH_SIZE",
    "BY_STATISTICS_BATCH",
    "Table",
    "agreement_tables",
    "class_tables",
    "cost_place",
    "cost_tables",
    "evidence_tables",
    "inside_tables",
    "network_tables",
    "result_tables",
]
