"""Whether a norm is ahead because it fits the training images better, or loses less on new ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from normscope.analysis.contrasts import candidates, to_choose
from normscope.analysis.metrics import GAP, TEST_ACCURACY, TRAIN_ACCURACY
from normscope.analysis.numbers import Numbers
from normscope.analysis.pairs import metric_pairs
from normscope.analysis.verdicts import Judgement, Rules, judge
from normscope.analysis.why.against import (
    enumerated,
    in_words,
    on_metric,
    pairs_of_seeds,
    without_margin,
)
from normscope.analysis.why.reading import Outcome, Reading
from normscope.words import number


def regularization(numbers: Numbers) -> Reading | None:
    """Whether the baseline's edge over the norms behind it lies in the gap to training accuracy.

    Test accuracy is training accuracy less the gap, so what is ahead has more of the one, or less
    of the other, or both.
    """
    experiment, baseline = numbers.experiment, numbers.experiment.baseline
    norms = [each.norm for each in on_metric(numbers, GAP)]
    if not norms:
        return None
    family = [
        metric_pairs(experiment, numbers.trials, norm, baseline, metric)
        for metric in (GAP, TRAIN_ACCURACY)
        for norm in norms
    ]
    judged = judge(family, without_margin(numbers))
    gaps, fits = judged[: len(norms)], judged[len(norms) :]
    size = experiment.main_batch_size
    lost = {v.norm for v in numbers.verdicts if v.outcome == "worse" and v.batch_size == size}
    behind = [
        _Behind(norm, gap, fit)
        for norm, gap, fit in zip(norms, gaps, fits, strict=True)
        if norm in lost
    ]
    outcome = _where(behind)
    gap, fit = (
        "; ".join(in_words(each, "", numbers.rules, unit=" points") for each in found)
        for found in (gaps, fits)
    )
    return Reading(
        f"{baseline} is ahead because it regularizes",
        _in_plain_words(baseline, behind, outcome),
        outcome,
        f"Compared with {baseline}, the gap between train and test accuracy: {gap}; train "
        f"accuracy: {fit}. Both are one family, of this claim. Supported if the gap of every norm "
        "behind is wider, and its train accuracy not lower; contradicted if its train accuracy is "
        "lower, and the gap narrower.",
        "Train accuracy is a running mean over the last epoch, with the recipe's augmentation"
        + (" and with dropout on." if experiment.recipe.dropout != 0 else "."),
    )


@dataclass(frozen=True)
class _Behind:
    """A norm that the baseline is ahead of: its gap and its train accuracy against those of it."""

    norm: str
    gap: Judgement
    fit: Judgement

    @property
    def fits_worse(self) -> bool:
        return self.fit.claim == "lower"

    @property
    def loses_more(self) -> bool:
        """From training images to new ones."""
        return self.gap.claim == "higher"


def _where(behind: Sequence[_Behind]) -> Outcome:
    """By the gap and the train accuracy of every norm behind the baseline."""
    if behind and all(each.loses_more and not each.fits_worse for each in behind):
        return "supported"
    if behind and all(each.fits_worse and each.gap.claim == "lower" for each in behind):
        return "contradicted"
    return "not decided"


def _in_plain_words(baseline: str, behind: Sequence[_Behind], outcome: Outcome) -> str:
    if not behind:
        return f"{baseline} is not shown to be ahead of another norm: there is no edge to explain."
    names = enumerated([each.norm for each in behind])
    if outcome == "supported":
        return (
            f"{baseline} is ahead of {names} because it loses less from training images to new "
            "ones; that it fits them better is not shown."
        )
    if outcome == "contradicted":
        return (
            f"{baseline} is ahead of {names} because it fits the training images better, not "
            "because it loses less on new ones."
        )
    if all(each.fits_worse and each.loses_more for each in behind):
        return (
            f"{baseline} is ahead of {names} for both reasons: it fits the training images better, "
            "and it loses less on new ones."
        )
    if all(each.fits_worse for each in behind):
        return (
            f"{baseline} fits the training images better than {names}; whether it also loses less "
            "on new ones is open."
        )
    return f"Whether {baseline} is ahead of {names} because it loses less on new images is open."


def without_dropout(parts: Mapping[str, Numbers]) -> Reading | None:
    """Whether the baseline can do without dropout, and the other norms cannot.

    Of the parts "as-it-is" and "without-dropout": what each norm gains without dropout, in points
    of test accuracy by seed, and that less what the baseline gains.
    """
    whole, without = parts["as-it-is"], parts["without-dropout"]
    baseline, rules = whole.experiment.baseline, _of_both(whole, without)
    gains = {norm: _gains(norm, whole, without) for norm in to_choose(whole.experiment)}
    compared = [norm for norm in candidates(whole.experiment) if gains[norm]]
    if not compared or not gains[baseline]:
        return None
    nothing = dict.fromkeys(whole.experiment.seed_numbers, 0.0)
    own = judge([pairs_of_seeds(whole, n, gains[n], nothing) for n in compared], rules)
    pairs = [pairs_of_seeds(whole, norm, gains[norm], gains[baseline]) for norm in compared]
    judged = judge(pairs, rules)
    outcome: Outcome = "not decided"
    if all(each.claim == "lower" for each in [*own, *judged]):
        outcome = "supported"
    elif any(each.claim == "higher" for each in judged):
        outcome = "contradicted"
    plain = {
        "supported": f"Without dropout every other norm loses, and loses more than {baseline}.",
        "contradicted": f"{baseline} does not do without dropout best: another norm misses it "
        "less.",
        "not decided": f"Whether {baseline} can do without dropout better than others is open.",
    }[outcome]
    told_of = "; ".join(in_words(each, "", rules, unit=" points") for each in judged)
    alone = "; ".join(in_words(each, "", rules, unit=" points") for each in own)
    mean = number(float(np.mean([*gains[baseline].values()])), 2, signed=True)
    return Reading(
        f"{baseline} takes the place of another regularizer",
        plain,
        outcome,
        f"Test accuracy without dropout less that with it: {baseline} {mean} points; {alone}. "
        f"Compared with {baseline}: {told_of}.",
        "A network with little dropout has little to lose by it.",
    )


def _of_both(whole: Numbers, without: Numbers) -> Rules:
    """Valid at every look if seeds were added to one of them after a look."""
    sequential = whole.rules.sequential or without.rules.sequential
    return replace(whole.rules, sequential=sequential, margin=None)


def _gains(norm: str, whole: Numbers, without: Numbers) -> dict[int, float]:
    """Test accuracy without dropout less that with it, in points, by seed."""
    with_it, without_it = (_accuracies(norm, numbers) for numbers in (whole, without))
    return {seed: without_it[seed] - with_it[seed] for seed in with_it if seed in without_it}


def _accuracies(norm: str, numbers: Numbers) -> dict[int, float]:
    return {
        trial.seed: accuracy
        for trial in numbers.trials
        if trial.norm == norm
        and trial.metrics
        and (accuracy := trial.metrics[TEST_ACCURACY.name]) is not None
    }
