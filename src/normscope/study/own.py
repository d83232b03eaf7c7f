"""What is the user's own in an experiment: norms, a network, images; told apart by their source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normscope.data import DATASETS
from normscope.errors import UsageError
from normscope.experiment import Experiment, Source, Trial
from normscope.files import user_path
from normscope.models import MODELS
from normscope.norms import NORMS, asked, means_another, parse, renamed
from normscope.norms.own import REGISTERED, own_norms
from normscope.observers import Observer
from normscope.own import OwnCode, at, find, is_home
from normscope.store.folder import ExperimentFolder
from normscope.store.header import Header

if TYPE_CHECKING:
    from normscope.data.own import OwnImages


# Images of the user's own that were read in this process, by the name that they have in `DATASETS`.
OPENED: "dict[str, OwnImages]" = {}


@dataclass(frozen=True)
class Knowing:
    """Does its `work` where a user's norms and networks are in the tables, in whatever process.

    Of these another process knows nothing by itself.
    """

    norms: Mapping[str, OwnCode]
    models: Mapping[str, OwnCode]
    work: Callable

    @classmethod
    def of(cls, trials: Sequence[Trial], work: Callable) -> "Knowing":
        """What the trials need."""
        models = {trial.model: MODELS[trial.model] for trial in trials}
        return cls(
            own_norms([parse(trial.norm).name for trial in trials]),
            {name: model for name, model in models.items() if isinstance(model, OwnCode)},
            work,
        )

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        NORMS.update(self.norms)
        MODELS.update(self.models)
        return self.work(*arguments, **options)


def with_own_model(experiment: Experiment) -> Experiment:
    """The experiment with its user's network by name: ``net.build`` for ``net.py:build``.

    Raises `UsageError` if the network cannot be found.
    """
    if not is_home(experiment.model):
        return experiment
    code = find(experiment.model)
    source = Source(home=code.home, fingerprint=code.fingerprint)
    name = f"{code.module.rpartition('.')[2]}.{code.attribute}"
    MODELS[name] = code
    return experiment.model_copy(update={"model": name, "model_source": source})


def know_model(experiment: Experiment, folder: Path) -> None:
    """Put the user's network that an experiment was trained with into the table `MODELS`.

    Raises `UsageError` if its source is not here any more.
    """
    source, known = experiment.model_source, MODELS.get(experiment.model)
    if source is None or (isinstance(known, OwnCode) and known.fingerprint == source.fingerprint):
        return
    MODELS[experiment.model] = _kept(folder, source)


def with_own_images(
    experiment: Experiment, data_dir: Path | None = None, observer: Observer | None = None
) -> Experiment:
    """The experiment with its user's images by name, checked and read: ``photos`` for a folder.

    Images that it was made with before are looked for where they were then, or in `data_dir`.
    Raises `UsageError` if there are none, or others than then; `RunError` if they cannot be read.
    """
    known = OPENED.get(experiment.dataset)
    source = experiment.images
    if source is None and (experiment.dataset in DATASETS or not _is_place(experiment.dataset)):
        _no_options_of_images(experiment)
        return experiment
    if source is not None and known is not None and known.key == source.fingerprint:
        return experiment
    where = experiment.dataset if source is None else str(data_dir or source.home)
    if source is not None and not user_path(where).exists():
        raise UsageError(
            f"the images of {experiment.dataset} are not at {where}; say with --data-dir where "
            "they are"
        )
    from normscope.data.own import open_images  # slow to import

    found = open_images(
        where,
        image_size=experiment.image_size,
        skip_bad=experiment.skip_bad,
        progress=observer.images_read if observer else None,
    )
    if source is not None and found.key != source.fingerprint:
        raise UsageError(
            f"{where} holds other images than {experiment.dataset} was made of, or fewer or more; "
            "put those back, or begin another experiment"
        )
    name = experiment.dataset if source is not None else _name_of_images(found.name)
    OPENED[name], DATASETS[name] = found, found.source
    source = source or Source(home=found.home, fingerprint=found.key)
    return experiment.model_copy(update={"dataset": name, "images": source})


def _name_of_images(name: str) -> str:
    """A name that no data set has which is not of the user's own."""
    return name if name in OPENED or name not in DATASETS else f"{name}-images"


def _is_place(dataset: str) -> bool:
    """Whether the name of a data set says where images are."""
    return any(sign in dataset for sign in "/\\~.") or Path(dataset).exists()


def _no_options_of_images(experiment: Experiment) -> None:
    for option in ("image_size", "skip_bad"):
        if getattr(experiment, option):
            raise UsageError(
                f"--{option.replace('_', '-')} is for images of your own, and {experiment.dataset} "
                "is none; name their folder with --dataset"
            )


def named(
    experiment: Experiment, data_dir: Path | None = None, observer: Observer | None = None
) -> Experiment:
    """The experiment with the user's network and images by name; see those two."""
    return with_own_images(with_own_model(experiment), data_dir, observer)


def notices_on_images(experiment: Experiment) -> tuple[str, ...]:
    """How the user's images were read, and what is doubtful about them."""
    found = OPENED.get(experiment.dataset)
    if found is None:
        return ()
    dealt = ()
    if experiment.folds:
        every = found.source.train_size + found.source.test_size
        dealt = (f"All {every:,} images are dealt out into {experiment.folds} folds.",)
    return (*found.findings.said(), *dealt, *found.findings.doubts())


def known_model(written: str) -> str:
    """The name under which the table has a network, which is found first if it is a user's own."""
    return with_own_model(Experiment(model=written)).model


def with_own_norms(
    experiment: Experiment, folder: Path, kept: Header | None
) -> tuple[Experiment, list[str]]:
    """The experiment with its user's norms by name, in which the table has them; and notices.

    ``layers.py:MyNorm`` is called MyNorm from here on. In a folder that has another MyNorm already,
    because the file was edited since, it is called MyNorm-2, and the old one stays what it was.
    Raises `UsageError` if a norm cannot be found.
    """
    known = dict(kept.experiment.sources) if kept else {}
    for own, source in known.items():  # the table may have one of another folder by that name
        NORMS[own] = _kept(folder, source)
    names, sources, notices = [], {}, []
    for written in experiment.norms:
        name = parse(written).name
        norm = find(name) if _is_own_home(name) else REGISTERED.get(name)
        if norm is None:
            names.append(written)
            continue
        source = Source(home=norm.home, fingerprint=norm.fingerprint)
        own = _name(norm, name, {**known, **sources}, source)
        if own not in known and (before := [n for n, s in known.items() if s.home == norm.home]):
            notices.append(
                f"{norm.home} has been edited since {before[-1]} was trained: it is {own} now."
            )
        NORMS[own], sources[own] = norm, source
        names.append(renamed(written, own))
    if not sources:
        return experiment, notices
    update = {"norms": tuple(names), "sources": sources}
    return experiment.model_copy(update=update), notices


def known_norm(written: str) -> str:
    """The name under which the table has a norm, which is found first if it is a user's own.

    Raises `UsageError` if there is no such norm.
    """
    experiment, _ = with_own_norms(Experiment(norms=(written,)), Path(), None)
    asked(experiment.norms[0])
    return experiment.norms[0]


def _name(norm: OwnCode, asked: str, known: dict[str, Source], source: Source) -> str:
    """The name that the source has already, or the first that is free."""
    for name, other in known.items():
        if other == source:
            return name
    plain = norm.attribute if _is_own_home(asked) else asked
    # One of another folder gives its name away; those of the package and of a script do not.
    names = [plain, *(f"{plain}-{i}" for i in range(2, len(known) + len(NORMS) + 3))]
    free = (n for n in names if _is_free(n) or REGISTERED.get(n) == norm)
    return next(n for n in free if n not in known)


def _is_own_home(name: str) -> bool:
    """Whether a norm is named by where it is, and not by its name in the table."""
    return name not in NORMS and is_home(name)


def _is_free(name: str) -> bool:
    entry = NORMS.get(name)
    known = name in REGISTERED or means_another(name)
    return not known and (entry is None or isinstance(entry, OwnCode))


def _kept(folder: Path, source: Source) -> OwnCode:
    """What the folder has and nobody named now: from the copy that is kept of its source."""
    copied = ExperimentFolder(folder).source(source.fingerprint)
    if copied.is_dir():
        return at(copied, source.home, source.fingerprint)
    norm = find(source.home)
    if norm.fingerprint != source.fingerprint:
        raise UsageError(
            f"{folder} holds trials of {source.home} in {source.fingerprint}; here it is "
            f"{norm.fingerprint}: install that one, or choose another folder with --out"
        )
    return norm


def sources_of(experiment: Experiment) -> dict[str, dict[str, bytes]]:
    """The files of what is the user's own, by fingerprint and by name, for the folder to keep."""
    used = [*map(NORMS.get, experiment.sources), MODELS.get(experiment.model)]
    codes = [code for code in used if isinstance(code, OwnCode) and code.files]
    return {code.fingerprint: code.content() for code in codes}
