"""What networks said of each test image, as one long table."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from normscope.errors import UsageError
from normscope.experiment import Predictions, Result
from normscope.experiment.folds import fold_index, images_tested

MOST_ROWS = 100_000_000  # which take 2.3 GB, with up to 127 classes


def prediction_table(
    results: Sequence[Result],
    predictions: Iterable[Predictions | None],
    labels: np.ndarray,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """One row per trial and test image; the columns are those of `Comparison.predictions`.

    `results` are of trials that were trained to the end, and `predictions` theirs, which are taken
    one after the other and not held. `labels`: int64, the true classes of all test images; of
    folds, of all images. Raises `UsageError` if there would be more than `MOST_ROWS` rows.
    """
    trials = [result.trial for result in results]
    counts = [images_tested(trial, len(labels)) for trial in trials]
    rows = sum(counts)
    if rows > MOST_ROWS:
        raise UsageError(
            f"the predictions of {len(trials):,} trials are {rows:,} rows, more than "
            f"{MOST_ROWS:,}; name a norm or a seed to have those of fewer trials"
        )
    image, predicted = np.empty(rows, np.int32), np.empty(rows, np.int16)
    confidence, end = np.empty(rows, np.float32), 0
    for trial, count, found in zip(trials, counts, predictions, strict=True):
        if found is None:  # damaged, of which an error tells after the last
            continue
        own = slice(end, end := end + count)
        image[own], predicted[own] = fold_index(trial, labels), found.classes
        confidence[own] = found.confidences()
    norms = list(dict.fromkeys(trial.norm for trial in trials))
    places = np.array([norms.index(trial.norm) for trial in trials], np.int16)
    sizes = np.array([trial.recipe.batch_size for trial in trials], np.int32)
    seeds = np.array([trial.seed for trial in trials], np.int64)
    return pd.DataFrame(
        {
            "norm": pd.Categorical.from_codes(np.repeat(places, counts), norms),
            "batch_size": np.repeat(sizes, counts),
            "seed": np.repeat(seeds, counts),
            "image": image,
            "label": pd.Categorical.from_codes(labels[image].astype(np.int16), class_names),
            "predicted": pd.Categorical.from_codes(predicted, class_names),
            "confidence": confidence,
        },
        copy=False,
    )
