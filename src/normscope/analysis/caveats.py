"""What limits the answers and findings, in sentences."""

import math
from collections.abc import Sequence
from itertools import pairwise

from normscope.analysis.answers import MANY, ONE_SEED, named
from normscope.analysis.guessing import Guessing
from normscope.analysis.metrics import TRAIN_ACCURACY
from normscope.analysis.numbers import Numbers
from normscope.analysis.scope import Scope, chance_limit
from normscope.analysis.sentences import Caveat
from normscope.analysis.summaries import NormSummary
from normscope.experiment import Request
from normscope.words import counted, number


def caveats_of(numbers: Numbers) -> tuple[Caveat, ...]:
    """What limits the conclusions, in the order of its weight."""
    caveats = [Caveat("damaged folder", text) for text in numbers.left_out]
    if numbers.promised:
        caveats.append(Caveat("chosen afterwards", numbers.promised.note))
    if max(norm.finished + norm.guessing.total for norm in numbers.by_batch_size) == 1:
        caveats.append(Caveat("one seed", f"{ONE_SEED[0].upper()}{ONE_SEED[1:]}."))
    caveats += _training(numbers)
    open_ = [search for search in numbers.searches if search.best is None]
    if open_:
        text = (
            f"The search for learning rates is not finished for {len(open_)} of "
            f"{len(numbers.searches)} norms and batch sizes: the same command goes on with it."
        )
        caveats.append(Caveat("unfinished search", text))
    facts = numbers.facts
    if facts.synthetic:
        text = f"{facts.name} is synthetic: its images are drawn by a program."
        caveats.append(Caveat("synthetic data", text))
    caveats += [Caveat("imbalanced classes", text) for text in numbers.classes.sentences]
    caveats += _resolution(numbers)
    caveats += _unfinished(numbers.by_batch_size)
    caveats += _changed_rules(numbers.requests)
    caveats += _added(numbers.requests)
    if not numbers.ran_alike:
        text = (
            "Trials ran in different ways (processor, device, threads, kernels or fleet differ): "
            "their times are not comparable."
        )
        caveats.append(Caveat("different machines", text))
    return tuple(caveats)


def _resolution(numbers: Numbers) -> list[Caveat]:
    """That there are too few test images to tell norms apart that differ by the margin."""
    facts, margin = numbers.facts, numbers.rules.margin
    shares = [norm.test_accuracy_percent.mean for norm in numbers.norms]
    known = [share / 100 for share in shares if share is not None]
    if facts.synthetic or not margin or not known or not numbers.verdicts:
        return []
    right = min(1.0, sum(known) / len(known))  # a mean of ones may be more by rounding
    error = 100 * math.sqrt(right * (1 - right) / facts.test_size)
    if max(error, 100 / facts.test_size) <= margin:
        return []
    advice = "" if numbers.experiment.folds else "; --folds 5 would test on every image"
    text = (
        f"{facts.test_size:,} test images cannot resolve the margin of {margin:g} points: one of "
        f"them is {number(100 / facts.test_size, 2)} points, and an accuracy on so many has a "
        f"standard error of about {number(error, 1)}. What is said holds for these images{advice}."
    )
    return [Caveat("few test images", text)]


def _training(numbers: Numbers) -> list[Caveat]:
    """That trials were not trained far enough for what is usually asked of a norm."""
    caveats = []
    short = [scope for scope in numbers.scopes if scope.short]
    if short:
        steps = ", ".join(
            f"{scope.steps:,} of {scope.usual_steps:,} steps{_place(scope, numbers)}"
            for scope in short
        )
        text = (
            f"Training was short compared with recipe {numbers.experiment.recipe.name} on the "
            f"whole training set: {steps}. The answers hold for this length only; after a full "
            "training the norms may come in another order."
        )
        caveats.append(Caveat("short training", text))
    for scope in numbers.scopes:
        if scope.near_chance:
            caveats.append(Caveat("near chance", _near_chance(scope, numbers)))
        caveats += [
            Caveat("running statistics", _lagging(norm, scope, numbers)) for norm in scope.lagging
        ]
        if scope.falling:
            text = (
                f"The train loss still fell steeply in the last epoch{_place(scope, numbers)} with "
                f"{named(scope.falling)}: a longer training would give other numbers."
            )
            caveats.append(Caveat("loss still falling", text))
    return caveats


def _place(scope: Scope, numbers: Numbers) -> str:
    return f" at batch size {scope.batch_size}" if numbers.several_sizes else ""


def _summary(norm: str, scope: Scope, numbers: Numbers) -> NormSummary:
    key = (norm, scope.batch_size)
    return next(n for n in numbers.by_batch_size if (n.norm, n.batch_size) == key)


def _near_chance(scope: Scope, numbers: Numbers) -> str:
    """Which norms hardly differ from guessing, and which of them do better in training."""
    chance = numbers.facts.chance_percent
    limit = chance_limit(chance)
    summaries = [_summary(norm, scope, numbers) for norm in scope.near_chance]
    trained = [(n.norm, n.estimates[TRAIN_ACCURACY.name].mean or 0.0) for n in summaries]
    above = [f"{number(mean, 1)} % with {norm}" for norm, mean in trained if mean > limit]
    training = f", although train accuracy is {', '.join(above)}" if 0 < len(above) <= MANY else ""
    return (
        f"Test accuracy is near chance with {named(scope.near_chance)}{_place(scope, numbers)}: "
        f"below {number(limit, 1)} % in every seed, where guessing gives {number(chance, 1)} %"
        f"{training}."
    )


def _lagging(norm: str, scope: Scope, numbers: Numbers) -> str:
    summary = _summary(norm, scope, numbers)
    test, train = summary.test_accuracy_percent, summary.estimates[TRAIN_ACCURACY.name]
    return (
        f"{norm} is tested with running statistics, which probably lag behind the network"
        f"{_place(scope, numbers)} after only {counted(scope.steps, 'step')}: test accuracy is "
        f"{number(test.mean, 1)} %, train accuracy {number(train.mean, 1)} %."
    )


def _changed_rules(requests: Sequence[Request]) -> list[Caveat]:
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
    text = f"The {' and the '.join(sorted(changed))} {verb} changed after a look at results."
    return [Caveat("changed rules", text)]


def _added(requests: Sequence[Request]) -> list[Caveat]:
    """Norms and batch sizes that joined when there were results to look at."""
    known: set[str] = set()
    added: list[str] = []
    for place, request in enumerate(requests):
        sizes = [f"batch size {size}" for size in request.batch_sizes]
        new = [name for name in (*request.norms, *sizes) if name not in known]
        if place and request.results_before != 0:
            sizes_known = any(earlier.batch_sizes for earlier in requests[:place])
            added += [name for name in new if sizes_known or name not in sizes]
        known |= set(new)
    if not added:
        return []
    text = (
        f"Added after a look at results, which enlarged their family: {', '.join(added)}. No "
        "correction covers adding to it until something is found better."
    )
    return [Caveat("enlarged family", text)]


def _unfinished(norms: Sequence[NormSummary]) -> list[Caveat]:
    """Which norms lack trials, and why; of many norms, how many trials are lacking in all."""
    lacking = [norm for norm in norms if norm.finished < norm.trials]
    several = len({norm.batch_size for norm in norms}) > 1
    if len(lacking) > MANY:
        what = "norms and batch sizes" if several else "norms"
        counts = _trial_counts(norms)
        texts = [f"{len(lacking)} of {len(norms)} {what} lack trials; of all {what} {counts}."]
    else:
        places = [f" at batch size {norm.batch_size}" if several else "" for norm in lacking]
        texts = [
            f"{norm.norm}{place}: {_trial_counts([norm])}."
            for norm, place in zip(lacking, places, strict=True)
        ]
    return [Caveat("unfinished trials", text) for text in texts]


def _trial_counts(norms: Sequence[NormSummary]) -> str:
    """``3 of 4 trials finished (1 diverged, 0 collapsed, 0 failed, 0 not run)``."""
    guessing = sum((norm.guessing for norm in norms), Guessing())
    finished, failed = sum(n.finished for n in norms), sum(n.failed for n in norms)
    absent = guessing.trials - finished - guessing.total - failed
    return (
        f"{finished} of {counted(guessing.trials, 'trial')} finished ({guessing.diverged} "
        f"diverged, {guessing.collapsed} collapsed, {failed} failed, {absent} not run)"
    )
