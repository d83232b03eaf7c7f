"""Whether a norm is ahead because it fits the training images better, or loses less on new ones."""

from collections.abc import Mapping

import numpy as np

from normscope.analysis.metrics import GAP, TEST_ACCURACY, TRAIN_ACCURACY
from normscope.analysis.numbers import Numbers
from normscope.analysis.verdicts import judge
from normscope.analysis.why.against import (
    ahead,
    contrasts_on,
    in_words,
    others,
    pairs_of_seeds,
    told,
    without_margin,
)
from normscope.analysis.why.reading import Outcome, Reading
from normscope.words import number


def regularization(numbers: Numbers) -> Reading | None:
    """Whether the baseline's edge over the norms behind it lies in the gap to training accuracy.

    Test accuracy is training accuracy less the gap, so what is ahead has more of the one, or less
    of the other.
    """
    baseline = numbers.experiment.baseline
    size = numbers.experiment.main_batch_size
    behind = {v.norm for v in numbers.verdicts if v.outcome == "worse" and v.batch_size == size}
    found = contrasts_on(numbers, GAP)
    if not found:
        return None
    claims = [each.judgement.claim for each in found if each.norm in behind]
    outcome: Outcome = "not decided"
    if claims and all(claim == "higher" for claim in claims):
        outcome = "supported"
    elif "lower" in claims:
        outcome = "contradicted"
    plain = {
        "supported": f"{baseline} is ahead because it loses less from training images to new ones.",
        "contradicted": f"{baseline} is ahead because it fits the training images better: it loses "
        "more from them to new ones, not less.",
        "not decided": f"Whether {baseline} is ahead because it loses less on new images is open."
        if claims
        else f"{baseline} is not shown to be ahead of another norm: there is no edge to explain.",
    }[outcome]
    means = [
        f"{norm.norm} {number(norm.estimates[TRAIN_ACCURACY.name].mean, 1)}"
        for norm in numbers.norms
        if norm.finished
    ]
    return Reading(
        f"{baseline} is ahead because it regularizes",
        plain,
        outcome,
        f"The gap between train and test accuracy, compared with {baseline}: "
        f"{told(found, numbers.rules)}. Train accuracy in percent: {', '.join(means)}. It counts "
        f"for norms that {baseline} is shown to be ahead of"
        f"{': ' + ', '.join(sorted(behind)) if behind else ', of which there is none'}.",
        "Train accuracy is a running mean over the last epoch, with dropout on.",
    )


def without_dropout(parts: Mapping[str, Numbers]) -> Reading | None:
    """Whether the baseline misses another regularizer less than other norms do.

    Of the parts "as-it-is" and "without-dropout": what a norm loses without dropout, in points of
    test accuracy, less what the baseline loses, by seed.
    """
    whole, without = parts["as-it-is"], parts["without-dropout"]
    baseline = whole.experiment.baseline
    own = _gains(baseline, whole, without)
    family = [
        pairs_of_seeds(whole, norm, _gains(norm, whole, without), own)
        for norm in others(whole)
        if norm in without.experiment.norms
    ]
    if not family or not own:
        return None
    judged = judge(family, without_margin(whole))
    outcome = ahead(judged, "lower")
    plain = {
        "supported": f"{baseline} can do without dropout better than every other norm here: it is "
        "a regularizer itself.",
        "contradicted": f"{baseline} does not do without dropout best: another norm misses it "
        "less.",
        "not decided": f"Whether {baseline} can do without dropout better than others is open.",
    }[outcome]
    told_of = "; ".join(in_words(each, "", whole.rules, unit=" points") for each in judged)
    mean = number(float(np.mean([*own.values()])), 2, signed=True)
    return Reading(
        f"{baseline} takes the place of another regularizer",
        plain,
        outcome,
        f"Test accuracy without dropout less that with it: {baseline} {mean} points; compared with "
        f"{baseline}: {told_of}.",
        "A network with little dropout has little to lose by it.",
    )


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
