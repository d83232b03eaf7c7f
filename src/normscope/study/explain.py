"""Where the networks of an experiment looked on the pictures that its report shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from normscope.errors import RunError, UsageError
from normscope.experiment import HeatMaps, Result
from normscope.experiment.heat_maps import METHODS
from normscope.files import user_path
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.study.opening import TRAINED_ON, load_for_folder, pictures_shown, reporting
from normscope.study.stored import check_seed, results_stored, results_with_weights
from normscope.training.attribution import check_captum
from normscope.training.trained import look_with_trained
from normscope.words import counted


@dataclass(frozen=True)
class Explained:
    """The folder's comparison, and the heat maps that it now holds."""

    comparison: Comparison
    heat_maps: HeatMaps


def explain(
    folder: Path | str,
    method: str = "grad-cam",
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    seed: int | None = None,
    observer: Observer | None = None,
) -> Explained:
    """Make heat maps of the pictures in a folder's report, keep them there, and write the report.

    `method` is "grad-cam" or "occlusion". The maps are those of the class that each network
    predicted, from the stored weights of the trials of one seed (default: the first of those that
    have the most norms). Nothing is trained; captum is needed. Raises `UsageError` if the folder
    holds no experiment, or for an unknown method or seed; `RunError` if captum, weights or pictures
    are missing.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    check_captum()
    folder, observer = user_path(folder), observer or Observer()
    if Store.exists(folder) and Store(folder).experiment.folds:
        raise UsageError(
            f"{folder} is cross-validated: its networks have trained on most pictures of its "
            "report, so that where they look on these says nothing"
        )
    checked, dataset = load_for_folder(folder, data_dir, device, observer)
    with reporting(folder, observer) as store:
        store.check_data(dataset.facts(), dataset.test_labels, results_stored(store), TRAINED_ON)
        seed, trained = _of_seed(_with_weights(store), seed, folder)
        indexes = np.array(sorted(pictures_shown(store)), dtype=np.int64)
        if not len(indexes):
            raise RunError(f"the report of {folder} shows no picture, so none can be explained")
        norms = {}
        for norm, result in trained.items():
            weights, (predictions,) = store.weights(result.trial), store.predictions([result])
            assert weights is not None  # or it would not have been chosen
            assert predictions is not None
            classes = predictions.classes[indexes]
            norms[norm] = look_with_trained(
                result.trial, dataset, checked.machine.device, weights, method, indexes, classes
            )
            observer.noticed(f"{result.trial.id}: {counted(len(indexes), 'picture')}.")
        heat_maps = HeatMaps(method, seed, indexes, norms)
        store.add_pictures(dataset.test_images, indexes.tolist())
        store.keep_heat_maps(heat_maps)
        comparison = Comparison.of(store)
        comparison.report()
    return Explained(comparison, heat_maps)


def _with_weights(store: Store) -> dict[int, dict[str, Result]]:
    """The results whose weights are there, by seed and norm."""
    found: dict[int, dict[str, Result]] = {}
    for result in results_with_weights(store):
        found.setdefault(result.trial.seed, {})[result.trial.norm] = result
    return found


def _of_seed(
    found: Mapping[int, Mapping[str, Result]], seed: int | None, folder: Path
) -> tuple[int, Mapping[str, Result]]:
    if not found:
        raise RunError(
            f"{folder} holds no weights of a network that finished its training, so there is "
            "nothing to explain; normscope compare leaves them in trials/"
        )
    if seed is None:
        seed = max(found, key=lambda each: (len(found[each]), -each))
    check_seed(seed, found, "weights")
    return seed, found[seed]
