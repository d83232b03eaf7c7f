"""Numbers -> sentences: the answers, what else was found, and what limits both."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from normscope.config import DatasetFacts, Experiment, Request
from normscope.mistakes import Mistakes
from normscope.secondary import SecondaryFinding
from normscope.summaries import ONE_SEED, NormSummary, TrialSummary
from normscope.tuning import Search
from normscope.verdicts import Judgement, Rules, Verdict

MANY = 4  # more norms than that beside the baseline are told by the extremes, the rest in tables
MANY_SEEDS = 1000  # what `stats.seeds_to_decide` looks at


def answers(norms: Sequence[NormSummary], rules: Rules, several_sizes: bool) -> tuple[str, ...]:
    """One sentence per comparison with the baseline.

    The decided ones first, then by the size of the difference; or by batch size, as they come.
    """
    verdicts = [norm.verdict for norm in norms if norm.verdict]
    if not verdicts:
        return tuple(_alone(norm, several_sizes) for norm in norms)
    if not several_sizes:
        verdicts.sort(key=lambda v: (not v.decided, -abs(v.difference.mean or 0)))
    return tuple(verdict_sentence(verdict, rules, several_sizes) for verdict in verdicts)


def _alone(norm: NormSummary, several_sizes: bool) -> str:
    mean = norm.test_accuracy_percent.mean
    reached = "finished no trial" if mean is None else f"reached {mean:.1f} % on the test images"
    where = f" with a batch size of {norm.batch_size}" if several_sizes else ""
    return f"{norm.norm} {reached}{where}; there is no other norm to compare it with."


def verdict_sentence(verdict: Verdict, rules: Rules, several_sizes: bool = False) -> str:
    """The sentence that the numbers allow, with its interval and n; what an undecided one lacks."""
    judgement = verdict.judgement
    pairs, mean = judgement.pairs, judgement.difference.mean
    place = f" at batch size {pairs.batch_size}" if several_sizes else ""
    against = f"{pairs.norm} against {verdict.baseline}{place}"
    if not pairs.seeds:
        return f"{against}: no seed in which both finished."
    if mean is None:
        return _ordinal_sentence(verdict, rules, against, place)
    if len(pairs.seeds) == 1:
        return f"{against}: {signed(mean)} points in one run each ({ONE_SEED})."
    interval = interval_words(judgement, rules)
    if verdict.outcome in ("better", "worse"):
        size = f"{abs(mean):.2f} points {verdict.outcome} than {verdict.baseline}{place}"
        small = ", which is within the margin" if judgement.within_margin else ""
        return f"{pairs.norm} is {size} ({interval}){small}."
    if verdict.outcome == "equivalent":
        return (
            f"{pairs.norm} is equivalent to {verdict.baseline}{place}: {signed(mean)} points "
            f"({interval}), within {rules.margin:g} points of it."
        )
    return f"{against} is undecided: {_undecided(verdict, rules, mean, interval)}."


def _ordinal_sentence(verdict: Verdict, rules: Rules, against: str, place: str) -> str:
    """Where a trial diverged only signs are compared, and no interval is given."""
    judgement = verdict.judgement
    values, (own, other) = judgement.pairs.differences, verdict.diverged
    seeds = counted(len(values), "seed")
    counts = (
        f"ahead in {sum(v > 0 for v in values)} and behind in {sum(v < 0 for v in values)} of "
        f"{seeds}, diverged trials ({own} and {other}) counted as guessing; "
        f"{'sign' if rules.sequential else 'sign-flip'} test, p {judgement.p_value:.2g}"
    )
    if verdict.decided:
        norm, outcome, baseline = judgement.pairs.norm, verdict.outcome, verdict.baseline
        return f"{norm} is {outcome} than {baseline}{place}: {counts}."
    return f"{against} is undecided: {counts}."


def standing(verdict: Verdict, several_sizes: bool = False) -> str:
    """``gn: -1.42 [-2.01, -0.83] worse``: how a comparison stands, for a line of a terminal."""
    judgement = verdict.judgement
    pairs, difference = judgement.pairs, judgement.difference
    name = f"{pairs.norm} at {pairs.batch_size}" if several_sizes else pairs.norm
    if not pairs.seeds:
        return f"{name}: no seed in which both finished"
    if difference.mean is None:
        return f"{name}: {verdict.outcome}, by signs, since trials diverged"
    low, high, needed = difference.low, difference.high, judgement.seeds_needed
    interval = "" if low is None or high is None else f" [{signed(low)}, {signed(high)}]"
    more = f", about {needed} seeds needed" if needed else ""
    return f"{name}: {signed(difference.mean)}{interval} {verdict.outcome}{more}"


def interval_words(judgement: Judgement, rules: Rules) -> str:
    """``95 % interval -1.90 to -0.88; 9 seeds``."""
    difference = judgement.difference
    low, high, seeds = difference.low, difference.high, counted(difference.n, "seed")
    if low is None or high is None:
        return f"no interval yet; {seeds}"
    words = f"{confidence(rules)} interval {signed(low)} to {signed(high)}"
    if difference.mean is not None and not low <= difference.mean <= high:
        words += ", to which earlier looks narrowed it, while the mean moved on"
    return f"{words}; {seeds}"


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def signed(points: float) -> str:
    """With its sign and two decimals, and no negative zero."""
    return f"{round(points, 2) + 0.0:+.2f}"


def confidence(rules: Rules) -> str:
    return f"{100 * (1 - rules.alpha):g} %"


def _undecided(verdict: Verdict, rules: Rules, mean: float, interval: str) -> str:
    judgement = verdict.judgement
    n = judgement.difference.n
    if verdict.unfinished and not rules.sequential:
        have = "has" if verdict.unfinished == 1 else "have"
        return (
            f"{verdict.unfinished} of their trials {have} not finished. The seeds in which both "
            f"have differ by {signed(mean)} points ({counted(n, 'seed')})"
        )
    if not judgement.spread:
        return (
            f"{signed(mean)} points in every one of {n} seeds, which leaves no spread to judge by"
        )
    if judgement.contradictory:
        return (
            "its intervals at different numbers of seeds exclude each other: the differences do "
            f"not look like draws from one distribution (mean {signed(mean)} points; {n} seeds)"
        )
    needed = judgement.seeds_needed
    more = f"about {needed} seeds in all" if needed else f"more than {MANY_SEEDS:,} seeds"
    return f"{signed(mean)} points ({interval}); {more} would probably decide it"


def method(
    rules: Rules, experiment: Experiment, requests: Sequence[Request], comparisons: int
) -> str:
    """How the verdicts were reached, in a few sentences."""
    if not comparisons:
        return ""
    family = f"{comparisons} comparison{'s' if comparisons > 1 else ''}"
    if not rules.sequential:
        design = f"Fixed design, n = {experiment.seeds}: paired t intervals"
    elif any(request.design.until_decided for request in requests):
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
    return (
        f"{design}; {family}, in which a false claim of a difference has a chance of at most "
        f"{100 * rules.alpha:g} % (Holm), and one of equivalence, within {rules.margin:g} points, "
        f"likewise. {protocol}."
    )


LEADS = {
    "epochs_to_levels": "Speed: compared with {baseline}, {level} test accuracy was on average "
    "reached",
    "drop_sum_points": "Smoothness: compared with {baseline}, test accuracy fell on average, all "
    "drops together,",
    "gap_points": "Gap: compared with {baseline}, the gap between train and test accuracy was on "
    "average",
    "calibration_error_points": "Calibration: compared with {baseline}, the calibration error was "
    "on average",
}


def findings(
    norms: Sequence[NormSummary],
    trials: Sequence[TrialSummary],
    secondary: Sequence[SecondaryFinding],
    winners: Sequence[str] | None,
    mistakes: Mistakes,
    experiment: Experiment,
    rules: Rules,
    level: float,
    one_machine: bool,
) -> tuple[str, ...]:
    """What the numbers say besides accuracy: each sentence begins with its topic and a colon."""
    if max(norm.finished for norm in norms) < 2:
        return tuple(f"{sentence} ({ONE_SEED})." for sentence in _single_runs(norms, level))
    sentences = _winners(winners, norms)
    for field, lead in LEADS.items():
        sentences += _compared(secondary, field, lead, experiment.baseline, rules)
        if field == "epochs_to_levels":
            sentences += _unreached(norms, level)
    sentences += _costs(trials, experiment) if one_machine else []
    sentences += _mistakes(mistakes)
    return tuple(f"{sentence}." for sentence in sentences)


def tuning_findings(searches: Sequence[Search], several_sizes: bool) -> tuple[str, ...]:
    """The chosen learning rates, and which of them lie at the edge of what was tried."""
    done = [search for search in searches if search.best is not None]
    found = [search for search in done if any(search.accuracy_percent)]

    def name(search: Search) -> str:
        return f"{search.norm} at {search.batch_size}" if several_sizes else search.norm

    dead = [name(search) for search in done if not any(search.accuracy_percent)]
    lost = f"Tuning: every learning rate that was tried diverged with {', '.join(dead)}."
    if not found:
        return (lost,) if dead else ()

    chosen = ", ".join(f"{search.best:.3g} for {name(search)}" for search in found)
    edges = [name(search) for search in found if search.at_edge]
    widened = (
        f"; for {', '.join(edges)} it lies at the edge of the widest grid, so a better one may lie "
        "beyond"
        if edges
        else ", none of them at an edge of its grid"
    )
    sentence = f"Tuning: the learning rates chosen on held-out images are {chosen}{widened}."
    return (sentence, lost) if dead else (sentence,)


def _winners(winners: Sequence[str] | None, norms: Sequence[NormSummary]) -> list[str]:
    """The norms that no other beats, of three or more."""
    if winners is None or len(norms) < 3:
        return []
    pairs = len(norms) * (len(norms) - 1) // 2
    if len(winners) == len(norms):
        return [
            f"Winner set: all norms; in the family of all {pairs} pairs, which takes more evidence "
            "than that of the answers, no norm is shown to beat another"
        ]
    return [
        f"Winner set: {', '.join(winners)}; every other norm is beaten by some norm, all {pairs} "
        "pairs tested together"
    ]


def _listed(items: Sequence[tuple[float, str]]) -> str:
    """All items, each a value and its words; of many the one of least and of greatest value."""
    if len(items) <= MANY:
        return ", ".join(words for _, words in items)
    ranked = sorted(items, key=lambda item: item[0])
    return f"from {ranked[0][1]} to {ranked[-1][1]}, the other {len(items) - 2} norms between"


def _compared(
    secondary: Sequence[SecondaryFinding], field: str, lead: str, baseline: str, rules: Rules
) -> list[str]:
    """The mean difference of every norm to the baseline; nothing if none differs in any seed."""
    found = [f for f in secondary if f.metric.field == field and f.judgement.pairs.seeds]
    sentences = []
    for metric in dict.fromkeys(f.metric for f in found):
        own = [f for f in found if f.metric == metric]
        if any(any(f.judgement.pairs.differences) for f in own):
            items = [(f.judgement.difference.mean or 0.0, _difference(f, rules)) for f in own]
            level = metric.title.removeprefix("Epochs to ")
            sentences.append(f"{lead.format(baseline=baseline, level=level)} {_listed(items)}")
    return sentences


def _difference(found: SecondaryFinding, rules: Rules) -> str:
    """``0.4 epochs later with ln (later in 2 of 3 seeds, undecided)``; or the interval, decided."""
    metric, judgement = found.metric, found.judgement
    values = judgement.pairs.differences
    n, mean = len(values), judgement.difference.mean or 0.0
    above, below = sum(value > 0 for value in values), sum(value < 0 for value in values)
    counts = f"{metric.greater} in {above}, {metric.smaller} in {below} of {counted(n, 'seed')}"
    if judgement.pairs.ordinal:
        word = metric.same if above == below else [metric.smaller, metric.greater][above > below]
        size = f"{word} with {found.norm}"
    elif round(mean, metric.decimals) == 0:
        size = f"{metric.same} with {found.norm}"
    else:
        word, count = (metric.greater, above) if mean > 0 else (metric.smaller, below)
        size = f"{abs(mean):.{metric.decimals}f} {metric.unit} {word} with {found.norm}"
        counts = f"{word} in {count} of {counted(n, 'seed')}"
    if not found.decided:
        return f"{size} ({counts}; undecided)"
    if judgement.difference.low is None or judgement.difference.high is None:
        return f"{size} ({counts}; p {judgement.p_value:.2g})"
    low, high = judgement.difference.low, judgement.difference.high
    places = metric.decimals
    return f"{size} ({confidence(rules)} interval {low:+.{places}f} to {high:+.{places}f})"


def _single_runs(norms: Sequence[NormSummary], level: float) -> list[str]:
    """The numbers of single runs, described and not compared."""
    speeds = [
        (norm.epochs_to_level.mean, f"{norm.epochs_to_level.mean:.1f} with {norm.norm}")
        for norm in norms
        if norm.epochs_to_level.mean is not None
    ]
    falls = [
        (norm.drop_sum_points.mean, f"{norm.drop_sum_points.mean:.2f} with {norm.norm}")
        for norm in norms
        if norm.drop_sum_points.mean is not None
    ]
    speed = f"Speed: epochs until test accuracy reached {level:g} %: {_listed(speeds)}"
    smoothness = f"Smoothness: points by which test accuracy fell in all: {_listed(falls)}"
    return [
        *([speed] if speeds else []),
        *_unreached(norms, level),
        *([smoothness] if falls else []),
    ]


def _unreached(norms: Sequence[NormSummary], level: float) -> list[str]:
    """In how many seeds test accuracy stayed below the level, where it did."""
    absent = [
        (norm.finished - norm.reached, norm) for norm in norms if norm.reached < norm.finished
    ]
    if not absent:
        return []
    items = [
        (count / norm.finished, f"{count} of {norm.finished} with {norm.norm}")
        for count, norm in absent
    ]
    return [f"Speed: seeds in which {level:g} % was never reached: {_listed(items)}"]


def _costs(trials: Sequence[TrialSummary], experiment: Experiment) -> list[str]:
    """What a norm takes of time and memory, where it was measured."""
    times = _medians(trials, experiment, "seconds_per_epoch", "s", "long")
    memory = _medians(trials, experiment, "peak_memory_mib", "MiB", "much")
    return [
        *([f"Time: an epoch took {times}; on a shared machine times vary"] if times else []),
        *([f"Memory: a training step held, at its peak, {memory}"] if memory else []),
    ]


def _medians(
    trials: Sequence[TrialSummary], experiment: Experiment, field: str, unit: str, word: str
) -> str:
    """Medians over the trials, for a trial that met a busy machine says nothing of the norm."""
    medians = {}
    for norm in experiment.norms:
        values = [getattr(t.metrics, field) for t in trials if t.norm == norm and t.metrics]
        values = [value for value in values if value is not None]
        if values:
            medians[norm] = float(np.median(values))
    baseline = medians.pop(experiment.baseline, None)
    if baseline is None or not medians:
        return ""
    items = [
        (median, f"{median:.1f} {unit} with {norm} ({median / baseline:.2f} times as {word})")
        for norm, median in medians.items()
    ]
    return f"in the median {baseline:.1f} {unit} with {experiment.baseline}, {_listed(items)}"


def _mistakes(mistakes: Mistakes) -> list[str]:
    if not mistakes.confusions:
        return []
    share = 100 * mistakes.wrong_for_all / mistakes.test_size
    norms = list(mistakes.confusions)
    sentences = [
        f"Mistakes: {mistakes.wrong_for_all:,} of {mistakes.test_size:,} test images "
        f"({share:.1f} %) were misclassified in most seeds "
        f"{'by every norm' if len(norms) > 1 else f'by {norms[0]}'}"
    ]
    if mistakes.wrong_only_for:
        alone = [(n, f"{n:,} with {norm}") for norm, n in mistakes.wrong_only_for.items()]
        sentences.append(
            "Mistakes: images wrong with one norm in most seeds, and right with every other in "
            f"most: {_listed(alone)}"
        )
    return sentences


def caveats(
    norms: Sequence[NormSummary],
    searches: Sequence[Search],
    requests: Sequence[Request],
    experiment: Experiment,
    facts: DatasetFacts,
    one_machine: bool,
) -> tuple[str, ...]:
    """What limits the conclusions, in the order of its weight."""
    sentences = []
    if max(norm.finished for norm in norms) == 1:
        sentences.append(f"{ONE_SEED[0].upper()}{ONE_SEED[1:]}.")
    open_ = [search for search in searches if search.best is None]
    if open_:
        sentences.append(
            f"The search for learning rates is not finished for {len(open_)} of {len(searches)}: "
            "the same command goes on with it."
        )
    if facts.synthetic:
        sentences.append(f"{facts.name} is synthetic: its images are drawn by a program.")
    sentences += _unfinished(norms)
    sentences += _changed_rules(requests)
    sentences += _added(requests)
    if not one_machine:
        sentences.append(
            "Trials ran in different ways (processor, device, threads, kernels or fleet differ): "
            "their times are not comparable."
        )
    return tuple(sentences)


def _changed_rules(requests: Sequence[Request]) -> list[str]:
    """Rules that were set anew when there were results to look at."""
    changed = set()
    for before, after in pairwise(requests):
        for name in ("alpha", "margin_points"):
            old, new = getattr(before.design, name), getattr(after.design, name)
            if old != new and after.results_before != 0:
                changed.add(name.removesuffix("_points"))
    if not changed:
        return []
    verb = "were" if len(changed) > 1 else "was"
    return [f"The {' and the '.join(sorted(changed))} {verb} changed after a look at results."]


def _added(requests: Sequence[Request]) -> list[str]:
    """Norms and batch sizes that joined when there were results to look at."""
    known: set[str] = set()
    added: list[str] = []
    for number, request in enumerate(requests):
        sizes = [f"batch size {size}" for size in request.batch_sizes]
        new = [name for name in (*request.norms, *sizes) if name not in known]
        if number and request.results_before != 0:
            sizes_known = any(earlier.batch_sizes for earlier in requests[:number])
            added += [name for name in new if sizes_known or name not in sizes]
        known |= set(new)
    if not added:
        return []
    return [
        f"Added after a look at results, which enlarged the family: {', '.join(added)}. Adding "
        "to it until something is found better is not covered by any correction."
    ]


def _unfinished(norms: Sequence[NormSummary]) -> list[str]:
    """Which norms lack trials, and why; of many norms, how many trials are lacking in all."""
    lacking = [norm for norm in norms if norm.finished < norm.trials]
    several = len({norm.batch_size for norm in norms}) > 1
    if len(lacking) <= MANY:
        places = [f" at batch size {norm.batch_size}" if several else "" for norm in lacking]
        return [
            f"{norm.norm}{place}: {_fates([norm])}."
            for norm, place in zip(lacking, places, strict=True)
        ]
    what = "norms and batch sizes" if several else "norms"
    return [f"{len(lacking)} of {len(norms)} {what} lack trials; of all {what} {_fates(norms)}."]


def _fates(norms: Sequence[NormSummary]) -> str:
    counts = [(n.trials, n.finished, n.diverged, n.failed) for n in norms]
    trials, finished, diverged, failed = (sum(column) for column in zip(*counts, strict=True))
    absent = trials - finished - diverged - failed
    return (
        f"{finished} of {counted(trials, 'trial')} finished ({diverged} diverged, {failed} failed, "
        f"{absent} not run)"
    )
