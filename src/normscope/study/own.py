"""Norms of a user's own in an experiment: their names, told apart by their source."""

from pathlib import Path

from normscope.errors import UsageError
from normscope.experiment import Experiment, Source
from normscope.norms import NORMS, asked, means_another, parse, renamed
from normscope.norms.own import REGISTERED, OwnNorm, at, find, is_home
from normscope.store.folder import ExperimentFolder
from normscope.store.header import Header


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
        norm = find(name) if is_home(name) else REGISTERED.get(name)
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


def _name(norm: OwnNorm, asked: str, known: dict[str, Source], source: Source) -> str:
    """The name that the source has already, or the first that is free."""
    for name, other in known.items():
        if other == source:
            return name
    plain = norm.attribute if is_home(asked) else asked
    # One of another folder gives its name away; those of the package and of a script do not.
    names = [plain, *(f"{plain}-{i}" for i in range(2, len(known) + len(NORMS) + 3))]
    free = (n for n in names if _is_free(n) or REGISTERED.get(n) == norm)
    return next(n for n in free if n not in known)


def _is_free(name: str) -> bool:
    entry = NORMS.get(name)
    known = name in REGISTERED or means_another(name)
    return not known and (entry is None or isinstance(entry, OwnNorm))


def _kept(folder: Path, source: Source) -> OwnNorm:
    """A norm that the folder has and nobody named now: from the copy that is kept of its source."""
    copied = ExperimentFolder(folder).source(source.fingerprint)
    if copied.is_dir():
        return at(copied, source.home, source.fingerprint)
    norm = find(source.home)
    if norm.fingerprint != source.fingerprint:
        raise UsageError(
            f"{folder} holds a norm of {source.home} in {source.fingerprint}; here it is "
            f"{norm.fingerprint}: install that one, or choose another folder with --out"
        )
    return norm


def sources_of(experiment: Experiment) -> dict[str, dict[str, bytes]]:
    """The files of each user's norm, by fingerprint and by name, for the folder to keep."""
    norms = [norm for name in experiment.sources if isinstance(norm := NORMS.get(name), OwnNorm)]
    return {
        norm.fingerprint: {file: (norm.root / file).read_bytes() for file in norm.files}
        for norm in norms
        if norm.files
    }
