"""Inner products of features, and what the alignment of two such matrices says of layers."""

import math

import numpy as np
import pytest
import torch
from small_networks import normal

from normscope.probes.similarity import gram
from normscope.stats import unbiased_cka


def test_inner_products_are_those_of_a_loop():
    y = normal(5, 3, 2, 2) + 4
    rows = y.flatten(1) - y.flatten(1).mean(0)
    expected = np.array([[float(a @ b) for a in rows] for b in rows])
    expected /= np.trace(expected) / 5
    found = gram(y)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("scale", "shift"), [(1e-15, 0.0), (1e15, 0.0), (1.0, 1000.0)])
def test_neither_size_nor_shift_matters(scale, shift):
    y = normal(30, 20)
    found = gram((y * scale + shift).float())
    assert found == pytest.approx(gram(y), abs=2e-4 if shift else 1e-6)


def test_an_orthogonal_transform_is_one():
    y = normal(64, 4, 5, 5)
    turned, _ = torch.linalg.qr(normal(100, 100, seed=1))
    other = 3 * (y.flatten(1) @ turned) + 2
    assert unbiased_cka(gram(y), gram(other)) == pytest.approx(1, abs=1e-6)


def test_float32_suffices():
    y, z = normal(128, 16, 30, 30), normal(128, 16, 30, 30, seed=1)
    z = y + z
    exact = [(rows - rows.mean(0)) for rows in (y.flatten(1), z.flatten(1))]
    exact = unbiased_cka(*((rows @ rows.T).numpy() for rows in exact))
    assert unbiased_cka(gram(y.float()), gram(z.float())) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_samples_that_are_alike_have_no_similarity(value):
    alike = gram(torch.full((6, 3, 2, 2), value))
    assert not alike.any()
    assert math.isnan(unbiased_cka(alike, gram(normal(6, 5))))
