"""Verdicts -> sentences: the answers, how they were reached, and how a comparison stands."""

from collections.abc import Collection, Iterable, Sequence

from normscope.analysis.contrasts import candidates
from normscope.analysis.numbers import Numbers
from normscope.analysis.sentences import Answer
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Judgement, Outcome, Rules, Verdict
from normscope.experiment import LEAST_SEEDS
from normscope.words import confidence, counted, interval, listed, number, signed

ONE_SEED = "one seed: no conclusion about the norm"
MANY = 4  # more norms than that beside the baseline are told by the extremes, the rest in tables
MANY_SEEDS = 1000  # what `stats.seeds_to_decide` looks at


def answers_of(numbers: Numbers) -> tuple[Answer, ...]:
    """One sentence per comparison with the baseline, by batch size, then in the order of norms."""
    verdicts = numbers.verdicts
    if not verdicts:
        return tuple(Answer(norm.norm, _alone(norm, numbers)) for norm in numbers.by_batch_size)
    return tuple(
        Answer(
            v.norm,
            verdict_sentence(v, numbers.rules, scope_words(v.batch_size, numbers)),
            v.outcome,
        )
        for v in verdicts
    )


def named(norms: Sequence[str]) -> str:
    """``gn, in and ln``; of many, how many they are."""
    if len(norms) > MANY:
        return f"{len(norms)} norms"
    return listed(norms)


def scope_words(batch_size: int, numbers: Numbers) -> str:
    """`` at batch size 8 after 32 steps``: what a sentence holds for, where that is not obvious."""
    scope = numbers.scope(batch_size)
    size = f" at batch size {batch_size}" if numbers.several_sizes else ""
    return size + (f" after {counted(scope.steps, 'step')}" if scope.limited else "")


def _alone(norm: NormSummary, numbers: Numbers) -> str:
    accuracy, place = norm.test_accuracy_percent, scope_words(norm.batch_size, numbers)
    guessing = norm.guessing.in_seeds if norm.guessing.total else ""
    told = f"{guessing or 'finished no trial'}{place}"
    if accuracy.mean is not None:
        seeds = counted(accuracy.n, "seed")
        told = f"reached {number(accuracy.mean, 1)} % on the test images{place} ({seeds})"
        told += f", but {guessing}" if guessing else ""
    return f"{norm.norm} {told}; there is no other norm to compare it with."


def verdict_sentence(verdict: Verdict, rules: Rules, place: str = "") -> str:
    """The sentence that the numbers allow, with its interval and n; what an undecided one lacks.

    `place`: the batch size and length of training that it is for, to follow the norms' names.
    """
    judgement, baseline = verdict.judgement, verdict.baseline
    pairs, mean = judgement.pairs, judgement.difference.mean
    against = f"{pairs.norm} against {baseline}{place}"
    if not pairs.seeds:
        return f"{against}: there is no seed in which both finished."
    if mean is None:
        return _sentence_of_signs(verdict, rules, place)
    if len(pairs.seeds) == 1:
        return f"{against}: {signed(mean)} points in one run each ({ONE_SEED})."
    sure = interval_words(judgement, rules)
    if verdict.outcome in ("better", "worse"):
        size = f"{number(abs(mean), 2)} points {verdict.outcome} than {baseline}{place}"
        return f"{pairs.norm} is {size} ({sure}){_small(judgement, rules)}."
    if verdict.outcome == "equivalent":
        return f"{pairs.norm} is equivalent to {baseline}{place}: {signed(mean)} points ({sure})."
    return f"{against} is undecided: {undecided_words(verdict, rules, mean, sure)}."


def _small(judgement: Judgement, rules: Rules) -> str:
    """That a decided difference is equivalence too, and by which interval, if not by its own."""
    if not judgement.within_margin:
        return ""
    sides, own = judgement.equivalence, judgement.supporting
    words = ", which is within the margin"
    if sides and own and rules.margin and max(-own[0], own[1]) >= rules.margin:
        words += f" ({confidence(rules.sides_alpha)} interval {interval(*sides)})"
    return words


def _sentence_of_signs(verdict: Verdict, rules: Rules, place: str) -> str:
    """Where a trial diverged or collapsed only signs are compared, and no interval is given."""
    judgement, baseline = verdict.judgement, verdict.baseline
    norm, values = verdict.norm, judgement.pairs.differences
    both = zip((norm, baseline), verdict.guessing, strict=True)
    guessing = ", ".join(f"{name} {found.in_seeds}" for name, found in both if found.total)
    test = "sign" if rules.sequential else "sign-flip"
    counts = (
        f"ahead in {sum(v > 0 for v in values)} and behind in {sum(v < 0 for v in values)} of "
        f"{counted(len(values), 'seed')}; {guessing}, which counts as guessing; {test} test, "
        f"p {judgement.p_value:.2g}"
    )
    if verdict.decided:
        return f"{norm} is {verdict.outcome} than {baseline}{place}: {counts}."
    return f"{norm} against {baseline}{place} is undecided: {counts}."


def standing(verdict: Verdict, several_sizes: bool = False) -> str:
    """``gn: -1.42 [-2.01, -0.83] worse``: how a comparison stands, for a line of a terminal.

    Of an open one also how many more seeds would probably decide it, with the range of 80 %.
    """
    judgement = verdict.judgement
    pairs, difference = judgement.pairs, judgement.difference
    name = f"{pairs.norm} at {pairs.batch_size}" if several_sizes else pairs.norm
    if not pairs.seeds:
        return f"{name}: no seed in which both finished"
    if difference.mean is None:
        how = verdict.guessing_in_all.how
        return f"{name}: {verdict.outcome}, by signs, since trials {how}"
    found, more = judgement.supporting, _more_seeds(judgement)
    ends = f" [{signed(found[0])}, {signed(found[1])}]" if found else ""
    stands = f"{name}: {signed(difference.mean)}{ends} {verdict.outcome}"
    return f"{stands}, {more}" if more else stands


def _more_seeds(judgement: Judgement) -> str:
    """``about 29 more seeds (11 to 70)``; "" where nobody can tell."""
    if judgement.more_seeds is None:
        return ""
    about, least, most = judgement.more_seeds
    return f"about {counted(about, 'more seed')} ({least} to {most})"


def interval_words(judgement: Judgement, rules: Rules) -> str:
    """``95 % interval -1.90 to -0.88; 9 seeds``; of equivalence, that it lies in the margin."""
    difference, found = judgement.difference, judgement.supporting
    seeds = counted(difference.n, "seed")
    if found is None:
        return f"no interval yet; {seeds}"
    low, high = found
    equivalent = judgement.claim == "equivalent"
    sure = rules.sides_alpha if equivalent else rules.alpha
    words = f"{confidence(sure)} interval {interval(low, high)}"
    if equivalent:
        words += f", all of it within ±{rules.margin:g}"
    if difference.mean is not None and not low <= difference.mean <= high:
        words += ", which earlier looks narrowed; the mean has moved out of it since"
    return f"{words}; {seeds}"


def equivalence_note(outcomes: Iterable[Outcome], rules: Rules) -> str:
    """That equivalence does not rest on the intervals shown with it; "" where none is found.

    In the first version of the rules there is one interval for both.
    """
    if rules.version == 1 or "equivalent" not in outcomes:
        return ""
    return f"Equivalence is judged by a {confidence(rules.sides_alpha)} interval of its own."


def undecided_words(verdict: Verdict, rules: Rules, mean: float, sure: str) -> str:
    """Why nothing is decided: what is missing, or the mean, the interval `sure`, and what might."""
    judgement = verdict.judgement
    seeds = counted(judgement.difference.n, "seed")
    if verdict.unfinished and not rules.sequential:
        have = "has" if verdict.unfinished == 1 else "have"
        return (
            f"{verdict.unfinished} of their trials {have} not finished. Where both finished, the "
            f"mean difference is {signed(mean)} points ({seeds})"
        )
    if not judgement.spread:
        return f"{signed(mean)} points in every one of {seeds}, which leaves no spread to judge by"
    if judgement.contradictory:
        return (
            "its intervals at different numbers of seeds exclude each other: the differences do "
            f"not look like draws from one distribution (mean {signed(mean)} points; {seeds})"
        )
    if rules.overlap or rules.late or judgement.difference.n < LEAST_SEEDS:
        return f"{signed(mean)} points ({sure})"
    if more := _more_seeds(judgement):
        return f"{signed(mean)} points ({sure}); {more} would probably decide it"
    never = f"even {counted(MANY_SEEDS, 'seed')} would probably not decide it"
    return f"{signed(mean)} points ({sure}); {never}"


def forecast_note(verdicts: Iterable[Verdict], rules: Rules) -> str:
    """Why an undecided verdict foresees nothing; "" if none is so for want of seeds."""
    few = any(
        not verdict.decided
        and verdict.difference.mean is not None
        and verdict.judgement.spread
        and 1 < verdict.difference.n < LEAST_SEEDS
        for verdict in verdicts
    )
    if not few or rules.overlap or rules.late:
        return ""
    return f"How many more seeds would decide is foreseen from {LEAST_SEEDS} seeds on."


def no_further(numbers: Numbers) -> str:
    """Which norms a design until decided has dropped; "" if none.

    Its own rules dropped them, by whichever the verdicts are reached.
    """
    seeds, promised = numbers.experiment.seeds, numbers.promised
    baseline = promised.baseline if promised else numbers.experiment.baseline
    ended = [
        norm for norm in numbers.by_batch_size if norm.norm != baseline and norm.trials < seeds
    ]
    if not ended:
        return ""
    named = [
        f"{norm.norm}{f' at batch size {norm.batch_size}' if numbers.several_sizes else ''} "
        f"after {counted(norm.trials, 'seed')}"
        for norm in ended
    ]
    decided = "By the design's rules decided" if promised else "Decided"
    return f"{decided}, and so trained no further: {', '.join(named)}."


def method_of(numbers: Numbers) -> str:
    """How the verdicts were reached, in a few sentences; "" where there is nothing to compare."""
    rules, experiment = numbers.rules, numbers.experiment
    if not numbers.verdicts:
        return ""
    if not rules.sequential:
        design = fixed_words([experiment.seeds], rules)
    elif any(request.design.until_decided for request in numbers.requests):
        design = "Sequential design, seeds added until decided: intervals valid at every look"
    else:
        design = (
            "Sequential design, since seeds were added after a look at results: intervals valid "
            "at every look"
        )
    protocol = {
        "drop-in": "Protocol drop-in: one recipe for all norms",
        "tuned": "Protocol tuned: for every norm the learning rate that was best for it on images "
        "held out from the training set",
    }[experiment.protocol]
    chosen = candidates(experiment)
    answered = [v for v in numbers.verdicts if v.norm in chosen]
    regrouped = [v for v in numbers.verdicts if v.norm not in chosen]
    places = ""
    if numbers.places and list(numbers.places) != answered:
        family_of_places = counted(len(numbers.places), "comparison")
        places = f" The findings on placement are a family of their own, of {family_of_places}."
    causes = ""
    if regrouped:
        causes = (
            " Regrouped norms (order=...), which look for a cause, are a family of their own, of "
            f"{counted(len(regrouped), 'comparison')}."
        )
    version = ""
    if rules.version == 1:
        version = " By the first version of the rules, under which this experiment was begun."
    early = forecast_note(numbers.verdicts, rules)
    sure = holm_words(len(answered), rules)
    if numbers.promised:
        sure = f"It would hold for rules that were chosen in advance: {sure[0].lower()}{sure[1:]}"
    ended = no_further(numbers)
    told = f"{f' {ended}' if ended else ''}{places}{causes} {protocol}.{version} {early}".rstrip()
    return f"{design}. {sure}.{told}"


def fixed_words(counts: Collection[int], rules: Rules) -> str:
    """``Fixed design, n = 3: paired t intervals``; `counts` are the numbers of seeds there are."""
    n = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    words = f"Fixed design, n = {n}: paired t intervals"
    if rules.overlap:
        words += (
            f", widened for what the training sets of {round(1 / rules.overlap) + 1} folds share "
            "(Nadeau and Bengio 2003)"
        )
    return words


def holm_words(comparisons: int | None, rules: Rules) -> str:
    """What the tests promise, of a family of so many comparisons; None: of any."""
    family = "a family" if comparisons is None else "this family of "
    family += "" if comparisons is None else counted(comparisons, "comparison")
    equal = ""
    if rules.margin:
        equal = f", and so has a false claim of equivalence within {rules.margin:g} points"
    return (
        f"In {family} a false claim of a difference has a chance of at most "
        f"{100 * rules.alpha:g} % (Holm){equal}"
    )
