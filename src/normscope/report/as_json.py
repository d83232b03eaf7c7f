"""An `Analysis` as plain values for JSON: None where a number is not defined."""

import math
from dataclasses import asdict
from typing import Any

from normscope.analysis import Analysis
from normscope.analysis.afterwards import Promised
from normscope.analysis.agreement import Agreement
from normscope.analysis.classes import Classes
from normscope.analysis.contrasts import Contrast, candidates
from normscope.analysis.prediction import Prediction
from normscope.analysis.robustness import Robustness
from normscope.analysis.verdicts import Verdict


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Experiment, design, verdicts, metrics, and the sentences as strings."""
    rows = analysis.table().to_dict(orient="records")
    chosen = candidates(analysis.experiment)
    return {
        "experiment": analysis.experiment.model_dump(mode="json"),
        "synthetic": analysis.facts.synthetic,
        "design": {
            "sequential": analysis.rules.sequential,
            "rules": analysis.rules.version,
            "alpha": analysis.rules.alpha,
            "margin_points": analysis.rules.margin,
            "comparisons": sum(v.norm in chosen for v in analysis.verdicts),
            "comparisons_of_regrouped": sum(v.norm not in chosen for v in analysis.verdicts),
            "protocol": analysis.experiment.protocol,
            "method": analysis.method,
            "promised": analysis.promised and _promised(analysis.promised),
        },
        "recommendation": asdict(analysis.recommendation),
        "answers": [str(answer) for answer in analysis.answers],
        "verdicts": [verdict_as_dict(verdict) for verdict in analysis.verdicts],
        "placement": [verdict_as_dict(verdict) for verdict in analysis.places],
        "winner_set": None if analysis.winners is None else list(analysis.winners),
        "secondary": [_contrast(contrast) for contrast in analysis.secondary],
        "calibration": [_contrast(contrast) for contrast in analysis.calibration],
        "robustness": analysis.robustness and _robustness(analysis.robustness),
        "levels_percent": list(analysis.levels_percent),
        "evidence": [asdict(evidence) for evidence in analysis.evidence],
        "variance_points_squared": {n: asdict(split) for n, split in analysis.variances.items()},
        "tuning": [asdict(search) for search in analysis.searches],
        "costs": analysis.costs and analysis.costs.model_dump(mode="json"),
        "predictions": [_prediction(found) for found in analysis.predictions],
        "norms": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "findings": [str(remark) for remark in analysis.findings],
        "classes": _classes(analysis.classes),
        "agreement": analysis.agreement and _agreement(analysis.agreement),
        "why": [asdict(reading) for reading in analysis.why],
        "inside": [asdict(inside) for inside in analysis.inside],
        "caveats": [str(caveat) for caveat in analysis.caveats],
    }


def _promised(promised: Promised) -> dict[str, Any]:
    """Of rules that were chosen after the results were there: what had been asked for."""
    return {
        "baseline": promised.baseline,
        "alpha": promised.rules.alpha,
        "margin_points": promised.rules.margin,
        "verdicts": [
            {"norm": v.norm, "batch_size": v.batch_size, "outcome": v.outcome}
            for v in promised.verdicts
        ],
        "note": promised.note,
    }


def verdict_as_dict(verdict: Verdict) -> dict[str, Any]:
    """A verdict with its numbers, in points."""
    judgement = verdict.judgement
    low, high = judgement.simultaneous or (None, None)
    equivalence_low, equivalence_high = judgement.equivalence or (None, None)
    own, baseline = verdict.guessing
    return {
        "norm": verdict.norm,
        "baseline": verdict.baseline,
        "batch_size": verdict.batch_size,
        "outcome": verdict.outcome,
        "within_margin": judgement.within_margin,
        "looks_contradict": judgement.contradictory,
        **{f"difference_points_{k}": v for k, v in asdict(judgement.difference).items()},
        "simultaneous_low": low,
        "simultaneous_high": high,
        "equivalence_low": equivalence_low,
        "equivalence_high": equivalence_high,
        "p_holm": judgement.p_value,
        "family": judgement.family,
        "diverged": own.diverged,
        "baseline_diverged": baseline.diverged,
        "collapsed": own.collapsed,
        "baseline_collapsed": baseline.collapsed,
        "seeds_that_would_probably_decide": judgement.seeds_needed,
        "more_seeds": judgement.more_seeds,
    }


def _contrast(contrast: Contrast) -> dict[str, Any]:
    judgement = contrast.judgement
    return {
        "metric": contrast.metric.name,
        "norm": contrast.norm,
        "baseline": contrast.baseline,
        "finding": judgement.claim,
        **{f"difference_{k}": v for k, v in asdict(judgement.difference).items()},
        "by_order_only": judgement.pairs.ordinal,
        "p_holm": judgement.p_value,
        "family": judgement.family,
    }


def _robustness(found: Robustness) -> dict[str, Any]:
    arms = [
        {"norm": arm.norm, "adapted": arm.adapted}
        | {f"{name}_{k}": v for name, e in arm.estimates.items() for k, v in asdict(e).items()}
        for arm in found.arms
    ]
    return {
        "clean_are_the_same_images": found.same_images,
        "arms": arms,
        "comparisons": [_contrast(contrast) for contrast in found.contrasts],
    }


def _prediction(found: Prediction) -> dict[str, Any]:
    return {**asdict(found), "metric": found.metric.name}


def _classes(found: Classes) -> dict[str, Any]:
    """A number per class, in the order of `names`; `recall_percent` is the mean over trials."""
    return {
        "names": list(found.names),
        "train_images": found.train and list(found.train),
        "test_images": list(found.test),
        "imbalanced": found.imbalanced,
        "test_imbalanced": found.test_imbalanced,
        "recall_percent": {
            norm: [_plain(value) for value in percent.mean(axis=0).tolist()]
            for norm, percent in found.recalls.items()
        },
    }


def _agreement(found: Agreement) -> dict[str, Any]:
    """`percent` has a row and a column for each of `norms`, in their order."""
    shared = None
    if found.shared is not None:
        shared = {
            "norms": list(found.norms),
            "seeds": list(found.seeds),
            "percent": found.shared.percent.tolist(),
            "within_percent": found.shared.within,
            "between_percent": found.shared.between,
            "difference_points_by_seed": found.shared.by_seed.tolist(),
            "by_chance_percent": found.by_chance_percent,
            "p_permutation": found.shared.p_value,
        }
    return {
        "sentences": list(found.sentences),
        "test_images": found.test_size,
        "every": asdict(found.every),
        "norms": {norm: asdict(split) for norm, split in found.splits.items()},
        "shared_mistakes": shared,
    }


def _plain(value: Any) -> Any:
    """A missing number is None in JSON, never NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value
