"""Which of the networks that an experiment trained to use: of which norm, and of which seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.analysis import Analysis
from normscope.analysis.contrasts import to_choose
from normscope.errors import RunError
from normscope.experiment import Result
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.study.stored import check_seed, norm_named, results_with_weights
from normscope.words import number


@dataclass(frozen=True)
class Winner:
    """A norm, and the results of its trained networks whose weights are there, by seed.

    `why` says in a line or two why it is this norm, and is "" where it was asked for.
    """

    norm: str
    why: str
    results: Sequence[Result]


def winner_in(store: Store, norm: str | None) -> Winner:
    """The norm that is recommended, or the one asked for, at the main batch size.

    Where several norms are recommended, or none, it is the one of them with the highest mean
    accuracy. Raises `UsageError` if the experiment does not have the norm, `RunError` if no trial
    of it finished, or the weights are not there.
    """
    norm, why = (norm_named(store, norm), "") if norm else _recommended(store)
    found = [each for each in results_with_weights(store) if each.trial.norm == norm]
    if not found:
        raise RunError(
            f"{store.folder} holds no weights of a network with {norm} that finished its training; "
            "normscope compare leaves them in trials/; to train it again, move its folders out of "
            "trials/ and run normscope compare"
        )
    return Winner(norm, why, found)


def of_seed(winner: Winner, seed: int | None) -> Result:
    """The result of a seed, or of the first: never of the best, which would be picking.

    Raises `UsageError`, naming the seeds there are, if there is none of that seed.
    """
    if seed is None:
        return winner.results[0]
    by_seed = {each.trial.seed: each for each in winner.results}
    check_seed(seed, by_seed, f"weights of {winner.norm}")
    return by_seed[seed]


def _recommended(store: Store) -> tuple[str, str]:
    """A norm, and the recommendation; with what it leaves open, and how that was settled."""
    analysis = Comparison.of(store).analysis
    advice = analysis.recommendation
    if len(advice.norms) == 1:
        return advice.norms[0], advice.text
    norm, percent = _strongest(analysis, advice.norms or to_choose(analysis.experiment))
    among = " of these" if advice.norms else ""
    taken = f"{norm} is taken, whose mean test accuracy is the highest{among}"
    return norm, f"{advice} {taken}: {number(percent, 1)} %."


def _strongest(analysis: Analysis, norms: Sequence[str]) -> tuple[str, float]:
    """The norm with the highest mean accuracy over its finished trials, and that in percent."""
    found = {each.norm: each.test_accuracy_percent.mean for each in analysis.norms}
    means = {norm: mean for norm in norms if (mean := found[norm]) is not None}
    if not means:
        raise RunError("no trial of the experiment finished, so there is no network to use")
    norm = max(means, key=means.__getitem__)
    return norm, means[norm]
