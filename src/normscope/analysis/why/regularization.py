"""Whether a norm is ahead because it fits the training images better, or loses less on new ones."""

from normscope.analysis.metrics import GAP, TRAIN_ACCURACY
from normscope.analysis.numbers import Numbers
from normscope.analysis.why.against import contrasts_on, told
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
