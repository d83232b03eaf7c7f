"""Norms and networks of a user's own in an experiment: their names, told apart by their source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normscope.errors import UsageError
from normscope.experiment import Experiment, Source, Trial
from normscope.models import MODELS
from normscope.norms import NORMS, asked, means_another, parse, renamed
from normscope.norms.own import REGISTERED, own_norms
from normscope.own import OwnCode, at, brought, find, is_home, plain_name
from normscope.store.folder import ExperimentFolder
from normscope.store.header import Header


@dataclass(frozen=True)
class Knowing:
    """Does its `work` where a user's norms and networks are in the tables, in whatever process.

    Of these another process knows nothing by itself, and another machine has not even the files:
    `sources` are these, by fingerprint and by name.
    """

    norms: Mapping[str, OwnCode]
    models: Mapping[str, OwnCode]
    sources: Mapping[str, Mapping[str, bytes]]
    work: Callable

    @classmethod
    def of(cls, trials: Sequence[Trial], work: Callable) -> "Knowing":
        """What the trials need."""
        used = {trial.model: MODELS[trial.model] for trial in trials}
        models = {name: model for name, model in used.items() if isinstance(model, OwnCode)}
        norms = own_norms([parse(trial.norm).name for trial in trials])
        codes = (*norms.values(), *models.values())
        return cls(norms, models, {code.fingerprint: code.content() for code in codes}, work)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        for table, codes in ((NORMS, self.norms), (MODELS, self.models)):
            for name, code in codes.items():
                table[name] = brought(code, self.sources[code.fingerprint])
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
    MODELS[plain_name("network", name)] = code
    return experiment.model_copy(update={"model": name, "model_source": source})


def know_model(experiment: Experiment, folder: Path) -> None:
    """Put the user's network that an experiment was trained with into the table `MODELS`.

    Raises `UsageError` if its source is not here any more.
    """
    source, known = experiment.model_source, MODELS.get(experiment.model)
    if source is None or (isinstance(known, OwnCode) and known.fingerprint == source.fingerprint):
        return
    MODELS[experiment.model] = _kept(folder, source)


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
        names.append(plain_name("norm", renamed(written, own)))
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
