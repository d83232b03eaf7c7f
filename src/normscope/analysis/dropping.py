"""Which norms a design until decided trains no further: those whose comparison is decided."""

from collections.abc import Iterable, Sequence

from normscope.analysis.contrasts import candidates
from normscope.analysis.verdicts import Verdict
from normscope.experiment import LEAST_SEEDS, Design, Experiment, Trial

Place = tuple[str, int]  # a norm and a batch size


def dropped(
    experiment: Experiment, verdicts: Iterable[Verdict], design: Design, version: int
) -> frozenset[Place]:
    """The norms that are trained no further, by batch size, as the verdicts stand.

    A claim of the second `version` of the rules stays, so that more seeds would not change it. The
    baseline is trained as long as a candidate is open, and where none is, nothing is. Of the first
    version, for a winner set, and in a design that is not until decided, none is dropped.
    """
    if version == 1 or not design.until_decided or design.winner_set:
        return frozenset()
    found = list(verdicts)
    chosen = candidates(experiment)
    open_sizes = {v.batch_size for v in found if v.norm in chosen and not v.decided}
    decided = {(v.norm, v.batch_size) for v in found if v.decided}
    closed = {
        (norm, size)
        for size in experiment.batch_sizes
        if size not in open_sizes
        for norm in experiment.norms
    }
    return frozenset(decided | closed)


def still_wanted(
    planned: Sequence[Trial], experiment: Experiment, gone: frozenset[Place]
) -> list[Trial]:
    """The planned trials but for those of dropped norms, of which the first seeds are wanted.

    Those of a search for learning rates are, too.
    """
    first = set(experiment.seed_numbers[:LEAST_SEEDS])
    return [
        trial
        for trial in planned
        if trial.validation
        or trial.seed in first
        or (trial.norm, trial.recipe.batch_size) not in gone
    ]
