"""Results -> one typed `Analysis`, in two stages: the numbers, then sentences made from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from normscope.analysis.afterwards import Chosen
from normscope.analysis.answers import answers_of, method_of
from normscope.analysis.caveats import caveats_of
from normscope.analysis.findings import findings_of
from normscope.analysis.numbers import Contents, Numbers, numbers_of
from normscope.analysis.recommendation import Recommendation, recommendation_of
from normscope.analysis.sentences import Answer, Caveat, Remark
from normscope.analysis.why import Inside, Reading, inside_of, readings_of

IN_FULL = 10  # undecided comparisons that are told one by one


@dataclass(frozen=True, repr=False)
class Analysis(Numbers):
    """All that a report shows, except drawings: the numbers, and what they say in sentences.

    `recommendation` is for who reads no further, `method` says how the verdicts were reached, `why`
    what probes say of the notion behind bn, and `inside` what the networks of each norm are like.
    """

    recommendation: Recommendation
    method: str
    answers: tuple[Answer, ...]
    findings: tuple[Remark, ...]
    why: tuple[Reading, ...]
    inside: tuple[Inside, ...]
    caveats: tuple[Caveat, ...]

    @property
    def undecided(self) -> tuple[Answer, ...]:
        """The answers that decide nothing, if they are so many that they would bury the others."""
        found = tuple(answer for answer in self.answers if not answer.decided)
        return found if len(found) > IN_FULL else ()

    @property
    def leading_answers(self) -> tuple[Answer, ...]:
        """All other answers."""
        return tuple(answer for answer in self.answers if answer not in self.undecided)

    @property
    def undecided_in_short(self) -> str:
        """One sentence for all that are `undecided`; "" if they are told one by one."""
        if not self.undecided:
            return ""
        norms = list(dict.fromkeys(answer.norm for answer in self.undecided))
        guessed = {verdict.norm for verdict in self.verdicts if verdict.guessing[0].total}
        parts = [norm for norm in norms if norm not in guessed]
        if lost := [norm for norm in norms if norm in guessed]:
            parts.append(f"and, with trials that collapsed or diverged, {', '.join(lost)}")
        return f"{len(self.undecided)} comparisons are undecided: {', '.join(parts)}."


def analyse(
    contents: Contents,
    levels_percent: Sequence[float] | None = None,
    titles: Mapping[str, str] | None = None,
    whole_train_size: int | None = None,
    chosen: Chosen | None = None,
) -> Analysis:
    """Analyse what an experiment's folder holds.

    `levels_percent`: the test accuracies whose first reaching measures speed (default: the
    design's). `titles`: a norm's short name -> its full one. `whole_train_size`: how many training
    images the data set has without the experiment's limit, of which the folder knows nothing.
    `chosen`: by what verdicts are reached instead of what the design says.
    """
    numbers = numbers_of(contents, levels_percent, titles, whole_train_size, chosen)
    return Analysis(
        **{each.name: getattr(numbers, each.name) for each in fields(numbers)},
        recommendation=recommendation_of(numbers),
        method=method_of(numbers),
        answers=answers_of(numbers),
        findings=findings_of(numbers),
        why=readings_of(numbers),
        inside=inside_of(numbers),
        caveats=caveats_of(numbers),
    )
