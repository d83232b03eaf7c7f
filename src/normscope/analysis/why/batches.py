"""Whether a norm over the batch needs large batches."""

from normscope.analysis.grouping import order_of
from normscope.analysis.numbers import Numbers
from normscope.analysis.why.reading import Outcome, Reading, verdicts_in_words
from normscope.norms import running_momentum


def small_batches(numbers: Numbers) -> Reading | None:
    """Whether norms without statistics of the batch overtake the baseline in the smallest batch."""
    experiment = numbers.experiment
    if not numbers.several_sizes or running_momentum(experiment.baseline) is None:
        return None
    smallest, largest = experiment.batch_sizes[0], experiment.batch_sizes[-1]
    free = [
        norm
        for norm in experiment.norms[1:]
        if running_momentum(norm) is None and order_of(norm) is None
    ]
    by_size = {
        size: [v for v in numbers.verdicts if v.batch_size == size and v.norm in free]
        for size in (smallest, largest)
    }
    if not by_size[smallest]:
        return None
    outcomes = {verdict.outcome for verdict in by_size[smallest]}
    outcome: Outcome = "not decided"
    if "better" in outcomes:
        outcome = "supported"
    elif outcomes <= {"worse", "equivalent"}:
        outcome = "contradicted"
    name = experiment.baseline
    plain = {
        "supported": f"{name} needs more than {smallest} images in a batch: below, a norm that "
        "looks at one image at a time is better.",
        "contradicted": f"{name} does not fall behind with {smallest} images in a batch.",
        "not decided": f"Whether {name} falls behind with {smallest} images in a batch is open.",
    }[outcome]
    told = {size: verdicts_in_words(by_size[size], numbers.rules) for size in by_size}
    return Reading(
        f"{name} needs large batches",
        plain,
        outcome,
        f"With {smallest} images: {told[smallest]}. With {largest}: {told[largest]}.",
        "The learning rate is scaled with the batch size, and a smaller batch takes more steps.",
    )
