"""Results -> numbers: everything that is computed and tested, before anything is said of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from normscope.analysis.afterwards import Chosen, Promised
from normscope.analysis.agreement import Agreement, agreement_of
from normscope.analysis.calibration import reliability_of
from normscope.analysis.classes import Classes, classes_of
from normscope.analysis.contrasts import (
    Contrast,
    against_baseline,
    contrasts_on,
    to_choose,
    verdicts_on,
    winners_of,
)
from normscope.analysis.dropping import dropped
from normscope.analysis.evidence import Evidence, evidence_of, variances_of
from normscope.analysis.gallery import ImageAnswers, Showing, image_answers
from normscope.analysis.grouping import grouping_on
from normscope.analysis.metrics import CALIBRATION_FAMILY, Metric, metrics_of, secondary_family
from normscope.analysis.mistakes import Mistakes, find_mistakes
from normscope.analysis.order import in_order, sorted_by
from normscope.analysis.places import places_on
from normscope.analysis.prediction import Prediction, predictions_of
from normscope.analysis.probed import probe_table
from normscope.analysis.robustness import (
    Robustness,
    has_clean,
    robustness_metrics,
    robustness_of,
)
from normscope.analysis.scope import Scope, scopes_of
from normscope.analysis.summaries import (
    NormSummary,
    Trials,
    TrialSummary,
    summarize_norms,
    summarize_trial,
)
from normscope.analysis.tallies import Scoring, Tallies
from normscope.analysis.verdicts import Rules, Verdict, is_sequential, rules_of
from normscope.experiment import (
    Costs,
    DatasetFacts,
    Design,
    Experiment,
    HeatMaps,
    ModelSummary,
    Probes,
    Request,
    Result,
    Summarise,
    Told,
)
from normscope.experiment.tuning import Search
from normscope.stats import Reliability, VarianceSplit
from normscope.words import counted

IN_A_LINE = 6  # verdicts that are named one by one


def _of_their_own(results: Sequence[Result], summarise: Summarise) -> Iterator[Any]:
    for result in results:
        own = result.predictions
        yield None if own is None else summarise([Told.by(result)], [own])[0]


@dataclass(frozen=True)
class Contents:
    """What an experiment's folder holds; some of its trials may be missing or failed.

    `models`: by norm. `test_labels`: int64, shape (N_test,). `searches`: how the learning rates
    were found, where they were. `costs`: what the norms cost, if it was measured. `probes`: what
    probes measured, by the id of a trial. `heat_maps`: where networks looked, by one method each.
    `left_out`: sentences on what is not among all this because it is damaged. `summarised` gives
    what a function makes of the predictions of some of the results, in order, None without any:
    those in the folder, or their own.
    """

    experiment: Experiment
    requests: Sequence[Request]
    facts: DatasetFacts
    models: Mapping[str, ModelSummary]
    results: Sequence[Result]
    test_labels: np.ndarray
    searches: Sequence[Search] = ()
    costs: Costs | None = None
    probes: Mapping[str, Probes] = field(default_factory=dict)
    heat_maps: Sequence[HeatMaps] = ()
    left_out: Sequence[str] = ()
    summarised: Callable[[Sequence[Result], Summarise], Iterable[Any]] = _of_their_own


@dataclass(frozen=True, repr=False)
class Numbers:
    """All that sentences, tables and figures are made from.

    `asked` has the norms in the order in which they were asked for with the training, which fixes
    how each of them is drawn; the baseline is first in the `experiment`, whoever chose it. `order`
    has them in the order in which everything shows them (`in_order`). `all_results`, `all_trials`
    and `by_batch_size` are of every batch size, the first two in the order of the experiment;
    everything else is of the main one. `metrics` are all there are, `secondary` those that are
    tested besides test accuracy. `calibration` are the comparisons of what a temperature makes of
    the confidence, and `robustness` those on corrupted images, if the probe was taken: each is a
    family of its own. `places` are the verdicts on norms before the activation against the same
    norms after it, and `grouping` those on who shares statistics with whom. `winners` are the norms
    that no other is shown to beat; None while that cannot be said. `reliability` is how sure the
    networks of each norm are, and how often right. `ran_alike`: whether the finished trials ran in
    the same way, so that their times may be compared. `classes` says how frequent the classes are,
    and how well each is recognised. `images` has what norms say of each test image that is shown.
    `promised` is what was asked for, where the rules are other ones.
    """

    experiment: Experiment
    asked: tuple[str, ...]
    order: tuple[str, ...]
    requests: tuple[Request, ...]
    facts: DatasetFacts
    models: Mapping[str, ModelSummary]
    rules: Rules
    levels_percent: tuple[float, ...]
    metrics: tuple[Metric, ...]
    all_results: tuple[Result, ...]
    all_trials: Trials
    by_batch_size: tuple[NormSummary, ...]
    ran_alike: bool
    places: tuple[Verdict, ...]
    grouping: tuple[Verdict, ...]
    secondary: tuple[Contrast, ...]
    calibration: tuple[Contrast, ...]
    robustness: Robustness | None
    evidence: tuple[Evidence, ...]
    variances: Mapping[str, VarianceSplit]
    winners: tuple[str, ...] | None
    searches: tuple[Search, ...]
    mistakes: Mistakes
    classes: Classes
    reliability: Mapping[str, Reliability]
    agreement: Agreement | None
    images: Mapping[int, ImageAnswers]
    heat_maps: tuple[HeatMaps, ...]
    left_out: tuple[str, ...]
    scopes: tuple[Scope, ...]
    titles: Mapping[str, str]
    costs: Costs | None
    predictions: tuple[Prediction, ...]
    probes: Mapping[str, Probes]
    promised: Promised | None

    def __repr__(self) -> str:
        """Data set, n and verdicts, in one line."""
        experiment = self.experiment
        words = [
            f"{experiment.baseline} baseline",
            *(f"{v.norm} {v.outcome}" for v in self.verdicts),
        ]
        if self.several_sizes or len(words) > IN_A_LINE:
            outcomes = Counter(verdict.outcome for verdict in self.verdicts)
            words = [words[0], *(f"{count} {outcome}" for outcome, count in outcomes.items())]
        seeds = counted(experiment.seeds, "seed")
        return f"<{type(self).__name__} of {self.facts.name}, {seeds}: {', '.join(words)}>"

    @property
    def level(self) -> Metric:
        """Epochs to the first of the levels, which tables show."""
        return next(metric for metric in self.metrics if metric.level_percent is not None)

    @property
    def level_percent(self) -> float:
        return self.levels_percent[0]

    @property
    def several_sizes(self) -> bool:
        return len(self.experiment.batch_sizes) > 1

    @cached_property
    def results(self) -> tuple[Result, ...]:
        size = self.experiment.main_batch_size
        return tuple(r for r in self.all_results if r.trial.recipe.batch_size == size)

    @cached_property
    def _results_by_norm(self) -> Mapping[str, list[Result]]:
        return _by_norm(self.results)

    @cached_property
    def _all_results_by_norm(self) -> Mapping[str, list[Result]]:
        return _by_norm(self.all_results)

    def results_of(self, norm: str) -> Sequence[Result]:
        """Those of `results` that are of one norm."""
        return self._results_by_norm.get(norm, ())

    def all_results_of(self, norm: str) -> Sequence[Result]:
        """Those of `all_results`."""
        return self._all_results_by_norm.get(norm, ())

    @cached_property
    def trials(self) -> Trials:
        size = self.experiment.main_batch_size
        return Trials(trial for trial in self.all_trials if trial.batch_size == size)

    @property
    def norms(self) -> tuple[NormSummary, ...]:
        size = self.experiment.main_batch_size
        return tuple(norm for norm in self.by_batch_size if norm.batch_size == size)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """At every batch size, in the order of `by_batch_size`."""
        return tuple(norm.verdict for norm in self.by_batch_size if norm.verdict)

    def scope(self, batch_size: int) -> Scope:
        return next(scope for scope in self.scopes if scope.batch_size == batch_size)

    def probe_table(self) -> pd.DataFrame:
        """One row per number that a probe measured; see `probe_table` in analysis/probed.py."""
        return probe_table(self.all_results, self.probes)

    def table(self) -> pd.DataFrame:
        """One row per norm and batch size: of every metric mean, sd and n, its unit in the name.

        Then the paired difference of test accuracy to the baseline with its interval, its p value
        corrected by Holm, how many trials reached the level, and the verdict; and that its rules
        were chosen after seeing the results, where they were.
        """
        return pd.DataFrame([_table_row(norm, self) for norm in self.by_batch_size])


def numbers_of(
    contents: Contents,
    levels_percent: Sequence[float] | None = None,
    titles: Mapping[str, str] | None = None,
    whole_train_size: int | None = None,
    chosen: Chosen | None = None,
) -> Numbers:
    """All that can be computed from a folder; see `analyse` for the arguments."""
    asked, requests, facts = contents.experiment, contents.requests, contents.facts
    experiment = chosen.ordered(asked) if chosen else asked
    results, labels = tuple(contents.results), contents.test_labels
    design = requests[-1].design if requests else Design()
    overlap = 1 / (experiment.folds - 1) if experiment.folds else 0.0
    looked = is_sequential(requests) and not experiment.folds  # of which none is added after a look
    rules = Rules(looked, design.alpha, design.margin_points, overlap, rules_of(requests))
    levels = tuple(levels_percent or design.levels_percent)
    probes = contents.probes
    metrics = (*metrics_of(levels), *robustness_metrics(probes.values()))
    size, num_classes = experiment.main_batch_size, len(facts.class_names)
    main = [result for result in results if result.trial.recipe.batch_size == size]
    tallies, summaries = Tallies(experiment.norms, labels, num_classes), list[TrialSummary]()
    for result, own in zip(results, contents.summarised(results, Scoring(labels)), strict=True):
        measured = probes.get(result.trial.id)
        summaries.append(summarize_trial(result, metrics, own and own.scores, measured))
        if result.trial.recipe.batch_size == size:
            tallies.add(result, own)
    trials = Trials(summaries)
    shown_as = in_order(experiment, trials)
    order, tallied = shown_as.norms, sorted_by(shown_as.norms, tallies.by_norm)
    right = {norm: tally.right for norm, tally in tallied.items()}
    verdicts = verdicts_on(asked, trials, rules, facts.chance_percent)
    gone = dropped(asked, verdicts.values(), design, rules.version)
    promised = None
    if chosen:
        listed = [(norm, size) for size in asked.batch_sizes for norm in order]
        promised = Promised(
            asked.baseline, rules, tuple(sorted_by(listed, verdicts).values()), chosen
        )
        rules = chosen.changed(rules)
        verdicts = verdicts_on(experiment, trials, rules, facts.chance_percent)
    by_batch_size = summarize_norms(shown_as, trials, metrics, verdicts, overlap, gone)
    ran_alike = _ran_alike(main)
    classes = classes_of(facts, tallied, labels)
    family = secondary_family(metrics, ran_alike, classes.test_imbalanced)
    if whole_train_size is None and experiment.train_limit is None:
        whole_train_size = facts.train_size
    mistakes = find_mistakes(tallied, facts.class_names, labels)
    shown = Showing.of(mistakes.pictures(), labels)  # for which the predictions are read again
    images = {}
    with ThreadPoolExecutor(1) as threads:  # numpy's part of it lets others work, too
        evidence = threads.submit(lambda: () if experiment.folds else evidence_of(shown_as, right))
        if shown:
            images = image_answers(
                zip(main, contents.summarised(main, shown), strict=True),
                order,
                shown,
                num_classes,
            )
    return Numbers(
        experiment=experiment,
        asked=asked.norms,
        order=order,
        requests=tuple(requests),
        facts=facts,
        models=sorted_by(order, contents.models),
        rules=rules,
        levels_percent=levels,
        metrics=metrics,
        all_results=results,
        all_trials=trials,
        by_batch_size=by_batch_size,
        ran_alike=ran_alike,
        places=places_on(shown_as, trials, rules, facts.chance_percent),
        grouping=grouping_on(shown_as, trials, rules, facts.chance_percent),
        secondary=contrasts_on(experiment, trials, against_baseline(shown_as, family), rules),
        calibration=contrasts_on(
            experiment, trials, against_baseline(shown_as, CALIBRATION_FAMILY), rules
        ),
        robustness=robustness_of(shown_as, trials, metrics, rules, has_clean(probes.values())),
        evidence=evidence.result(),
        variances={} if experiment.folds else variances_of(right),
        winners=winners_of(shown_as, by_batch_size, trials, rules),
        searches=tuple(contents.searches),
        mistakes=mistakes,
        classes=classes,
        agreement=(
            None
            if experiment.folds  # no two networks of a fold are tested on all images
            else agreement_of(right, len(labels), rules.alpha)
        ),
        images=images,
        heat_maps=tuple(contents.heat_maps),
        left_out=tuple(contents.left_out),
        reliability=reliability_of(tallied),
        scopes=scopes_of(shown_as, facts, results, whole_train_size),
        titles=titles or {},
        costs=_sorted_costs(contents.costs, order),
        probes=probes,
        promised=promised,
        predictions=predictions_of(
            contents.costs,
            [n for n in by_batch_size if n.batch_size == size and n.norm in to_choose(experiment)],
        ),
    )


def _sorted_costs(costs: Costs | None, order: tuple[str, ...]) -> Costs | None:
    if costs is None:
        return None
    norms = tuple(sorted(costs.norms, key=lambda cost: order.index(cost.norm)))
    return costs.model_copy(update={"norms": norms})


def _by_norm(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.trial.norm, []).append(result)
    return found


def _ran_alike(results: Sequence[Result]) -> bool:
    """Whether the finished trials ran in the same way, so that their times may be compared."""
    where = [result.environment for result in results if result.status == "finished"]
    return len({(e.processor, e.device, e.threads, e.kernels, e.fleet) for e in where}) <= 1


def _table_row(norm: NormSummary, numbers: Numbers) -> dict[str, object]:
    row: dict[str, object] = {
        "norm": norm.norm,
        "batch_size": norm.batch_size,
        "trials": norm.trials,
        "finished": norm.finished,
        "diverged": norm.guessing.diverged,
        "collapsed": norm.guessing.collapsed,
        "failed": norm.failed,
    }
    for metric in numbers.metrics:
        if metric.averaged and metric.level_percent in (None, numbers.level_percent):
            estimate = norm.estimates[metric.name]
            row[f"{metric.name}_mean"], row[f"{metric.name}_sd"] = estimate.mean, estimate.sd
            row[f"{metric.name}_n"] = estimate.n
    row |= {f"difference_points_{key}": value for key, value in asdict(norm.difference).items()}
    row["p_holm"] = norm.verdict.judgement.p_value if norm.verdict else None
    row[f"reached_{numbers.level_percent:g}_percent"] = norm.reached[numbers.level.name]
    row["verdict"] = norm.outcome
    if numbers.promised:
        row["rules"] = "chosen after seeing the results"
    return row
