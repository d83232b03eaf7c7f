"""What differs between two experiments, and what that did: read both folders, judge B against A."""

from dataclasses import dataclass
from pathlib import Path

from normscope.analysis.between import Between, between
from normscope.analysis.sides import Both, Side
from normscope.errors import UsageError
from normscope.experiment import Design
from normscope.experiment.reading import read_design
from normscope.files import user_path
from normscope.store import Store
from normscope.study.stored import results_stored


@dataclass(frozen=True)
class Diff:
    """What the experiment in the folder `b` came to, measured against that in `a`."""

    a: Path
    b: Path
    found: Between


def diff(
    a: Path | str,
    b: Path | str,
    *,
    margin_points: float | None = None,
    alpha: float | None = None,
) -> Diff:
    """Say what differs between the experiments in two folders, and what that did to accuracy.

    Every norm and batch size that both have is compared with itself, B minus A in points of test
    accuracy, paired by seed; then the gaps to the baseline, if both have the same one. Nothing is
    written. `margin_points`, within which accuracies are equivalent, and `alpha`, the chance of a
    false claim in a family, are those of the two designs unless they are given.

    Raises `UsageError` for folders that hold no experiment, and for two whose accuracies cannot be
    compared: of other test images or folds, or with no trial in common. Raises `RunError` if a
    folder is damaged.
    """
    folders = user_path(a), user_path(b)
    _check_are_two(*folders)
    both = Both(*(_side(folder) for folder in folders))
    _check_comparable(both, *folders)
    given = read_design(Design(), margin_points=margin_points, alpha=alpha)
    found = between(
        both,
        alpha=_agreed(both, "alpha", "--alpha") if alpha is None else given.alpha,
        margin_points=_agreed(both, "margin_points", "--margin")
        if margin_points is None
        else given.margin_points,
    )
    return Diff(*folders, found)


def _check_are_two(a: Path, b: Path) -> None:
    for path in (a, b):
        if path.is_file():
            raise UsageError(
                f"{path} is a file; name the folder of an experiment (normscope judge reads files)"
            )
        if not Store.exists(path):
            raise UsageError(f"{path} holds no normscope experiment")
    if a.samefile(b):
        raise UsageError(f"{a} and {b} are the same folder; name two experiments")


def _side(folder: Path) -> Side:
    store = Store(folder)
    return Side.of(store.experiment, store.requests, store.facts(), results_stored(store))


def _check_comparable(both: Both, a: Path, b: Path) -> None:
    """Raise `UsageError` unless accuracies are of the same images, and some trials of both."""
    _check_test_images(both, a, b)
    mine, theirs = both.a.experiment, both.b.experiment
    if not both.norms:
        raise UsageError(
            f"they have no norm in common: {a} has {', '.join(mine.norms)}, {b} "
            f"{', '.join(theirs.norms)}; train one of these in both"
        )
    if not both.sizes:
        sizes = [", ".join(map(str, each.batch_sizes)) for each in (mine, theirs)]
        raise UsageError(
            f"they have no batch size in common: {a} has {sizes[0]}, {b} {sizes[1]}; train one of "
            "these in both"
        )
    if not both.seeds:
        seeds = [", ".join(map(str, each.seed_numbers)) for each in (mine, theirs)]
        raise UsageError(
            f"they have no seed in common: {a} has {seeds[0]}, {b} {seeds[1]}; train both with the "
            "same seeds"
        )
    if not both.trials:
        raise UsageError(
            f"no trial of both has a result yet: {a} has {len(both.a.results)} results, {b} "
            f"{len(both.b.results)}; go on with their training"
        )


def _check_test_images(both: Both, a: Path, b: Path) -> None:
    folds = both.a.experiment.folds, both.b.experiment.folds
    if folds[0] != folds[1]:
        words = [f"{each} folds" if each else "no folds" for each in folds]
        raise UsageError(
            f"{a} has {words[0]}, {b} {words[1]}, so that their networks were trained on other "
            "shares of the images and tested on others; train both with the same folds"
        )
    sums = [
        {name: each for name, each in side.facts.checksums.items() if name.startswith("test")}
        for side in (both.a, both.b)
    ]
    if sums[0] != sums[1]:
        words = [f"{s.facts.test_size:,} of {s.facts.name}" for s in (both.a, both.b)]
        same = " with other content" if words[0] == words[1] else ""
        raise UsageError(
            f"their accuracies are of other test images ({a}: {words[0]}, {b}: {words[1]}{same}); "
            "compare experiments with the same data set and the same --test-limit"
        )


def _agreed(both: Both, name: str, option: str) -> float:
    """What both designs say; raises `UsageError` if they differ."""
    a, b = (getattr(side.requests[-1].design, name) for side in (both.a, both.b))
    if a != b:
        raise UsageError(
            f"A was judged with {option} {a:g} and B with {option} {b:g}; say with {option} which "
            "of them holds here"
        )
    return a
