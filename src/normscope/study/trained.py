"""The networks that an experiment trained, made again from what its folder holds."""

from pathlib import Path

from torch import nn

from normscope.data import Dataset
from normscope.errors import UsageError
from normscope.experiment import DatasetFacts, Result
from normscope.files import user_path
from normscope.models.classifier import Classifier
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.checks import own_names
from normscope.study.opening import TRAINED_ON, experiment_in, load
from normscope.study.own import know_model, with_own_norms
from normscope.study.own_images import named
from normscope.study.stored import results_stored
from normscope.study.winner import of_seed, winner_in
from normscope.training.trained import network_trained


def load_model(folder: Path | str, norm: str | None = None, seed: int | None = None) -> nn.Module:
    """The trained network of one seed, on the CPU and in evaluation mode.

    It takes images x (N, 3, H, W), float32 pixels in [0, 1] less the mean, over the deviation, of
    the training images, and returns logits (N, classes). Mean and deviation are in the folder's
    dataset.json, but for cross-validated experiments and folders from before they were kept. `norm`
    is by default the one that `export` takes, `seed` the first whose weights are there; of several
    batch sizes it is the main one. Weights are read as data, so that no code in them is run; for a
    network or norm of the user's own the source that the folder keeps is run.

    Raises `UsageError` if the folder holds no experiment, or not that norm or seed, or not the
    source of a user's own, and `RunError` if the weights are not there or damaged.
    """
    store = opened(folder)
    return network_of(store, of_seed(winner_in(store, norm), seed))


def opened(folder: Path | str) -> Store:
    """A folder with all that its networks are made of: what is the user's own is in the tables."""
    folder = user_path(folder)
    experiment = experiment_in(folder)
    store = Store(folder)
    know_model(experiment, folder)
    with_own_norms(experiment, folder, store.header)
    return store


def network_of(store: Store, result: Result) -> nn.Module:
    """The network of a result whose weights are there, on the CPU and in evaluation mode."""
    trial = result.trial
    alone = store.experiment.model_copy(update={"norms": (trial.norm,)})
    if own := own_names(alone):
        raise UsageError(
            f"{own[0]} was defined in a script or notebook, whose source {store.folder} does not "
            "keep; write it to a file, and train it as my.py:MyNorm, to use its networks later"
        )
    weights = store.weights(trial)
    assert weights is not None  # or it would not have been chosen
    return network_trained(trial, store.facts(), weights)


def classifier_of(store: Store, result: Result, scale: Dataset | DatasetFacts) -> Classifier:
    """The network of a result, from pixels to probabilities.

    `scale` has its mean and deviation: what it was trained on, or the facts if `is_scale_kept`.
    """
    assert scale.mean is not None  # or the data set was asked
    assert scale.std is not None
    return Classifier(network_of(store, result), scale.mean, scale.std)


def is_scale_kept(store: Store) -> bool:
    """Whether the folder itself says by which mean and deviation images are normalized.

    Of folds it does not, each of which has its own, nor if it was written before that was kept.
    """
    return store.facts().mean is not None


def data_of(store: Store, data_dir: Path | str | None, observer: Observer | None) -> Dataset:
    """The images that an experiment was trained and tested on.

    Raises `UsageError` or `RunError` if they are not here, and `RunError` if they are others.
    """
    place, observer = user_path(data_dir) if data_dir else None, observer or Observer()
    dataset = load(named(store.experiment, place, observer), place, observer)
    store.check_data(dataset.facts(), dataset.test_labels, results_stored(store), TRAINED_ON)
    return dataset
