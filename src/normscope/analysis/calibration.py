"""How sure the networks of each norm are, and how often they are right."""

from collections.abc import Sequence

import numpy as np

from normscope.experiment import Result
from normscope.stats import Reliability, reliability


def reliability_of(
    results: Sequence[Result], norms: Sequence[str], test_labels: np.ndarray
) -> dict[str, Reliability]:
    """Of the test images of all finished trials of a norm together, for each norm that has one.

    `test_labels`: int64, shape (N_test,).
    """
    found = {}
    for norm in norms:
        own = [
            result.predictions
            for result in results
            if result.trial.norm == norm and result.status == "finished" and result.predictions
        ]
        if own:
            confidences = np.concatenate([each.confidences() for each in own])
            correct = np.concatenate([each.classes == test_labels for each in own])
            found[norm] = reliability(confidences, correct)
    return found
