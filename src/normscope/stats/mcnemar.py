"""A test of two networks by the images that only one of them gets right."""

from scipy.stats import binom


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p value that two networks are right equally often on the same images.

    `only_a` and `only_b` count the images that only the first or only the second network gets
    right. This is the exact test: under the null, either count is binomial with probability 1/2.
    It is 1 if there are no such images. Source: McNemar 1947, doi 10.1007/BF02295996. It is about
    these two trained networks on new images; it says nothing of new seeds. It is valid for one look
    at a number of images that was fixed in advance.
    """
    smaller, count = min(only_a, only_b), only_a + only_b
    return min(1.0, 2 * float(binom.cdf(smaller, count, 0.5)))
