"""Images of a user's own in an experiment: found, checked, read, told apart by their content."""

from pathlib import Path
from typing import TYPE_CHECKING

from normscope.data import DATASETS
from normscope.data.places import FOLDERS, folder_of
from normscope.errors import UsageError
from normscope.experiment import Experiment, Source
from normscope.files import user_path
from normscope.observers import Observer
from normscope.study.own import with_own_model
from normscope.words import visible

if TYPE_CHECKING:
    from normscope.data.own import OwnImages

# What was read in this process, by the name that it has in `DATASETS`.
OPENED: "dict[str, OwnImages]" = {}


def named(
    experiment: Experiment, data_dir: Path | None = None, observer: Observer | None = None
) -> Experiment:
    """The experiment with its user's network and images by name; see `with_own_images`."""
    return with_own_images(with_own_model(experiment), data_dir, observer)


def with_own_images(
    experiment: Experiment, data_dir: Path | None = None, observer: Observer | None = None
) -> Experiment:
    """The experiment with its user's images by name, checked and read: ``photos`` for a folder.

    Images that it was made with before are looked for where they were then, or in `data_dir`.
    Raises `UsageError` if there are none, or others than then; `RunError` if they cannot be read.
    """
    source, name = experiment.images, experiment.dataset
    if source is not None and name in OPENED and OPENED[name].key == source.fingerprint:
        return experiment
    place = _place_of(experiment, data_dir)
    if place is None:
        _no_options_of_images(experiment)
        return experiment
    from normscope.data.own import open_images  # slow to import

    found = open_images(
        place,
        image_size=experiment.image_size,
        skip_bad=experiment.skip_bad,
        progress=observer.images_read if observer else None,
    )
    if source is None:
        source = Source(home=name, fingerprint=found.key)
        name = name if name in FOLDERS else _free_name(visible(found.name))
    elif found.key != source.fingerprint:
        raise UsageError(
            f"{place} holds other images than {name} was made of, or fewer or more; put those "
            "back, or begin another experiment"
        )
    OPENED[name], DATASETS[name] = found, found.source
    return experiment.model_copy(update={"dataset": name, "images": source})


def under_kept_name(experiment: Experiment, kept: Experiment) -> Experiment:
    """The experiment with the name that a folder has for the same images, if it has another."""
    images, name = experiment.images, kept.dataset
    if images is None or kept.images is None or images.fingerprint != kept.images.fingerprint:
        return experiment
    found = OPENED[experiment.dataset]
    OPENED[name], DATASETS[name] = found, found.source
    return experiment.model_copy(update={"dataset": name})


def _place_of(experiment: Experiment, data_dir: Path | None) -> str | None:
    """Where the user's images are; None if the data set is none of the user's own."""
    source = experiment.images
    home = source.home if source else experiment.dataset
    if home in FOLDERS:
        return str(folder_of(home, data_dir))
    if source is None:
        packaged = home in DATASETS and home not in OPENED
        return None if packaged or not _is_place(home) else home
    place = str(data_dir or home)
    if not user_path(place).exists():
        raise UsageError(
            f"the images of {experiment.dataset} are not at {place}; say with --data-dir where "
            "they are"
        )
    return place


def _is_place(dataset: str) -> bool:
    """Whether the name of a data set says where images are."""
    return any(sign in dataset for sign in "/\\~.") or Path(dataset).exists()


def _free_name(name: str) -> str:
    """A name that no data set has which is not of the user's own."""
    taken = name in FOLDERS or (name in DATASETS and name not in OPENED)
    return f"{name}-images" if taken else name


def _no_options_of_images(experiment: Experiment) -> None:
    for option in ("image_size", "skip_bad"):
        if getattr(experiment, option):
            raise UsageError(
                f"--{option.replace('_', '-')} is for images of your own, and {experiment.dataset} "
                "is none; name their folder with --dataset"
            )


def notices_on_images(experiment: Experiment) -> tuple[str, ...]:
    """How the user's images were read, and what is doubtful about them."""
    found = OPENED.get(experiment.dataset)
    if found is None:
        return ()
    said = found.findings.said()
    if experiment.folds:
        said = [sentence for sentence in said if sentence not in found.findings.on_splits]
        said.append(
            f"All images are dealt out into {experiment.folds} folds; of images with the same "
            "pixels one is kept."
        )
    return (*said, *found.findings.doubts())
