"""The exact McNemar test against statsmodels and by hand."""

import pytest
from statsmodels.stats.contingency_tables import mcnemar as oracle

from normscope.stats import mcnemar


@pytest.mark.parametrize(
    "counts", [(0, 1), (1, 0), (5, 5), (5, 6), (3, 12), (12, 3), (40, 70), (800, 950), (0, 2000)]
)
def test_agrees_with_statsmodels(counts):
    only_a, only_b = counts
    table = [[50, only_a], [only_b, 7]]
    assert mcnemar(*counts) == pytest.approx(oracle(table, exact=True).pvalue, rel=1e-9)


def test_values_by_hand():
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(1, 3) == pytest.approx(2 * (1 + 4) / 16)


def test_a_tie_and_no_disagreement_are_no_evidence():
    assert mcnemar(4, 4) == 1.0
    assert mcnemar(0, 0) == 1.0
