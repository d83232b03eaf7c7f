"""Two experiments -> verdicts on what differs between them: norm by norm, and gap by gap.

A difference is B minus A, in points of test accuracy, within a seed that both have. The norms are
one family; the gaps of the norms to the baseline are another. Both are judged as the norms within
an experiment are, by the newest version of the rules, because the question is new.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from normscope.analysis.answers import (
    fixed_words,
    forecast_note,
    holm_words,
    interval_words,
    undecided_words,
    verdict_sentence,
)
from normscope.analysis.differing import Differing, differing
from normscope.analysis.sentences import Answer
from normscope.analysis.shared_seeds import Asked, Compared, judged_together
from normscope.analysis.sides import Both, Side, identical
from normscope.analysis.verdicts import Rules
from normscope.experiment import LEAST_SEEDS
from normscope.words import counted, number, signed


@dataclass(frozen=True)
class Between:
    """All that is said of two experiments.

    `differing`: what is recorded of their trials and differs. `compared`: the norms that both have;
    `gaps`: those of the norms to the baseline, where both have the same. `trials`: how many are
    compared; `repeated` of them have the same id in both, so that they should leave the same, and
    `identical` of these did, to the last bit. `answers`: a sentence for each comparison. `caveats`:
    what the verdicts cannot carry.
    """

    rules: Rules
    differing: tuple[Differing, ...]
    trials: int
    repeated: int
    identical: int
    compared: tuple[Compared, ...]
    gaps: tuple[Compared, ...]
    answers: tuple[Answer, ...]
    method: str
    caveats: tuple[str, ...]

    @property
    def sameness(self) -> str:
        """Whether anything differs, and how many trials repeated others to the last bit."""
        told = []
        if not self.differing:
            told.append("Nothing that is recorded differs: the same trials twice.")
        if self.repeated:
            trials = counted(self.repeated, "trial")
            told.append(
                f"{self.identical} of {trials} that were asked for alike left the same losses and "
                "accuracies in every epoch, to the last bit."
            )
        if self.identical < self.repeated and not self.differing:
            told.append(
                "The others did not, so that something differs that is not recorded, such as the "
                "code of a development version."
            )
        return " ".join(told)


def between(both: Both, alpha: float, margin_points: float) -> Between:
    """Judge what differs between two experiments with a norm, a batch size and a seed in common.

    `alpha` is the chance of a false claim in either family; within `margin_points` of each other
    two accuracies, or two gaps, are equivalent. See `judged_together`.
    """
    folds = both.a.experiment.folds
    rules = Rules(both.looked, alpha, margin_points, 1 / (folds - 1) if folds else 0.0)
    norms = [Asked(norm, sizes) for sizes in both.sizes for norm in both.norms]
    compared = judged_together(both, norms, rules)
    gaps = judged_together(both, _gaps(both), rules)
    found, same = differing(both), [t for t in both.trials if t[0].trial.id == t[1].trial.id]
    return Between(
        rules=rules,
        differing=found,
        trials=len(both.trials),
        repeated=len(same),
        identical=sum(identical(a, b) for a, b in same),
        compared=compared,
        gaps=gaps,
        answers=tuple(_answer(each, both, rules) for each in (*compared, *gaps)),
        method=_method(compared, gaps, rules),
        caveats=tuple(_caveats(both, found, compared, rules)),
    )


def _gaps(both: Both) -> list[Asked]:
    """The gap of every other norm to the baseline, where the experiments have the same one."""
    baseline = both.baseline
    if baseline is None:
        return []
    others = [norm for norm in both.norms if norm != baseline]
    return [Asked(norm, sizes, baseline) for sizes in both.sizes for norm in others]


# -- in words --------------------------------------------------------------------------------------


def _answer(compared: Compared, both: Both, rules: Rules) -> Answer:
    size = compared.asked.sizes[1]
    place = f" at batch size {size}" if len(both.sizes) > 1 else ""
    text = _sentence(compared, rules, place)
    outcome = "" if compared.identical else compared.verdict.outcome
    return Answer(compared.asked.norm, text, outcome)


def _sentence(compared: Compared, rules: Rules, place: str) -> str:
    asked, verdict = compared.asked, compared.verdict
    n, mean = len(verdict.judgement.pairs.seeds), verdict.difference.mean
    against = f"{_capital(verdict.norm)} against A{place}"
    if asked.against is None:
        against = f"{verdict.norm} against {verdict.baseline}{place}"
    if compared.identical:
        return (
            f"{_capital(asked.what) if asked.against else asked.what}{place} is identical in A and "
            f"B: in {_each(n)} the trials left the same losses and accuracies, to the last bit."
        )
    if not n:
        return f"{against}: there is no seed in which all trials have ended, so nothing is said."
    if n == 1 and mean is not None:
        return f"{against}: {signed(mean)} points in one seed: no conclusion."
    if asked.against is None:
        return verdict_sentence(verdict, rules, place)
    return _gap_sentence(compared, rules, place)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _each(seeds: int) -> str:
    return "the one seed" if seeds == 1 else f"each of {seeds} seeds"


def _gap_sentence(compared: Compared, rules: Rules, place: str) -> str:
    """``gn gains 1.20 points on bn in B``, with both gaps; or that it is the same, or undecided."""
    asked, verdict, judgement = compared.asked, compared.verdict, compared.verdict.judgement
    mean = judgement.difference.mean
    if mean is None:
        return _gap_by_signs(compared, rules, place)
    gaps = f"{signed(compared.b.mean)} points there, {signed(compared.a.mean)} in A"
    sure = interval_words(judgement, rules)
    if verdict.outcome in ("better", "worse"):
        small = ", which is within the margin" if judgement.within_margin else ""
        size = f"{number(abs(mean), 2)} points {_against(compared)} in B{place}"
        return f"{asked.norm} {_gains(compared)} {size} ({sure}){small}. Its gap is {gaps}."
    if verdict.outcome == "equivalent":
        return (
            f"{_capital(asked.what)}{place} is equivalent in B: it changes by {signed(mean)} "
            f"points ({sure}). It is {gaps}."
        )
    return (
        f"Whether {asked.what}{place} changes is undecided: "
        f"{undecided_words(verdict, rules, mean, sure)}. It is {gaps}."
    )


def _gains(compared: Compared) -> str:
    return "gains" if compared.verdict.outcome == "better" else "loses"


def _against(compared: Compared) -> str:
    word = "on" if compared.verdict.outcome == "better" else "against"
    return f"{word} {compared.asked.against}"


def _gap_by_signs(compared: Compared, rules: Rules, place: str) -> str:
    """Where a trial diverged or collapsed."""
    asked, verdict = compared.asked, compared.verdict
    values = verdict.judgement.pairs.differences
    counts = (
        f"the gap is higher there in {sum(v > 0 for v in values)} and lower in "
        f"{sum(v < 0 for v in values)} of {counted(len(values), 'seed')}; trials "
        f"{verdict.guessing_in_all.how}, which counts as guessing; "
        f"{'sign' if rules.sequential else 'sign-flip'} test, p {verdict.judgement.p_value:.2g}"
    )
    if verdict.decided:
        return f"{asked.norm} {_gains(compared)} {_against(compared)} in B{place}: {counts}."
    return f"Whether {asked.what}{place} changes in B is undecided: {counts}."


def _method(compared: Sequence[Compared], gaps: Sequence[Compared], rules: Rules) -> str:
    """How the verdicts were reached; "" where there is but one seed, or nothing to be tested."""
    counts = {each.verdict.difference.n for each in compared}
    if max(counts) < 2 or all(each.identical for each in compared):
        return ""
    design = fixed_words(counts, rules)
    if rules.sequential:
        design = (
            "Sequential design, since seeds that both have were added after a look at results: "
            "intervals valid at every look"
        )
    told = f"{design}. {holm_words(len(compared), rules)}."
    if gaps:
        told += (
            f" The gaps to {gaps[0].asked.against} are a family of their own, of "
            f"{counted(len(gaps), 'comparison')}, judged alike."
        )
    early = forecast_note([each.verdict for each in (*compared, *gaps)], rules)
    return f"{told} {early}".rstrip()


def _caveats(
    both: Both, found: Sequence[Differing], compared: Sequence[Compared], rules: Rules
) -> list[str]:
    """What the verdicts cannot carry, in the order of its weight."""
    told = []
    causes = [each.what for each in found if each.cause]
    if len(causes) > 1:
        told.append(
            f"They differ in several things ({', '.join(causes)}), so that no single one of them "
            "can be called the cause of a difference."
        )
    told += _few(compared, rules)
    told += _unfinished(compared)
    told += _only_one(both, compared, rules)
    return told


def _few(compared: Sequence[Compared], rules: Rules) -> list[str]:
    """That there are too few seeds for what is not identical."""
    most = max((each.verdict.difference.n for each in compared if not each.identical), default=0)
    if most == 1:
        return [
            "One seed in common: no conclusion. The same network, trained again with another seed, "
            "ends elsewhere, often by as much as these runs differ. Train both with the same five "
            "seeds or more."
        ]
    if most == 2 and not rules.sequential:
        return [
            "Two seeds in common: the interval of two differences reaches 12.7 standard errors to "
            "either side, so that hardly any difference is decided."
        ]
    if 0 < most < LEAST_SEEDS and rules.sequential:
        return [
            f"{counted(most, 'seed')} in common: looks that are valid after every seed say nothing "
            f"before there are {LEAST_SEEDS}."
        ]
    return []


def _unfinished(compared: Sequence[Compared]) -> list[str]:
    """Which norms lack trials that both plan, in a fixed design; looks take what there is."""
    lacking = [each for each in compared if each.verdict.unfinished]
    if not lacking:
        return []
    named = ", ".join(dict.fromkeys(each.asked.norm for each in lacking))
    trials = sum(each.verdict.unfinished for each in lacking)
    return [
        f"{counted(trials, 'trial')} of the seeds that both plan did not finish or {_has(trials)} "
        f"not been run ({named}). In a fixed design that leaves their comparisons undecided, "
        "because the trials that are missing may be those that went worst."
    ]


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _only_one(both: Both, compared: Sequence[Compared], rules: Rules) -> list[str]:
    """What was left out because only one of the two has it."""
    told = []
    for place, (name, side) in enumerate((("A", both.a), ("B", both.b))):
        sizes = {pair[place] for pair in both.sizes}
        left = [norm for norm in side.experiment.norms if norm not in both.norms]
        left += [f"batch size {s}" for s in side.experiment.batch_sizes if s not in sizes]
        unpaired = {each: _unpaired(each, side, place, both, rules) for each in compared}
        left += _seeds_of_norms(unpaired)
        if left:
            told.append(f"Left out, as only {name} has it: {', '.join(left)}.")
    return told


def _unpaired(
    compared: Compared, side: Side, place: int, both: Both, rules: Rules
) -> tuple[int, ...]:
    """The seeds of one side that are not compared, but for those that the other still plans.

    Looks take no account of what is planned.
    """
    taken = {*compared.verdict.judgement.pairs.seeds}
    if not rules.sequential:
        taken |= {*both.seeds}
    key = (compared.asked.norm, compared.asked.sizes[place])
    return tuple(
        seed
        for (norm, size, seed), result in side.results.items()
        if (norm, size) == key and seed not in taken and result.status != "failed"
    )


def _seeds_of_norms(unpaired: Mapping[Compared, tuple[int, ...]]) -> list[str]:
    """``seeds 3 to 9``; and of which norms, unless all have the same."""
    norms: dict[tuple[int, ...], list[str]] = {}
    for compared, seeds in unpaired.items():
        norms.setdefault(tuple(sorted(seeds)), []).append(compared.asked.norm)
    return [
        _seeds_words(seeds) + (f" of {' and '.join(dict.fromkeys(own))}" if len(norms) > 1 else "")
        for seeds, own in norms.items()
        if seeds
    ]


def _seeds_words(seeds: Collection[int]) -> str:
    """``seed 7``, ``seeds 1, 3 to 9``: neighbours are told by their ends."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = [_run(run) for run in runs]
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(parts)}"


def _run(run: Sequence[int]) -> str:
    if len(run) < 3:
        return ", ".join(map(str, run))
    return f"{run[0]} to {run[-1]}"
