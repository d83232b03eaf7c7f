"""What the networks of an experiment's winner say of images from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from normscope.data.own.problems import KINDS
from normscope.data.own.reading import Unusable, read
from normscope.errors import UsageError
from normscope.files import user_path
from normscope.observers import Observer
from normscope.study.trained import classifier_of, data_of, is_scale_kept, opened
from normscope.study.winner import winner_in
from normscope.words import counted

TOP = 3  # classes of an image


@dataclass(frozen=True)
class PredictedImage:
    """The likeliest classes of an image with their probabilities, the mean over the seeds.

    `agreeing` is how many seeds have the first of them as their own likeliest class.
    """

    image: Path
    top: tuple[tuple[str, float], ...]
    agreeing: int


@dataclass(frozen=True)
class Predicted:
    """What the networks of a `norm` say of images; `why` says why it is that norm, if not asked."""

    norm: str
    why: str
    seeds: tuple[int, ...]
    images: tuple[PredictedImage, ...]


def predict(
    folder: Path | str,
    images: Sequence[Path | str] | Path | str,
    norm: str | None = None,
    *,
    data_dir: Path | str | None = None,
    observer: Observer | None = None,
) -> Predicted:
    """Classify image files, or one, with all networks of a norm whose weights a folder holds.

    `norm` is by default the one that is recommended; see `winner_in`. An image is decoded as images
    of a user's own are, cut to the square in its middle and resized to the size of the
    experiment's. `data_dir` is where its data set is: that is read for the mean and the deviation
    of the pixels alone, where the folder does not say them.

    Raises `UsageError` if the folder holds no experiment or not that norm, or an image cannot be
    read, and `RunError` if weights are not there or damaged.
    """
    store = opened(folder)
    winner = winner_in(store, norm)
    facts = store.facts()
    named = [images] if isinstance(images, (str, Path)) else images
    paths = [user_path(image) for image in named]
    pixels = _pixels(paths, facts.image_shape[0])
    dataset = None if is_scale_kept(store) else data_of(store, data_dir, observer)
    answers = []
    for result in winner.results:
        scale = facts if dataset is None else dataset.of(result.trial)
        answers.append(classifier_of(store, result, scale).answers(pixels))
    answers = np.stack(answers)  # seeds, images, classes
    mean = answers.mean(axis=0, dtype=np.float64)
    order = np.argsort(-mean, axis=1, kind="stable")[:, :TOP]
    agreeing = (answers.argmax(axis=2) == order[:, 0]).sum(axis=0)
    return Predicted(
        winner.norm,
        winner.why,
        tuple(result.trial.seed for result in winner.results),
        tuple(
            PredictedImage(path, tuple((facts.class_names[k], float(own[k])) for k in best), int(n))
            for path, own, best, n in zip(paths, mean, order, agreeing, strict=True)
        ),
    )


def _pixels(paths: Sequence[Path], size: int) -> np.ndarray:
    """Image files as uint8 (N, size, size, 3); raises `UsageError` that names the unreadable."""
    found, faults = [], []
    for path in paths:
        try:
            found.append(read(path, size).pixels)
        except Unusable as error:
            detail = f" ({error.detail})" if error.detail else ""
            faults.append(f"{path}: {KINDS[error.kind].title}{detail}")
    if faults:
        others = f"; nor can {counted(len(faults) - 1, 'other')}" if len(faults) > 1 else ""
        raise UsageError(f"{faults[0]}; it cannot be classified{others}")
    if not found:
        raise UsageError("name one or more files of images")
    return np.stack(found)
