import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from normscope.stats.minimum import bounded_minima


@pytest.mark.parametrize(
    "function",
    [
        lambda x, c: (x - c) ** 2,
        lambda x, c: np.abs(x - c),
        lambda x, c: np.cos(3 * x + c) + 0.1 * x,
        lambda x, c: c * x,  # least at an end
        lambda x, c: 0 * x,
    ],
    ids=["parabola", "corner", "waves", "slope", "flat"],
)
def test_each_minimum_has_the_bits_that_scipy_finds(function):
    constants = np.random.default_rng(0).normal(0, 2, 40)
    found = bounded_minima(lambda i, x: function(x, constants[i]), len(constants), -3.0, 4.0)
    alone = [
        minimize_scalar(function, bounds=(-3.0, 4.0), method="bounded", args=(c,)).x
        for c in constants
    ]
    assert found.tolist() == alone


def test_a_function_that_is_done_is_not_called_again():
    calls = np.zeros(2, dtype=int)

    def functions(i, x):
        calls[i] += 1
        return np.where(i == 0, (x - 1) ** 2, np.cos(3 * x))

    bounded_minima(functions, 2, -3.0, 4.0)
    assert calls[0] < calls[1]
