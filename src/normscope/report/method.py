"""How an experiment was done, as the paragraph that a paper or a hand-in has on its method."""

from normscope.analysis import Analysis
from normscope.analysis.answers import no_further
from normscope.analysis.contrasts import candidates
from normscope.report.result_table import seeds_per_norm
from normscope.words import counted, listed

AFTER_A_LOOK = ("chosen afterwards", "changed rules", "enlarged family")  # kinds of caveats


def method_paragraph(analysis: Analysis) -> str:
    """What was trained, how it was paired, how the differences were tested, by which rules."""
    sentences = [*_training(analysis)]
    if analysis.verdicts:
        sentences += [
            _looks(analysis),
            no_further(analysis),
            _correction(analysis),
            _equivalence(analysis),
        ]
        if any(verdict.guessing_in_all.total for verdict in analysis.verdicts):
            sentences.append(_guessing(analysis))
    sentences += reservations(analysis)
    return " ".join(sentence for sentence in sentences if sentence)


def reservations(analysis: Analysis) -> list[str]:
    """What was decided when there were results to look at, which a paper must say too."""
    return [caveat.text for caveat in analysis.caveats if caveat.kind in AFTER_A_LOOK]


def _training(analysis: Analysis) -> list[str]:
    experiment = analysis.experiment
    norms = listed([analysis.titles.get(norm, norm) for norm in analysis.order])
    batches = ""
    if analysis.several_sizes:
        sizes = [f"{size:,}" for size in experiment.batch_sizes]
        batches = f" at the batch sizes {listed(sizes)}, the learning rate scaled with them"
    tuned = ""
    if experiment.protocol == "tuned":
        tuned = "For every norm the learning rate was chosen on images held out from the training."
    folds = ""
    if experiment.folds:
        folds = (
            f"All images were dealt out into {experiment.folds} folds, each of which was the test "
            "set in turn."
        )
    return [
        f"Network {experiment.model} was trained on {analysis.facts.name} with {norms}{batches}, "
        f"with {seeds_per_norm(analysis)}: {experiment.recipe.describe()}",
        tuned,
        folds,
        "All norms of a seed share the initial weights of the convolutions, the order of the "
        "images, and the random streams of augmentation and dropout.",
        "Test accuracy is that after the last epoch, as mean and standard deviation over seeds.",
    ]


def _looks(analysis: Analysis) -> str:
    rules, baseline = analysis.rules, analysis.experiment.baseline
    paired = f"Differences to {analysis.titles.get(baseline, baseline)} were paired by seed"
    if not rules.sequential:
        wider = ""
        if rules.overlap:
            wider = ", widened for the overlap of the training sets (Nadeau and Bengio 2003)"
        return (
            f"{paired}; no result had a say in the number of seeds, and t tests were used{wider}."
        )
    if rules.version == 1:
        test = (
            "with a t e-process whose prior is a Gaussian mixture (Wang and Ramdas 2023), so that "
            "intervals and p values hold at every look"
        )
    else:
        test = (
            "with boundaries that spend the error over all looks (Lan and DeMets 1983), so that "
            "intervals and p values hold whenever the training ended"
        )
    return f"{paired} and tested after every seed from the sixth on, {test}."


def _guessing(analysis: Analysis) -> str:
    counts = "Where a trial diverged or collapsed, it counts as guessing, and "
    if analysis.rules.overlap:  # for which there is no test of signs
        return f"{counts}the comparison is left undecided."
    return f"{counts}signs were tested instead of means."


def _correction(analysis: Analysis) -> str:
    chosen = candidates(analysis.experiment)
    family = sum(verdict.norm in chosen for verdict in analysis.verdicts)
    return (
        f"P values were corrected by Holm's method in a family of {counted(family, 'comparison')} "
        f"at {100 * analysis.rules.alpha:g} %, and each interval is at the level of its step."
    )


def _equivalence(analysis: Analysis) -> str:
    rules = analysis.rules
    if not rules.margin:
        return ""
    by = "two one-sided tests place" if rules.version > 1 else "their simultaneous interval places"
    return (
        f"Norms are called equivalent where {by} their difference within {rules.margin:g} points."
    )
