"""Whether a norm over the batch needs large batches."""

from collections.abc import Mapping

from normscope.analysis.contrasts import candidates
from normscope.analysis.metrics import TEST_ACCURACY
from normscope.analysis.numbers import Numbers
from normscope.analysis.verdicts import judge
from normscope.analysis.why.against import in_words, pairs_of_seeds
from normscope.analysis.why.reading import Outcome, Reading, verdicts_in_words
from normscope.norms import is_packaged, running_momentum


def small_batches(numbers: Numbers) -> Reading | None:
    """Whether norms without statistics of the batch gain on the baseline as batches shrink.

    What counts is by how much more such a norm is ahead of the baseline with the smallest batch
    than with the largest, by seed. Of norms of a user's own it is not known what they look at.
    """
    experiment, name = numbers.experiment, numbers.experiment.baseline
    free = [
        norm
        for norm in candidates(experiment)
        if is_packaged(norm) and running_momentum(norm) is None
    ]
    if not numbers.several_sizes or running_momentum(name) is None or not free:
        return None
    smallest, largest = experiment.batch_sizes[0], experiment.batch_sizes[-1]
    losses = {norm: _losses(norm, numbers) for norm in (name, *free)}
    family = [pairs_of_seeds(numbers, norm, losses[norm], losses[name]) for norm in free]
    judged = judge(family, numbers.rules)
    claims = {each.claim for each in judged}
    outcome: Outcome = "not decided"
    if "higher" in claims:
        outcome = "supported"
    elif claims <= {"lower", "equivalent"}:
        outcome = "contradicted"
    plain = {
        "supported": f"{name} needs large batches: with {smallest} images in a batch it has lost "
        "ground to a norm that looks at one image at a time.",
        "contradicted": f"{name} loses no ground with {smallest} images in a batch.",
        "not decided": f"Whether {name} loses ground with {smallest} images in a batch is open.",
    }[outcome]
    gained = "; ".join(in_words(each, "", numbers.rules, unit=" points") for each in judged)
    verdicts = {
        size: verdicts_in_words(
            [v for v in numbers.verdicts if v.batch_size == size and v.norm in free], numbers.rules
        )
        for size in (smallest, largest)
    }
    return Reading(
        f"{name} needs large batches",
        plain,
        outcome,
        f"What a norm gains on {name} from {largest} to {smallest} images: {gained}. "
        f"With {smallest} images: {verdicts[smallest]}. With {largest}: {verdicts[largest]}.",
        "The learning rate is scaled with the batch size, and a smaller batch takes more steps.",
    )


def _losses(norm: str, numbers: Numbers) -> Mapping[int, float]:
    """Test accuracy with the smallest batch less that with the largest, in points, by seed."""
    sizes = numbers.experiment.batch_sizes
    small, large = (
        {
            trial.seed: accuracy
            for trial in numbers.all_trials
            if (trial.norm, trial.batch_size) == (norm, size)
            and trial.metrics
            and (accuracy := trial.metrics[TEST_ACCURACY.name]) is not None
        }
        for size in (sizes[0], sizes[-1])
    )
    return {seed: small[seed] - large[seed] for seed in small if seed in large}
