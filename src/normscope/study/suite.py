"""One verdict over several settings: an experiment in each of them, then all of them together."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from normscope.analysis.across import Across, across_settings, method_across
from normscope.errors import UsageError
from normscope.executors.ray import OnRay
from normscope.experiment import Design, Experiment, Source
from normscope.experiment.suite import Setting
from normscope.files import user_path
from normscope.observers import Observer, usual_observer
from normscope.report.suite import write_suite
from normscope.store.folder import RUNS
from normscope.study.checks import Checked, check, check_baseline, check_types
from normscope.study.compare import carry_out
from normscope.study.comparison import Comparison, EveryTrialFailed
from normscope.study.own_images import named


@dataclass(frozen=True)
class PlannedSuite:
    """Settings that may be run, by name; `folder` is for the verdict, and holds their folders."""

    folder: Path
    settings: Mapping[str, Checked]

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms, the baseline first: the same in all settings."""
        return next(iter(self.settings.values())).asked.norms


@dataclass(frozen=True)
class Suite:
    """What several settings came to, also in the file `path`.

    `across`: of every norm but the baseline its verdict in each setting, and over all of them.
    `method` says how the latter was reached.
    """

    across: tuple[Across, ...]
    method: str
    path: Path
    comparisons: Mapping[str, Comparison]


def suite(
    settings: Sequence[Experiment | Setting],
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: str | OnRay | None = None,
    observer: Observer | None = None,
    command: str | None = None,
    design: Design | None = None,
) -> Suite:
    """Compare the same norms in several settings, and say what holds over all of them.

    `settings` are experiments with the same norms, each with a data set or a network of its own; a
    `Setting` gives one another name than ``DATASET-MODEL``. The other arguments are those of
    `compare`, by which each is run, into the folder of its name in `out` (default: one in
    ``runs/``). What is there already is not trained again.

    Everything is checked before anything is trained. Raises `UsageError` for settings that cannot
    be told apart or differ in their norms, and for a design until decided; and what `compare`
    raises, but for `EveryTrialFailed`: then the other settings are run all the same.
    """
    observer = observer or usual_observer()
    planned = plan(
        settings,
        out=out,
        data_dir=data_dir,
        device=device,
        workers=workers,
        executor=executor,
        design_of=lambda folder: design,
        observer=observer,
    )
    return carry_on(planned, observer, command or f"normscope.suite({settings!r})")


def plan(
    settings: Sequence[Experiment | Setting],
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: str | OnRay | None = None,
    design_of: Callable[[Path], Design | None] = lambda folder: None,
    observer: Observer | None = None,
) -> PlannedSuite:
    """Check every setting before any work; see `suite`.

    `design_of` gives the design of the setting in a folder; None for that which it was last asked
    for.
    """
    given = [each if isinstance(each, Setting) else Setting(each) for each in settings]
    experiments: dict[str, Experiment] = {}
    for setting in given:
        check_types(setting.experiment)
        data = user_path(data_dir) if data_dir else None
        experiment = named(setting.experiment, data, observer)
        experiments[_free_name(setting, experiment, experiments)] = experiment
    _check_sense(experiments)
    folder = user_path(out) if out else default_folder(experiments)
    checked = {
        name: check(
            experiment,
            out=folder / name,
            data_dir=data_dir,
            device=device,
            workers=workers,
            executor=executor,
            design=design_of(folder / name),
            observer=observer,
        )
        for name, experiment in experiments.items()
    }
    _check_alike(checked)
    return PlannedSuite(folder, checked)


def _free_name(setting: Setting, experiment: Experiment, taken: Mapping[str, Experiment]) -> str:
    """The name of a setting's folder; raises `UsageError` if it is taken, or none for a folder."""
    name = setting.name or f"{experiment.dataset}-{experiment.model}"
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UsageError(f"the setting {name!r} has no name for a folder: use letters and digits")
    if name in taken:
        raise UsageError(
            f"two settings are called {name}; give one of them another name (name = ... in the "
            "suite file)"
        )
    return name


def _check_sense(experiments: Mapping[str, Experiment]) -> None:
    """Raise `UsageError` if there is nothing to compare, or two things go by one name."""
    if not experiments:
        raise UsageError("a suite needs a setting; name data sets, models or a suite file")
    if any(len(each.norms) < 2 for each in experiments.values()):
        raise UsageError("one norm leaves nothing to compare; name two or more in --norms")
    _check_one_meaning([(each.dataset, each.images) for each in experiments.values()])
    _check_one_meaning([(each.model, each.model_source) for each in experiments.values()])


def _check_one_meaning(sources: Sequence[tuple[str, Source | None]]) -> None:
    """Raise `UsageError` if a name is that of two sources: the tables have room for one of them."""
    fingerprints = [(name, source and source.fingerprint) for name, source in sources]
    known = dict(fingerprints)
    for name, fingerprint in fingerprints:
        if fingerprint != known[name]:
            raise UsageError(
                f"two settings call different things {name}; rename one, or run two suites"
            )


def _check_alike(checked: Mapping[str, Checked]) -> None:
    """Raise `UsageError` if settings cannot be taken together."""
    for each in checked.values():
        check_baseline(each.folder, each.asked.baseline)
    (first, one), *others = checked.items()
    for name, other in others:
        if other.asked.norms != one.asked.norms:
            both = ", ".join(one.asked.norms), ", ".join(other.asked.norms)
            raise UsageError(
                f"{first} compares {both[0]}, and {name} {both[1]}; a suite compares the same "
                "norms in all settings"
            )
        for rule, option in (("alpha", "--alpha"), ("margin_points", "--margin")):
            mine, its = getattr(one.design, rule), getattr(other.design, rule)
            if mine != its:
                raise UsageError(
                    f"{first} was asked for with {option} {mine:g}, and {name} with {its:g}; say "
                    f"which one is for all with {option}"
                )
    if any(each.design.until_decided for each in checked.values()):
        raise UsageError(
            "a suite takes a fixed number of seeds, since the verdict over all settings is for one "
            "look; leave out --until-decided, and choose the number with --seeds"
        )


def default_folder(experiments: Mapping[str, Experiment]) -> Path:
    """``runs/suite-cifar10-s8+resnet20``: all data sets, and all networks."""
    parts = [
        "+".join(dict.fromkeys(values))
        for values in zip(*((e.dataset, e.model) for e in experiments.values()), strict=True)
    ]
    return RUNS / "-".join(["suite", *parts])


def carry_on(planned: PlannedSuite, observer: Observer, command: str) -> Suite:
    """Run every setting, then say what holds over all of them, and write it down."""
    comparisons = {}
    for name, checked in planned.settings.items():
        observer.noticed(f"Setting: {name}.")
        try:
            comparisons[name] = carry_out(checked, observer, command)
        except EveryTrialFailed as failure:  # the others are not lost for it
            comparisons[name] = failure.comparison
    analyses = {name: comparison.analysis for name, comparison in comparisons.items()}
    across = across_settings(analyses, planned.norms)
    path = write_suite(planned.folder, across, analyses, command)
    return Suite(across, method_across(across), path, comparisons)
