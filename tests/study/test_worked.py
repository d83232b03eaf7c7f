"""The numbers of the worked examples, by hand."""

import numpy as np
import pytest

from normscope.errors import UsageError
from normscope.norms import PACKAGED_NORMS
from normscope.study.worked import NUMBERS, worked_example


def test_gn_by_hand():
    """The first group of the first image is 1 2 3 4 2 4 6 8: mean 3.75, variance 4.6875."""
    worked = worked_example("GroupNorm")
    assert worked.norm == "gn:groups=2"
    expected = (np.array([1, 2, 3, 4]) - 3.75) / np.sqrt(4.6875)
    np.testing.assert_allclose(worked.after[0, 0].ravel(), expected, rtol=1e-4)


def test_bn_by_hand():
    """The first channel is 1 2 3 4 and 2 3 4 5: mean 3, variance 1.5."""
    expected = (np.array([2, 3, 4, 5]) - 3) / np.sqrt(1.5)
    after = worked_example("bn").after
    np.testing.assert_allclose(after[1, 0].ravel(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", [*PACKAGED_NORMS, "gn:size=1", "gn:groups=1"])
def test_every_norm_has_an_example(norm):
    worked = worked_example(norm)
    assert worked.before is NUMBERS
    assert worked.after.shape == NUMBERS.shape
    assert np.isfinite(worked.after).all()
    assert np.array_equal(worked_example(norm).after, worked.after)


def test_one_that_is_unknown():
    with pytest.raises(UsageError, match="unknown norm 'foo'"):
        worked_example("foo")
