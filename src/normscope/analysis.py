"""Results -> one typed `Analysis`: estimates, verdicts and sentences, ready to be shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from normscope.config import DatasetFacts, Experiment, ModelSummary, Request, Result
from normscope.findings import answers, caveats, findings
from normscope.mistakes import Mistakes, find_mistakes
from normscope.stats import Estimate
from normscope.summaries import (
    LEVEL_PERCENT,
    NormSummary,
    TrialMetrics,
    TrialSummary,
    summarize_norm,
    summarize_trial,
)


@dataclass(frozen=True)
class Analysis:
    """All that a report shows, but for drawing it. `norms` are in the order the user named them."""

    experiment: Experiment
    requests: tuple[Request, ...]
    facts: DatasetFacts
    models: dict[str, ModelSummary]
    results: tuple[Result, ...]
    level_percent: float
    trials: tuple[TrialSummary, ...]
    norms: tuple[NormSummary, ...]
    mistakes: Mistakes
    answers: tuple[str, ...]
    findings: tuple[str, ...]
    caveats: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """One row per norm: of every metric mean, sd and n, with its unit in the column's name.

        Then the paired difference of test accuracy to the baseline with its 95 % interval, how many
        trials reached the level, and the verdict.
        """
        return pd.DataFrame([_table_row(norm, self.level_percent) for norm in self.norms])


def analyse(
    experiment: Experiment,
    requests: Sequence[Request],
    facts: DatasetFacts,
    models: dict[str, ModelSummary],
    results: Sequence[Result],
    test_labels: np.ndarray,
    level_percent: float = LEVEL_PERCENT,
) -> Analysis:
    """Analyse the results of an experiment, of which some trials may be missing or failed.

    `test_labels`: int64, shape (N_test,).
    """
    trials = tuple(summarize_trial(result, level_percent) for result in results)
    norms = tuple(summarize_norm(norm, experiment, trials) for norm in experiment.norms)
    mistakes = find_mistakes(results, experiment.norms, facts.class_names, test_labels)
    finished_in = [result.environment for result in results if result.status == "finished"]
    ran_on = {(e.processor, e.device, e.threads, e.kernels, e.fleet) for e in finished_in}
    one_machine = len(ran_on) <= 1
    return Analysis(
        experiment=experiment,
        requests=tuple(requests),
        facts=facts,
        models=models,
        results=tuple(results),
        level_percent=level_percent,
        trials=trials,
        norms=norms,
        mistakes=mistakes,
        answers=answers(norms),
        findings=findings(norms, trials, mistakes, experiment, level_percent, one_machine),
        caveats=caveats(norms, requests, experiment, facts, one_machine),
    )


def metric_columns(level_percent: float) -> dict[str, str]:
    """Field of `TrialMetrics` -> what a table calls it; the level is part of its column's name."""
    names = {field.name: field.name for field in fields(TrialMetrics)}
    return {**names, "epochs_to_level": f"epochs_to_{level_percent:g}_percent"}


def _table_row(norm: NormSummary, level_percent: float) -> dict[str, object]:
    row: dict[str, object] = {
        "norm": norm.norm,
        "trials": norm.trials,
        "finished": norm.finished,
        "diverged": norm.diverged,
        "failed": norm.failed,
    }
    for name, column in metric_columns(level_percent).items():
        if name != "largest_drop_epoch":
            estimate: Estimate = getattr(norm, name)
            row[f"{column}_mean"], row[f"{column}_sd"] = estimate.mean, estimate.sd
            row[f"{column}_n"] = estimate.n
    difference = norm.verdict.difference if norm.verdict else Estimate(0, None, None, None, None)
    row |= {f"difference_points_{key}": value for key, value in asdict(difference).items()}
    row[f"reached_{level_percent:g}_percent"] = norm.reached
    row["verdict"] = norm.verdict.outcome if norm.verdict else "baseline"
    return row
