"""Results -> one typed `Analysis`: estimates, verdicts and sentences, ready to be shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from normscope.analysis.answers import answers, method
from normscope.analysis.caveats import caveats
from normscope.analysis.evidence import Evidence, evidence_of, splits_of
from normscope.analysis.findings import findings, tuning_findings
from normscope.analysis.metrics import SecondaryFinding, metrics_of, secondary_findings
from normscope.analysis.mistakes import Mistakes, find_mistakes
from normscope.analysis.summaries import (
    NormSummary,
    TrialMetrics,
    TrialSummary,
    summarize_norms,
    summarize_trial,
)
from normscope.analysis.verdicts import Rules, is_sequential
from normscope.experiment import DatasetFacts, Design, Experiment, ModelSummary, Request, Result
from normscope.experiment.tuning import Search
from normscope.stats import (
    Estimate,
    VarianceSplit,
    all_equal,
    anytime_p_value,
    direction_of_evidence,
    t_p_value,
    winner_set,
)


@dataclass(frozen=True)
class Analysis:
    """All that a report shows, but for drawing it. `norms` are in the order the user named them.

    `results`, `trials`, `norms` and all that follows from them are those of the main batch size;
    `all_results`, `all_trials` and `by_batch_size` are of every batch size. `method` says how the
    verdicts were reached. `winners` are the norms that no other is shown to beat; None while that
    cannot be said.
    """

    experiment: Experiment
    requests: tuple[Request, ...]
    facts: DatasetFacts
    models: dict[str, ModelSummary]
    rules: Rules
    levels_percent: tuple[float, ...]
    all_results: tuple[Result, ...]
    all_trials: tuple[TrialSummary, ...]
    by_batch_size: tuple[NormSummary, ...]
    results: tuple[Result, ...]
    trials: tuple[TrialSummary, ...]
    norms: tuple[NormSummary, ...]
    secondary: tuple[SecondaryFinding, ...]
    evidence: tuple[Evidence, ...]
    splits: dict[str, VarianceSplit]
    winners: tuple[str, ...] | None
    searches: tuple[Search, ...]
    mistakes: Mistakes
    method: str
    answers: tuple[str, ...]
    findings: tuple[str, ...]
    caveats: tuple[str, ...]

    @property
    def level_percent(self) -> float:
        """The first of the levels, which tables show."""
        return self.levels_percent[0]

    def table(self) -> pd.DataFrame:
        """One row per norm and batch size: of every metric mean, sd and n, its unit in the name.

        Then the paired difference of test accuracy to the baseline with its interval, its p value
        corrected by Holm, how many trials reached the level, and the verdict.
        """
        rows = [_table_row(norm, self.level_percent) for norm in self.by_batch_size]
        return pd.DataFrame(rows)


def analyse(
    experiment: Experiment,
    requests: Sequence[Request],
    facts: DatasetFacts,
    models: dict[str, ModelSummary],
    results: Sequence[Result],
    test_labels: np.ndarray,
    levels_percent: Sequence[float] | None = None,
    searches: Sequence[Search] = (),
) -> Analysis:
    """Analyse the results of an experiment, of which some trials may be missing or failed.

    `test_labels`: int64, shape (N_test,). `levels_percent`: the test accuracies whose first
    reaching measures speed (default: the design's). `searches`: how the learning rates were found,
    where they were.
    """
    design = requests[-1].design if requests else Design()
    levels_percent = tuple(levels_percent or design.levels_percent)
    rules = Rules(is_sequential(requests), design.alpha, design.margin_points)
    every = [summarize_trial(result, levels_percent, test_labels) for result in results]
    chance = 100 / len(facts.class_names)
    by_size = summarize_norms(experiment, every, rules, chance)
    size = experiment.main_batch_size
    main = [result for result in results if result.trial.recipe.batch_size == size]
    trials = tuple(trial for trial in every if trial.batch_size == size)
    norms = tuple(norm for norm in by_size if norm.batch_size == size)
    mistakes = find_mistakes(main, experiment.norms, facts.class_names, test_labels)
    one_machine = _ran_alike(main)
    metrics = metrics_of(levels_percent, one_machine)
    secondary = secondary_findings(
        experiment, trials, metrics, Rules(rules.sequential, rules.alpha, None)
    )
    winners = _winners(experiment, norms, trials, rules)
    several = len(experiment.batch_sizes) > 1
    comparisons = sum(norm.verdict is not None for norm in by_size)
    return Analysis(
        experiment=experiment,
        requests=tuple(requests),
        facts=facts,
        models=models,
        rules=rules,
        levels_percent=levels_percent,
        all_results=tuple(results),
        all_trials=tuple(every),
        by_batch_size=by_size,
        results=tuple(main),
        trials=trials,
        norms=norms,
        secondary=secondary,
        evidence=evidence_of(experiment, main, test_labels),
        splits=splits_of(experiment, main, test_labels),
        winners=winners,
        searches=tuple(searches),
        mistakes=mistakes,
        method=method(rules, experiment, requests, comparisons),
        answers=answers(by_size, rules, several),
        findings=(
            *tuning_findings(searches, several),
            *findings(
                norms,
                trials,
                secondary,
                winners,
                mistakes,
                experiment,
                rules,
                levels_percent[0],
                one_machine,
            ),
        ),
        caveats=caveats(by_size, searches, requests, experiment, facts, one_machine),
    )  # fmt: skip


def _ran_alike(results: Sequence[Result]) -> bool:
    """Whether the finished trials ran in the same way, so that their times may be compared."""
    where = [result.environment for result in results if result.status == "finished"]
    return len({(e.processor, e.device, e.threads, e.kernels, e.fleet) for e in where}) <= 1


def _winners(
    experiment: Experiment,
    norms: Sequence[NormSummary],
    trials: Sequence[TrialSummary],
    rules: Rules,
) -> tuple[str, ...] | None:
    """The winner set; None where a trial diverged, a norm lacks seeds, or a fixed design trials."""
    incomplete = any(norm.finished < norm.trials for norm in norms) and not rules.sequential
    if incomplete or any(norm.diverged or norm.finished < 2 for norm in norms):
        return None
    values = np.full((len(norms), experiment.seeds), np.nan)
    for trial in trials:
        if trial.metrics and trial.norm in experiment.norms:
            accuracy = trial.metrics.test_accuracy_percent
            values[experiment.norms.index(trial.norm), trial.seed] = accuracy

    def p_value(differences: Sequence[float]) -> float:
        if all_equal(differences):
            return 1.0  # no spread to judge by, as in the verdicts
        if not rules.sequential:
            return t_p_value(differences)
        return anytime_p_value(differences) if direction_of_evidence(differences) else 1.0

    found = winner_set(values, rules.alpha, p_value)
    return tuple(experiment.norms[index] for index in found)


def _metric_columns(level_percent: float) -> dict[str, str]:
    """Name of a trial's number -> what a table calls it; the level is part of its column's name."""
    names = [field.name for field in fields(TrialMetrics)]
    of_level = ("epochs_to_level", f"epochs_to_{level_percent:g}_percent")
    return dict(of_level if name == "epochs_to_levels" else (name, name) for name in names)


def _table_row(norm: NormSummary, level_percent: float) -> dict[str, object]:
    row: dict[str, object] = {
        "norm": norm.norm,
        "batch_size": norm.batch_size,
        "trials": norm.trials,
        "finished": norm.finished,
        "diverged": norm.diverged,
        "failed": norm.failed,
    }
    for name, column in _metric_columns(level_percent).items():
        if name != "largest_drop_epoch":
            estimate: Estimate = getattr(norm, name)
            row[f"{column}_mean"], row[f"{column}_sd"] = estimate.mean, estimate.sd
            row[f"{column}_n"] = estimate.n
    difference = norm.verdict.difference if norm.verdict else Estimate(0, None, None, None, None)
    row |= {f"difference_points_{key}": value for key, value in asdict(difference).items()}
    row["p_holm"] = norm.verdict.judgement.p_value if norm.verdict else None
    row[f"reached_{level_percent:g}_percent"] = norm.reached
    row["verdict"] = norm.verdict.outcome if norm.verdict else "baseline"
    return row
