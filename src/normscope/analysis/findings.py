"""Numbers -> sentences: what was found besides the answers."""

from collections.abc import Sequence

import numpy as np

from normscope.analysis.answers import (
    MANY,
    ONE_SEED,
    interval_words,
    named,
    scope_words,
    verdict_sentence,
)
from normscope.analysis.compared import compared, listed, means
from normscope.analysis.contrasts import to_choose
from normscope.analysis.metrics import (
    BALANCED_ACCURACY,
    CALIBRATION,
    DROP_SUM,
    PEAK_MEMORY,
    SECONDS_PER_EPOCH,
    Metric,
)
from normscope.analysis.numbers import Numbers
from normscope.analysis.reliance import calibration_remarks, robustness_remarks
from normscope.analysis.sentences import Remark
from normscope.analysis.statistics_batch import sub_batch_remarks
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Rules, Verdict
from normscope.experiment.tuning import Search
from normscope.words import number, p_value, signed


def findings_of(numbers: Numbers) -> tuple[Remark, ...]:
    """What is said besides the answers, at the main batch size; single runs are described."""
    first = (*_tuning(numbers), *_places(numbers))
    if max(norm.finished for norm in numbers.norms) < 2:
        return (*first, *_single_runs(numbers))
    told = _balanced(numbers)
    for metric in dict.fromkeys(contrast.metric for contrast in numbers.secondary):
        told += compared(metric, numbers.secondary, numbers)
        if metric == CALIBRATION:
            told += calibration_remarks(numbers)
        if metric == numbers.level:
            told += _unreached(numbers)
    told += robustness_remarks(numbers)
    if numbers.ran_alike:
        told += _costs(numbers)
    told += _foreseen(numbers)
    return (
        *first,
        *sub_batch_remarks(numbers),
        *_winners(numbers),
        *told,
        *_mistakes(numbers),
    )


def _tuning(numbers: Numbers) -> list[Remark]:
    """The chosen learning rates, and which of them lie at the edge of what was tried."""

    def name(search: Search) -> str:
        return f"{search.norm} at {search.batch_size}" if numbers.several_sizes else search.norm

    done = [(search, search.best) for search in numbers.searches if search.best is not None]
    found = [(search, best) for search, best in done if any(search.accuracy_percent)]
    dead = [name(search) for search, _ in done if not any(search.accuracy_percent)]
    remarks = []
    if found:
        chosen = ", ".join(f"{best:.3g} for {name(search)}" for search, best in found)
        edges = [name(search) for search, _ in found if search.at_edge]
        edge = ", none of them at an edge of its grid"
        if edges:
            edge = (
                f"; for {', '.join(edges)} it lies at the edge of the widest grid, so a better one "
                "may lie beyond"
            )
        text = f"the learning rates chosen on held-out images are {chosen}{edge}."
        remarks.append(Remark("Tuning", text))
    if dead:
        names = ", ".join(dead)
        text = (
            f"with {names}, training diverged or collapsed at every learning rate that was tried."
        )
        remarks.append(Remark("Tuning", text))
    return remarks


def _places(numbers: Numbers) -> list[Remark]:
    """Whether it matters where a norm sits; nothing where an answer is just that."""
    answers = {(v.norm, v.baseline): v for norm in numbers.norms if (v := norm.verdict)}
    untold = [v for v in numbers.places if v != answers.get((v.norm, v.baseline))]
    scope = scope_words(numbers.experiment.main_batch_size, numbers)
    if len(untold) > MANY:
        return [_many_places(untold, scope, numbers.rules)]
    remarks = []
    for verdict in untold:
        text = verdict_sentence(verdict, numbers.rules, scope)
        answer = answers.get((verdict.norm, verdict.baseline))
        if answer and answer.outcome != verdict.outcome:
            text += (
                f" Among the answers it is {answer.outcome}, because it is tested with other "
                "comparisons there."
            )
        remarks.append(Remark("Placement", text))
    return remarks


def _many_places(verdicts: Sequence[Verdict], scope: str, rules: Rules) -> Remark:
    """How many norms do better before their activation, and the extremes of the differences."""
    norms: dict[str, list[str]] = {}
    for verdict in verdicts:
        norms.setdefault(verdict.outcome, []).append(verdict.baseline)
    outcomes = [
        f"{named(those)} {'is' if len(those) == 1 else 'are'} {outcome}"
        for outcome, those in norms.items()
    ]
    items = [
        (mean, f"{signed(mean)} points with {v.baseline} ({interval_words(v.judgement, rules)})")
        for v in verdicts
        if (mean := v.difference.mean) is not None
    ]
    text = f"before the activation instead of after it{scope}, {'; '.join(outcomes)}."
    if items:
        text += f" The mean differences are {listed(items)}."
    return Remark("Placement", text)


def _winners(numbers: Numbers) -> list[Remark]:
    """The norms that no other beats, of three or more, and why that may differ from the answers."""
    compared = to_choose(numbers.experiment)
    winners, norms = numbers.winners, [norm for norm in numbers.norms if norm.norm in compared]
    if winners is None or len(norms) < 3:
        return []
    text = f"{', '.join(winners)}; every other norm is beaten by some norm"
    if len(winners) == len(norms):
        text = "all norms, as none is shown to beat another"
    pairs = f"all {len(norms) * (len(norms) - 1) // 2} pairs are tested together"
    if len(norms) < len(numbers.norms):
        pairs = f"{pairs}, without regrouped norms"
    apart = [norm.norm for norm in norms if norm.norm in winners and _told_apart(norm)]
    baseline = numbers.experiment.baseline
    told = f"{text} ({pairs})."
    if apart and baseline in winners:
        told = (
            f"{text}. The answers tell {named(apart)} from {baseline}; the winner set does not, "
            f"because {pairs}, which takes more evidence."
        )
    unsure = "" if len(winners) == len(norms) else _undecided_members(winners, norms, baseline)
    return [Remark("Winner set", f"{told} {unsure}".rstrip())]


def _undecided_members(winners: Sequence[str], norms: Sequence[NormSummary], baseline: str) -> str:
    """What it means that an undecided norm is left out of the winner set, or kept in it."""
    undecided = [norm.norm for norm in norms if norm.verdict and not norm.verdict.decided]
    parts = []
    if left_out := [norm for norm in undecided if norm not in winners]:
        are, them = ("is", "it") if len(left_out) == 1 else ("are", "them")
        parts.append(f"{named(left_out)} {are} left out (some norm beats {them})")
    if kept := [norm for norm in undecided if norm in winners]:
        are = "is" if len(kept) == 1 else "are"
        parts.append(f"{named(kept)} {are} kept (not shown to be worse, nor to be as good)")
    if not parts:
        return ""
    return f"Of those that are undecided against {baseline}, {' and '.join(parts)}."


def _told_apart(norm: NormSummary) -> bool:
    return norm.verdict is not None and norm.verdict.outcome in ("better", "worse")


def _foreseen(numbers: Numbers) -> list[Remark]:
    """Whether the predictors before training knew the order after it."""
    if not numbers.predictions:
        return []
    parts = []
    for found in numbers.predictions:
        agreement = "no order to compare"
        if found.tau is not None:
            outcome = "undecided"
            if found.p_value <= numbers.rules.alpha:
                outcome = "foreseen" if found.tau > 0 else "the opposite of what was foreseen"
            p = f"p {p_value(found.p_value)}"
            agreement = f"Kendall's tau {number(found.tau, 2)}, {p}; {outcome}"
        metric = found.metric.title.lower()
        parts.append(f"{metric} by the {found.predictor} ({agreement})")
    text = (
        f"the order of {numbers.predictions[0].norms} norms, all of whose trials finished, against "
        f"that foreseen from untrained networks (arXiv 2106.05956): {', '.join(parts)}."
    )
    return [Remark("Forecast", text)]


def _single_runs(numbers: Numbers) -> list[Remark]:
    """The numbers of single runs, described and not compared."""
    note = f" ({ONE_SEED})"
    speeds, falls = means(numbers, numbers.level), means(numbers, DROP_SUM)
    speed = f"epochs until test accuracy reached {numbers.level_percent:g} %: {speeds}{note}."
    smoothness = f"points by which test accuracy fell in all: {falls}{note}."
    return [
        *_balanced(numbers, note),
        *([Remark("Speed", speed)] if speeds else []),
        *_unreached(numbers, note),
        *([Remark("Smoothness", smoothness)] if falls else []),
    ]


def _balanced(numbers: Numbers, note: str = "") -> list[Remark]:
    """What the norms reach if every class counts alike, where test classes are imbalanced."""
    found = means(numbers, BALANCED_ACCURACY)
    text = f"the mean of the recalls of all classes, in percent: {found}{note}."
    told = numbers.classes.test_imbalanced and found
    return [Remark(BALANCED_ACCURACY.topic, text)] if told else []


def _unreached(numbers: Numbers, note: str = "") -> list[Remark]:
    """In how many seeds test accuracy stayed below the level, where it did."""
    counts = [(n.norm, n.finished, n.reached[numbers.level.name]) for n in numbers.norms]
    items = [
        (1 - reached / finished, f"{finished - reached} of {finished} with {norm}")
        for norm, finished, reached in counts
        if reached < finished
    ]
    text = f"seeds in which {numbers.level_percent:g} % was never reached: {listed(items)}{note}."
    return [Remark("Speed", text)] if items else []


def _costs(numbers: Numbers) -> list[Remark]:
    """What a norm takes of time and memory, where it was measured."""
    times = _medians(numbers, SECONDS_PER_EPOCH, "long")
    memory = _medians(numbers, PEAK_MEMORY, "much")
    time = f"an epoch took {times}; times vary on a shared machine."
    peak = f"at its peak, a training step held {memory}."
    return [
        *([Remark("Time", time)] if times else []),
        *([Remark("Memory", peak)] if memory else []),
    ]


def _medians(numbers: Numbers, metric: Metric, word: str) -> str:
    """Medians over the trials, for a trial that met a busy machine says nothing of the norm."""
    medians = {}
    for norm in numbers.order:
        own = [t.metrics[metric.name] for t in numbers.trials if t.norm == norm and t.metrics]
        known = [value for value in own if value is not None]
        if known:
            medians[norm] = float(np.median(known))
    baseline = medians.pop(numbers.experiment.baseline, None)
    if baseline is None or not medians:
        return ""
    unit = metric.unit
    items = [
        (one, f"{number(one, 1)} {unit} with {norm} ({number(one / baseline, 2)} times as {word})")
        for norm, one in medians.items()
    ]
    first = f"{number(baseline, 1)} {unit} with {numbers.experiment.baseline}"
    return f"in the median {first}, {listed(items)}"


def _mistakes(numbers: Numbers) -> list[Remark]:
    mistakes, norms = numbers.mistakes, list(numbers.mistakes.confusions)
    if not norms:
        return []
    share = 100 * mistakes.wrong_for_all / mistakes.test_size
    whom = "every norm" if len(norms) > 1 else norms[0]
    remarks = [
        Remark(
            "Mistakes",
            f"{mistakes.wrong_for_all:,} of {mistakes.test_size:,} test images "
            f"({number(share, 1)} %) were misclassified by {whom} in most seeds.",
        )
    ]
    if mistakes.wrong_only_for:
        alone = [(n, f"{n:,} with {norm}") for norm, n in mistakes.wrong_only_for.items()]
        text = (
            "images that one norm got wrong in most seeds and every other got right in most: "
            f"{listed(alone)}."
        )
        remarks.append(Remark("Mistakes", text))
    return remarks
