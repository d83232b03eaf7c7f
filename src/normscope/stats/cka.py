"""How alike two representations of the same samples are: centred kernel alignment."""

import numpy as np


def unbiased_cka(gram_a: np.ndarray, gram_b: np.ndarray) -> float:
    """From the inner products of N samples in each representation, both (N, N); N is 4 or more.

    It is HSIC(a, b) / sqrt(HSIC(a, a) HSIC(b, b)) with the unbiased estimator of HSIC, so that
    independent representations have about 0 for any number of features, and may be below it. It is
    1 for representations that are equal but for rotation, scale and shift. NaN if in either of them
    all pairs of samples are equally alike.
    Source: Nguyen et al. 2021, arXiv:2010.15327, equations 2 and 3.
    """
    a, b = (_without_diagonal(gram) for gram in (gram_a, gram_b))
    squares = _hsic(a, a) * _hsic(b, b)
    return _hsic(a, b) / squares**0.5 if squares > 0 else float("nan")


def _without_diagonal(gram: np.ndarray) -> np.ndarray:
    matrix = np.array(gram, np.float64)
    np.fill_diagonal(matrix, 0)
    return matrix


def _hsic(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased, of symmetric matrices without diagonals. Source: Song et al. 2012, JMLR 13."""
    n = len(a)
    rows_a, rows_b = a.sum(0), b.sum(0)
    products = (a * b).sum()
    means = rows_a.sum() * rows_b.sum() / ((n - 1) * (n - 2))
    return float((products + means - 2 / (n - 2) * (rows_a @ rows_b)) / (n * (n - 3)))


def cka_matrix(grams: np.ndarray) -> np.ndarray:
    """`unbiased_cka` of each of K matrices, (K, N, N), with each: (K, K).

    The unbiased estimator is an inner product of matrices whose rows and columns add up to 0
    without their diagonals, so that all pairs are one product.
    Source: Szekely & Rizzo 2014, arXiv:1310.2926, definition 2 and proposition 1.
    """
    centred = np.array([_centred(_without_diagonal(gram)).ravel() for gram in grams])
    products = centred @ centred.T
    squares = np.diag(products)
    lengths = np.sqrt(np.where(squares > 0, squares, np.nan))
    return products / np.outer(lengths, lengths)


def _centred(a: np.ndarray) -> np.ndarray:
    n, rows = len(a), a.sum(0)
    centred = a - (rows[:, None] + rows) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    return _without_diagonal(centred)
