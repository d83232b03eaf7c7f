"""Judge results that somebody has already: read them, judge them, write the report."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from normscope.analysis.judged import Judged, Run, judge_runs
from normscope.analysis.verdicts import Rules
from normscope.data import DATASETS
from normscope.errors import UsageError
from normscope.experiment import GUESSING, RULES, Design
from normscope.files import user_path
from normscope.report.judged import write_judged
from normscope.store import Store
from normscope.store.folder import RUNS
from normscope.study.results_columns import Columns
from normscope.study.results_files import Read, read_results

USUAL = "bn"  # the baseline, where it is among the levels and none is named
WHOLE_NAME = 100  # characters of the folder's name


@dataclass(frozen=True)
class Judgment:
    """What results came to, and `page`, the report's page."""

    judged: Judged
    page: Path


def judge(
    files: Sequence[Path | str],
    *,
    columns: Columns | None = None,
    baseline: str | None = None,
    looked: bool = False,
    rules: int = RULES,
    folds: int | None = None,
    chance_percent: float | None = None,
    design: Design | None = None,
    out: Path | str | None = None,
    command: str = "",
) -> Judgment:
    """Judge the results in files, and write the report into the folder `out`.

    `columns` are those that go by no usual name. `baseline`: the level to compare with (default: bn
    if it is there, else the first). `looked`: results were looked at while seeds were added, so
    that the sequential rules hold. `rules`: the version of the rules of verdicts; 1 for a folder of
    ours that was begun under it. `folds`: of how many folds of a cross-validation the runs are
    (default: as many as a column of folds has). `chance_percent`: the accuracy of guessing, for
    runs that diverged or collapsed (default: that of the data set, where it is known). `design`
    has margin and alpha. Without `out` the folder is one in ``runs/`` that is called after the
    files. Raises `UsageError` for files that cannot be understood or hold nothing to compare,
    `RunError` if the report cannot be written.
    """
    paths = [user_path(file) for file in files]
    if not paths:
        raise UsageError("name a file of results, such as results.csv")
    folder = user_path(out) if out else default_folder(paths)
    if Store.exists(folder):
        raise UsageError(
            f"{folder} holds an experiment, whose report would be replaced; choose another folder "
            "with --out"
        )
    read = read_results(paths, columns or Columns())
    chosen = _baseline(read, baseline)
    runs, left = _comparable(read, chosen)
    _check_paired(read, runs, chosen)
    by = _rules(design or Design(), looked, rules, read.folds if folds is None else folds)
    judged = judge_runs(runs, read.factor, chosen, by, _chance(runs, chance_percent), read.notes)
    judged = replace(judged, caveats=(*judged.caveats, *left, *read.caveats))
    return Judgment(judged, write_judged(judged, folder, command, [str(path) for path in paths]))


def default_folder(paths: Sequence[Path]) -> Path:
    """``runs/judged-cifar10-s8-s8-trials`` for ``docs/results/cifar10-s8-s8/trials.csv``."""
    first = paths[0]
    name = "-".join(part for part in ("judged", first.parent.name, first.stem) if part)
    if len(paths) > 1:
        name += f"-and-{len(paths) - 1}-more"
    return RUNS / re.sub(r"[^\w.+-]+", "-", name)[:WHOLE_NAME]


def _rules(design: Design, looked: bool, version: int, folds: int) -> Rules:
    if version not in range(1, RULES + 1):
        raise UsageError(f"--rules {version}: the versions are 1 to {RULES}")
    if folds == 1:
        raise UsageError("--folds 1: a cross-validation has 2 folds or more; leave it out")
    if looked and folds:
        raise UsageError(
            "looks after every seed are valid for independent seeds, which folds are not; leave "
            "--looked out, and judge once"
        )
    overlap = 1 / (folds - 1) if folds else 0.0
    return Rules(looked, design.alpha, design.margin_points, overlap, version)


def _baseline(read: Read, named: str | None) -> str:
    levels = list(dict.fromkeys(run.level for run in read.runs))
    if named is not None and named not in levels:
        raise UsageError(f"the baseline {named!r} is not among {', '.join(levels)}")
    if len(levels) < 2:
        raise UsageError(
            f"the column {read.factor} holds {levels[0]} alone, which leaves nothing to compare; "
            "name another column with --factor, or add the runs to compare with"
        )
    return named or next((level for level in levels if level.lower() == USUAL), levels[0])


def _comparable(read: Read, baseline: str) -> tuple[list[Run], list[str]]:
    """The runs in places where the baseline and another level have some, and what was left out."""
    places: dict[tuple[object, int], set[str]] = {}
    for run in read.runs:
        places.setdefault((run.setting, run.batch_size), set()).add(run.level)
    kept = {place for place, levels in places.items() if baseline in levels and len(levels) > 1}
    if not kept:
        raise UsageError(
            f"no data set, model and batch size has runs of {baseline} and of another "
            f"{read.factor}, so there is nothing to compare; name the baseline with --baseline"
        )
    runs = [run for run in read.runs if (run.setting, run.batch_size) in kept]
    out = [run for run in read.runs if (run.setting, run.batch_size) not in kept]
    if not out:
        return runs, []
    first = out[0]
    return runs, [
        f"{len(out)} of {len(read.runs)} runs were left out, because nothing with their data set, "
        f"model and batch size can be compared with {baseline}; the first is {first.where}."
    ]


def _check_paired(read: Read, runs: Sequence[Run], baseline: str) -> None:
    """Raise `UsageError` if nothing says which runs belong together, or none do.

    With one run each there is nothing to pair, and no conclusion either.
    """
    counts = Counter((run.setting, run.batch_size, run.level) for run in runs)
    if max(counts.values()) == 1:
        return
    why = (
        "Without pairs there is no verdict: where accuracies move against each other from seed to "
        "seed, Welch's test errs in 8 to 11 % of cases instead of 5 % (docs/judge.md)"
    )
    if not read.paired:
        raise UsageError(
            "no column says which runs belong together (seed, fold, run, ...). "
            f"{why}; add a column seed, or name the one that pairs with --seed-column"
        )
    own = {(r.setting, r.batch_size, r.seed) for r in runs if r.level == baseline}
    if not any(r.level != baseline and (r.setting, r.batch_size, r.seed) in own for r in runs):
        raise UsageError(
            f"{baseline} has no seed in common with any other {read.factor}. {why}; train all with "
            "the same seeds, or name another column with --seed-column"
        )


def _chance(runs: Sequence[Run], given: float | None) -> dict[tuple[tuple[str, str], ...], float]:
    """The accuracy of guessing in each setting that needs it."""
    found = {}
    for run in runs:
        if run.status in GUESSING:
            found[run.setting] = _chance_of(run) if given is None else given
    return found


def _chance_of(run: Run) -> float:
    source = DATASETS.get(dict(run.setting).get("dataset", "").lower())
    if source is None:
        raise UsageError(
            f"{run.where}: the run {run.status}, which counts as guessing; say how often a guess "
            "is right with --chance, such as --chance 10 for ten classes"
        )
    return 100 / source.num_classes
