"""Ready experiments: the trials that a question takes, and a written finding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from normscope.analysis.why import ACROSS, READINGS, Reading
from normscope.errors import UsageError, lookup
from normscope.executors.ray import OnRay
from normscope.experiment import Design, Experiment, ProbePlan
from normscope.experiment.investigations import INVESTIGATIONS, WHOLE, Investigation
from normscope.files import user_path
from normscope.observers import Observer, usual_observer
from normscope.report.finding import write_finding
from normscope.store.folder import RUNS
from normscope.study.checks import Checked, check, check_types
from normscope.study.compare import carry_out
from normscope.study.comparison import Comparison
from normscope.study.own_images import named


@dataclass(frozen=True)
class Planned:
    """An investigation whose parts may be run; `folder` is for its finding, and holds theirs."""

    name: str
    investigation: Investigation
    folder: Path
    parts: Mapping[str, Checked]


@dataclass(frozen=True)
class Finding:
    """What an investigation came to, also in the file `path`.

    `across` is read from all parts together, `readings` from each of them, by its name. `unread`
    names the claims of which nothing can be said in any part.
    """

    question: str
    across: tuple[Reading, ...]
    readings: Mapping[str, tuple[Reading, ...]]
    unread: tuple[str, ...]
    path: Path
    comparisons: Mapping[str, Comparison]


def investigate(
    name: str,
    experiment: Experiment | None = None,
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: str | OnRay | None = None,
    observer: Observer | None = None,
    command: str | None = None,
    design: Design | None = None,
) -> Finding:
    """Train what is missing to answer one of the `INVESTIGATIONS`, and write down what was found.

    Of the `experiment` counts what is given; norms, seeds and batch sizes that are not are those of
    the investigation. The other arguments are those of `compare`, by which each part is run: into
    `out` (default: a folder in ``runs/``), or a folder for each part in it. What is there already
    is not trained again, so that several investigations may share a folder.

    Raises `UsageError` for an unknown name, and what `compare` raises.
    """
    observer = observer or usual_observer()
    planned = plan(
        name,
        experiment or Experiment(),
        out=out,
        data_dir=data_dir,
        device=device,
        workers=workers,
        executor=executor,
        design_of=lambda folder: design,
        observer=observer,
    )
    command = command or f"normscope.investigate({name!r}, {experiment!r})"
    return carry_on(planned, observer, command)


def plan(
    name: str,
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: str | OnRay | None = None,
    design_of: Callable[[Path], Design | None] = lambda folder: None,
    observer: Observer | None = None,
) -> Planned:
    """Check every part before any work; see `investigate`.

    `design_of` gives the design of the part in a folder; None for that which it was last asked for.
    """
    check_types(experiment)
    experiment = named(experiment, user_path(data_dir) if data_dir else None, observer)
    investigation = lookup(INVESTIGATIONS, "investigation", name)
    experiments = investigation.experiments(experiment)
    _check_sense(name, investigation, experiments)
    folder = folder_of(name, experiment, out)
    folders = {part: folder / part if part != WHOLE else folder for part in experiments}
    parts = {
        part: check(
            each,
            out=folders[part],
            data_dir=data_dir,
            device=device,
            workers=workers,
            executor=executor,
            design=design_of(folders[part]),
            probes=ProbePlan(investigation.probes, images=investigation.images),
        )
        for part, each in experiments.items()
    }
    return Planned(name, investigation, folder, parts)


def _check_sense(
    name: str, investigation: Investigation, experiments: Mapping[str, Experiment]
) -> None:
    """Raise `UsageError` if what was asked for leaves nothing to compare."""
    first = next(iter(experiments.values()))
    if len({each.recipe.model_dump_json() for each in experiments.values()}) < len(experiments):
        parts = " and ".join(experiments)
        raise UsageError(f"{name} compares {parts}, which are the same with this recipe")
    if investigation.batch_sizes and len(first.batch_sizes) < 2:
        raise UsageError(f"{name} compares batch sizes; name two or more in --batch-sizes")


def folder_of(name: str, experiment: Experiment, out: Path | str | None) -> Path:
    """Where an investigation is kept: `out`, or a folder named after it in ``runs/``."""
    return user_path(out) if out else RUNS / f"{name}-{experiment.slug}"


def carry_on(planned: Planned, observer: Observer, command: str) -> Finding:
    """Run every part, then read the claims and write the finding."""
    comparisons = {}
    for part, checked in planned.parts.items():
        if part != WHOLE:
            observer.noticed(f"Part: {part}.")
        comparisons[part] = carry_out(checked, observer, command)
    return conclude(planned, comparisons, command)


def conclude(planned: Planned, comparisons: Mapping[str, Comparison], command: str) -> Finding:
    """What the parts say, written down."""
    analyses = {part: comparison.analysis for part, comparison in comparisons.items()}
    investigation = planned.investigation
    read = {
        part: {claim: READINGS[claim](analysis) for claim in investigation.claims}
        for part, analysis in analyses.items()
    }
    read_across = {claim: ACROSS[claim](analyses) for claim in investigation.across}
    said = {claim for found in (read_across, *read.values()) for claim in found if found[claim]}
    unread = tuple(c for c in (*investigation.claims, *investigation.across) if c not in said)
    across = tuple(found for found in read_across.values() if found)
    by_part = {part: tuple(each for each in found.values() if each) for part, found in read.items()}
    path = write_finding(
        planned.folder / f"finding-{planned.name}.md",
        investigation.question,
        analyses,
        by_part,
        across,
        unread,
        investigation.figures,
        command,
    )
    return Finding(investigation.question, across, by_part, unread, path, comparisons)
