"""What fewer images in bn's statistics do, where the batch of the gradient is the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.analysis.answers import scope_words
from normscope.analysis.numbers import Numbers
from normscope.analysis.sentences import Remark
from normscope.analysis.summaries import NormSummary
from normscope.norms import over_whole_batches, statistics_batch
from normscope.words import counted


@dataclass(frozen=True)
class SubBatches:
    """bn with its statistics over several numbers of images: `members` by that number, ascending.

    `norm` is the bn that they all would be over whole batches; it need not be among them.
    """

    norm: str
    members: dict[int, NormSummary]


def sub_batches_of(numbers: Numbers) -> tuple[SubBatches, ...]:
    """Every bn with two or more sizes of its statistics, at the main batch size.

    With other options, or at another place, it is another one.
    """
    batch, found = numbers.experiment.main_batch_size, dict[str, dict[int, NormSummary]]()
    for summary in numbers.norms:
        size = statistics_batch(summary.norm, batch)
        if size is not None:
            found.setdefault(over_whole_batches(summary.norm), {})[size] = summary
    return tuple(
        SubBatches(norm, dict(sorted(members.items())))
        for norm, members in found.items()
        if len(members) > 1
    )


def sub_batch_remarks(numbers: Numbers) -> list[Remark]:
    """How every bn stands against the baseline by the size of its statistics: by verdicts only."""
    return [
        Remark("Statistics batch", _told(found, numbers))
        for found in sub_batches_of(numbers)
        if any(member.verdict for member in found.members.values())
    ]


def _told(found: SubBatches, numbers: Numbers) -> str:
    """``bn by the images in its statistics, against gn: worse with 2 and 4; better with 64``."""
    experiment, outcomes = numbers.experiment, dict[str, list[int]]()
    batch, against = experiment.main_batch_size, experiment.baseline
    for size, member in found.members.items():
        if member.verdict:
            outcomes.setdefault(member.verdict.outcome, []).append(size)
        else:
            against = f"{found.norm} with {size}"
    parts = [f"{outcome} with {_in_row(sizes)}" for outcome, sizes in outcomes.items()]
    return (
        f"{found.norm} by the images in its statistics, against "
        f"{against}{scope_words(batch, numbers)}: {'; '.join(parts)}. Gradients are averaged over "
        f"{batch} images everywhere ({counted(experiment.seeds, 'seed')})."
    )


def _in_row(sizes: Sequence[int]) -> str:
    """``2, 4 and 8``."""
    words = list(map(str, sizes))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
