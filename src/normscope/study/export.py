"""A trained network of an experiment in a file that needs no normscope, checked on real images."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from normscope.data import Dataset
from normscope.errors import RunError, UsageError, lookup
from normscope.experiment import Result
from normscope.files import put, user_path, written
from normscope.models.classifier import Classifier, scaled
from normscope.models.exported import FORMATS, Format, program_of
from normscope.observers import Observer
from normscope.study.trained import classifier_of, data_of, opened
from normscope.study.winner import of_seed, winner_in
from normscope.version import __version__
from normscope.words import visible

TOLERANCE = 1e-5  # of a probability
IMAGES = 256  # test images, of which the file must answer as the network does


@dataclass(frozen=True)
class Exported:
    """A file, whose probabilities differ from the network's by `difference` at most.

    On the first `images` test images. `why` says why it is that norm, if it was not asked for.
    """

    path: Path
    norm: str
    seed: int
    why: str
    difference: float
    images: int


def export(
    folder: Path | str,
    norm: str | None = None,
    seed: int | None = None,
    *,
    format: str = "onnx",
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    observer: Observer | None = None,
) -> Exported:
    """Write a trained network of an experiment into a file that needs no normscope.

    `norm` is by default the one that is recommended; see `winner_in`. `seed` is the first whose
    weights are there. `format` is "onnx" or "torch", a program of `torch.export`. The file turns
    images (N, 3, H, W), float32 in [0, 1], into probabilities (N, classes); its metadata tell the
    names of the classes. `out` is by default ``bn-seed0.onnx`` or ``.pt2``, in the working folder:
    a file that is there is replaced only if `out` names it.

    Raises `UsageError` if the folder holds no experiment, or not that norm or seed, or the file has
    another suffix or is there; `RunError` if weights, the data set or a library are missing, or if
    the file would answer otherwise than the network, by more than `TOLERANCE`. Then nothing is
    written.
    """
    kind = lookup(FORMATS, "format", format)
    kind.check()
    if out and Path(out).suffix != kind.suffix:
        raise UsageError(f"{out}: the name of such a file ends in {kind.suffix}")
    store = opened(folder)
    winner = winner_in(store, norm)
    result = of_seed(winner, seed)
    path = user_path(out) if out else _unused(result.trial.id.rpartition("-")[0] + kind.suffix)
    part = data_of(store, data_dir, observer).of(result.trial)
    images = part.test_images[:IMAGES]
    classifier = classifier_of(store, result, part)
    expected = classifier.answers(images)
    content = _content(kind, classifier, part, result)
    difference = _difference(kind, content, scaled(images), expected)
    if not difference <= TOLERANCE:  # nor is no number
        raise RunError(
            f"the file would answer otherwise than the network of {result.trial.id}, by "
            f"{difference:.1e} in a probability, so it is not written"
        )
    with written(path, "choose another file with --out") as partial:
        put(partial, content)
    return Exported(path, winner.norm, result.trial.seed, winner.why, difference, len(images))


def _unused(name: str) -> Path:
    """A file that nobody named: it may be of another experiment, whose norm is called the same."""
    if Path(name).exists():
        raise UsageError(f"{name} is there already; name another file, or this one, with --out")
    return Path(name)


def _content(kind: Format, classifier: Classifier, part: Dataset, result: Result) -> bytes:
    metadata = _metadata(classifier, part, result)
    height, width, channels = part.test_images.shape[1:]
    try:
        return kind.content(program_of(classifier, (channels, height, width)), metadata)
    except Exception as error:  # whatever a network of the user's own makes of a program, or torch
        trial, reason = result.trial, str(error).strip().partition("\n")[0]
        raise RunError(
            f"{trial.model} with {trial.norm} cannot be exported ({type(error).__name__}: "
            f"{visible(reason)}); a forward pass takes the number of images from x.shape[0], not "
            "from len(x), and does not branch on values"
        ) from error


def _metadata(classifier: Classifier, part: Dataset, result: Result) -> dict[str, str]:
    """What is told of a file inside of it; whatever is no text as JSON."""
    trial = result.trial
    values = {
        "class_names": part.class_names,
        "model": trial.model,
        "norm": trial.norm,
        "seed": trial.seed,
        "trial": trial.id,
        "data_set": trial.dataset,
        "image_size": part.test_images.shape[1],
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
        "normscope": __version__,
        "torch": torch.__version__,
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _difference(kind: Format, content: bytes, images: np.ndarray, expected: np.ndarray) -> float:
    """The largest between probabilities; the first image is answered by itself, too."""
    found = [kind.answers(content, some) for some in (images[:1], images)]
    pairs = zip(found, (expected[:1], expected), strict=True)
    return float(np.max([np.abs(one - other).max() for one, other in pairs]))  # keeps a NaN
