"""Results -> one typed `Analysis`, in two stages: the numbers, then sentences made from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normscope.analysis.answers import answers_of, method_of
from normscope.analysis.caveats import caveats_of
from normscope.analysis.findings import findings_of
from normscope.analysis.numbers import Contents, Numbers, numbers_of
from normscope.analysis.sentences import Answer, Caveat, Remark


@dataclass(frozen=True, repr=False)
class Analysis(Numbers):
    """All that a report shows, except drawings: the numbers, and what they say in sentences.

    `method` says how the verdicts were reached.
    """

    method: str
    answers: tuple[Answer, ...]
    findings: tuple[Remark, ...]
    caveats: tuple[Caveat, ...]


def analyse(
    contents: Contents,
    levels_percent: Sequence[float] | None = None,
    titles: Mapping[str, str] | None = None,
    whole_train_size: int | None = None,
) -> Analysis:
    """Analyse what an experiment's folder holds.

    `levels_percent`: the test accuracies whose first reaching measures speed (default: the
    design's). `titles`: a norm's short name -> its full one. `whole_train_size`: how many training
    images the data set has without the experiment's limit, of which the folder knows nothing.
    """
    numbers = numbers_of(contents, levels_percent, titles, whole_train_size)
    return Analysis(
        **vars(numbers),
        method=method_of(numbers),
        answers=answers_of(numbers),
        findings=findings_of(numbers),
        caveats=caveats_of(numbers),
    )
