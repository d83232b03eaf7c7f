"""Whether untrained networks know in which order the norms will come."""

from normscope.analysis.contrasts import to_choose
from normscope.analysis.metrics import TEST_ACCURACY
from normscope.analysis.numbers import Numbers
from normscope.analysis.prediction import LEAST_NORMS, SIMILARITY
from normscope.analysis.why.reading import Outcome, Reading
from normscope.words import number, p_value


def foreseen(numbers: Numbers) -> Reading | None:
    """By how alike samples look to the classifier of an untrained network: less alike is better."""
    measured = numbers.costs.norms if numbers.costs else ()
    chosen = to_choose(numbers.experiment)
    known = {each.norm: each.predictors for each in measured if each.norm in chosen}
    accuracy = {norm.norm: norm.estimates[TEST_ACCURACY.name].mean for norm in numbers.norms}
    both = [
        (found.last_similarity, norm, mean)
        for norm, found in known.items()
        if found is not None and (mean := accuracy.get(norm)) is not None
    ]
    if len(both) < 2:
        return None
    order = ", ".join(f"{norm} ({number(value, 2)})" for value, norm, _ in sorted(both))
    came = ", ".join(norm for *_, norm, _ in sorted(both, key=lambda each: -each[2]))
    tested = [
        p for p in numbers.predictions if (p.predictor, p.metric) == (SIMILARITY, TEST_ACCURACY)
    ]
    outcome: Outcome = "not decided"
    told = (
        f"fewer than {LEAST_NORMS} norms, all of whose trials finished, have too few orders for "
        "one to be more than chance"
    )
    for found in tested:
        tau = f"Kendall's tau {number(found.tau, 2)}"
        told = f"{tau} over {found.norms} norms, p {p_value(found.p_value)}"
        if found.tau is not None and found.p_value <= numbers.rules.alpha:
            outcome = "supported" if found.tau > 0 else "contradicted"
    plain = {
        "supported": "How alike images look to a network before any training foretells which norm "
        "will do well.",
        "contradicted": "The norms came in the opposite order of what the untrained networks "
        "foretold.",
        "not decided": "Whether a network before any training foretells which norm will do well is "
        "open.",
    }[outcome]
    return Reading(
        "The untrained network foretells the order of the norms",
        plain,
        outcome,
        f"By how alike two images look to the classifier, least alike first: {order}. By test "
        f"accuracy: {came}. ({told}.)",
        "The forecast is that of arXiv 2106.05956; an agreement is no cause.",
    )
