"""What limits the answers and findings, in sentences."""

from collections.abc import Sequence
from itertools import pairwise

from normscope.analysis.answers import MANY, counted
from normscope.analysis.summaries import ONE_SEED, NormSummary
from normscope.experiment import DatasetFacts, Experiment, Request
from normscope.experiment.tuning import Search


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
