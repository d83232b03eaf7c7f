"""Ready experiments: the trials that a question takes, and a written finding."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from normscope.analysis.why import ACROSS, READINGS, Reading
from normscope.errors import lookup
from normscope.experiment import Design, Experiment, ProbePlan
from normscope.experiment.investigations import INVESTIGATIONS, WHOLE, Investigation
from normscope.files import user_path
from normscope.observers import Observer, PlainLines
from normscope.report.finding import write_finding
from normscope.store.folder import RUNS
from normscope.study.checks import Checked, check, check_types
from normscope.study.compare import carry_out
from normscope.study.comparison import Comparison


@dataclass(frozen=True)
class Planned:
    """An investigation whose parts may be run; `folder` is for its finding, and holds theirs."""

    name: str
    investigation: Investigation
    folder: Path
    parts: Mapping[str, Checked]


@dataclass(frozen=True)
class Finding:
    """What an investigation came to: its `readings`, also in the file `path`, and its parts.

    `unread` names the claims of which nothing can be said, because what they need was not measured.
    """

    question: str
    readings: tuple[Reading, ...]
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
    planned = plan(
        name,
        experiment or Experiment(),
        out=out,
        data_dir=data_dir,
        device=device,
        workers=workers,
        design=design,
    )
    command = command or f"normscope.investigate({name!r}, {experiment!r})"
    return carry_on(planned, observer or PlainLines(), command)


def plan(
    name: str,
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    design: Design | None = None,
) -> Planned:
    """Check every part before any work; see `investigate`."""
    check_types(experiment)
    investigation = lookup(INVESTIGATIONS, "investigation", name)
    experiments = investigation.experiments(experiment)
    folder = folder_of(name, experiment, out)
    parts = {
        part: check(
            each,
            out=folder / part if part != WHOLE else folder,
            data_dir=data_dir,
            device=device,
            workers=workers,
            design=design,
            probes=ProbePlan(investigation.probes, images=investigation.images),
        )
        for part, each in experiments.items()
    }
    return Planned(name, investigation, folder, parts)


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
    every = [*read_across.items(), *(each for found in read.values() for each in found.items())]
    unread = tuple(dict.fromkeys(claim for claim, found in every if found is None))
    across = [found for found in read_across.values() if found]
    by_part = {part: [each for each in found.values() if each] for part, found in read.items()}
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
    readings = tuple(found for _, found in every if found)
    return Finding(investigation.question, readings, unread, path, comparisons)
