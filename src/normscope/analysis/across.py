"""Verdicts in several settings -> one over all of them, for "another setting of this kind".

The settings, each a data set with a network, are a random factor. Their mean differences are pooled
by `stats.random_effects`; the norms are one family (Holm), as within a setting.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from normscope.analysis.analyse import Analysis
from normscope.analysis.verdicts import (
    Equivalence,
    Outcome,
    Rules,
    Verdict,
    equivalences_by_holm,
    within,
)
from normscope.stats import RandomEffects, holm, holm_levels, random_effects, standard_error
from normscope.words import confidence, counted, interval, number, p_value, signed

Ends = tuple[float, float]


@dataclass(frozen=True)
class InSetting:
    """What one setting says of a norm, at its main batch size.

    `standard_error`: of the mean difference, in points; None if there is none that may be pooled,
    and `lacks` says why.
    """

    setting: str
    verdict: Verdict
    standard_error: float | None
    lacks: str = ""


@dataclass(frozen=True)
class Across:
    """A norm against the baseline over all settings, in points.

    `interval` is at the level of the norm's step in Holm's procedure and excludes 0 exactly if the
    outcome is better or worse, `simultaneous` at alpha over the number of norms. `equivalence` is
    the one that lies within the margin exactly if the difference surely does; None by the first
    version of the rules, where that is `simultaneous`. `prediction` is for the true difference in
    one more setting. `p_value` is corrected by Holm. Without `pooled` there is none of these, and
    `lacks` says why; `withheld` says why a difference that could be estimated decides nothing.
    """

    norm: str
    baseline: str
    found: tuple[InSetting, ...]
    rules: Rules
    outcome: Outcome = "undecided"
    pooled: RandomEffects | None = None
    interval: Ends | None = None
    simultaneous: Ends | None = None
    equivalence: Ends | None = None
    prediction: Ends | None = None
    p_value: float = 1.0
    lacks: str = ""
    withheld: str = ""

    @property
    def supporting(self) -> Ends | None:
        """The interval that the outcome rests on: that of `equivalence`, or `interval`."""
        own = self.equivalence if self.outcome == "equivalent" else None
        return own or self.interval

    @property
    def sentence(self) -> str:
        """The verdicts counted, then the one over all with its interval."""
        return f"{self.norm} {_counts(self)}; {_over_all(self)}."

    @property
    def of_another(self) -> str:
        """What to expect of another setting; "" where nothing was pooled."""
        if self.pooled is None:
            return ""
        spread = (
            f"The difference of {self.norm} varies between settings with an sd of "
            f"{number(self.pooled.tau, 2)} points"
        )
        if self.prediction is None:
            return f"{spread}; two settings allow no prediction for another one."
        sure = confidence(self.rules.alpha)
        ends = interval(*self.prediction)
        return f"{spread}; in another one it is {ends} ({sure} prediction interval)."


def across_settings(analyses: Mapping[str, Analysis], norms: Sequence[str]) -> tuple[Across, ...]:
    """The verdict over all settings on every norm but the first, which is the baseline.

    `analyses`: by the name of the setting, one or more; all with these norms, this baseline, and
    the same alpha and margin.
    """
    verdicts = {
        name: {norm.norm: norm.verdict for norm in analysis.norms if norm.verdict}
        for name, analysis in analyses.items()
    }
    return across_verdicts(verdicts, norms, {n: analysis.rules for n, analysis in analyses.items()})


def across_verdicts(
    verdicts: Mapping[str, Mapping[str, Verdict]],
    norms: Sequence[str],
    rules_of: Mapping[str, Rules],
) -> tuple[Across, ...]:
    """The same from the verdicts of each setting by norm, and the rules of each.

    By the earliest version of the rules that a setting is judged by.
    """
    version = min(rules.version for rules in rules_of.values())
    rules = replace(next(iter(rules_of.values())), version=version)
    withheld = _withheld(rules_of)
    unjudged = []
    for norm in norms[1:]:
        found = tuple(
            _in_setting(name, own[norm], rules_of[name].overlap) for name, own in verdicts.items()
        )
        unjudged.append(Across(norm, norms[0], found, rules, withheld=withheld))
    pooled = [_pooled(each.found) for each in unjudged]
    p_values = [each.p_value if each else 1.0 for each in pooled]
    adjusted, levels = holm(p_values), holm_levels(p_values, rules.alpha)
    equivalences = _equivalences(pooled, rules)
    return tuple(
        _judged(across, effects, float(p), float(level), equivalence, len(pooled))
        if effects
        else replace(across, lacks=_lacks(across.found))
        for across, effects, p, level, equivalence in zip(
            unjudged, pooled, adjusted, levels, equivalences, strict=True
        )
    )


def _in_setting(name: str, verdict: Verdict, overlap: float) -> InSetting:
    if lacks := _lacking(verdict):
        return InSetting(name, verdict, None, f"in {name} {lacks}")
    differences = verdict.judgement.pairs.differences
    return InSetting(name, verdict, standard_error(differences, overlap))


def _lacking(verdict: Verdict) -> str:
    """Why a setting has no mean difference with a standard error; "" if it has."""
    pairs = verdict.judgement.pairs
    if pairs.ordinal:
        return f"trials {verdict.guessing_in_all.how}"
    if not pairs.complete and verdict.unfinished:
        return f"{counted(verdict.unfinished, 'trial')} did not finish"
    if len(pairs.seeds) < 2:
        return "there is one seed" if pairs.seeds else "there is no seed of both"
    if not verdict.judgement.spread:
        return "the difference is the same in every seed"
    return ""


def _pooled(found: Sequence[InSetting]) -> RandomEffects | None:
    errors = [each.standard_error for each in found if each.standard_error is not None]
    means = [each.verdict.difference.mean for each in found]
    known = [mean for mean in means if mean is not None]
    if not len(errors) == len(known) == len(found):
        return None
    return random_effects(known, errors)


def _equivalences(pooled: Sequence[RandomEffects | None], rules: Rules) -> list[Equivalence]:
    """As within a setting; see `verdicts.judge`."""
    if rules.version > 1:
        margin = rules.margin or 0.0
        p_values = [each.equivalence_p_value(margin) if each else 1.0 for each in pooled]
        return equivalences_by_holm(p_values, rules)
    level = rules.alpha / len(pooled)
    intervals = [each.interval(level) if each else None for each in pooled]
    return [Equivalence(within(interval, rules.margin), level) for interval in intervals]


def _lacks(found: Sequence[InSetting]) -> str:
    lacking = [each.lacks for each in found if each.lacks]
    return lacking[0] if lacking else "one setting says nothing of another"


def _withheld(rules_of: Mapping[str, Rules]) -> str:
    """Why no verdict may be given over all, if so: its interval is for one look."""
    looked = ", ".join(name for name, rules in rules_of.items() if rules.sequential)
    if not looked:
        return ""
    return f"its interval is for one look, and in {looked} seeds were added after a look"


def _judged(
    unjudged: Across,
    pooled: RandomEffects,
    p: float,
    level: float,
    equivalence: Equivalence,
    family: int,
) -> Across:
    """With what the differences say together; `p` and `level` by Holm, in a family of so many."""
    rules = unjudged.rules
    outcome: Outcome = "undecided"
    if p <= rules.alpha:
        outcome = "better" if pooled.mean > 0 else "worse"
    elif equivalence.within:
        outcome = "equivalent"
    return replace(
        unjudged,
        outcome="undecided" if unjudged.withheld else outcome,
        pooled=pooled,
        interval=pooled.interval(level),
        simultaneous=pooled.interval(rules.alpha / family),
        equivalence=pooled.interval(equivalence.level) if rules.version > 1 else None,
        prediction=pooled.prediction(rules.alpha),
        p_value=p,
    )


def _counts(across: Across) -> str:
    """``is worse than bn in 3 of 4 settings, undecided in one``; the most frequent first."""
    total = len(across.found)
    outcomes: Counter[Outcome] = Counter(each.verdict.outcome for each in across.found)
    (first, most), *others = outcomes.most_common()
    settings = f"{most} of {total} settings" if most < total else f"all {total} settings"
    if total == 1:
        settings = "the one setting"
    said: dict[Outcome, str] = {
        "better": f"is better than {across.baseline}",
        "worse": f"is worse than {across.baseline}",
        "equivalent": f"is equivalent to {across.baseline}",
        "undecided": f"against {across.baseline} is undecided",
    }
    rest = [f", {outcome} in {'one' if count == 1 else count}" for outcome, count in others]
    return f"{said[first]} in {settings}{''.join(rest)}"


def _over_all(across: Across) -> str:
    if across.pooled is None:
        return f"over all nothing can be said: {across.lacks}"
    rules = across.rules
    assert across.supporting is not None  # as there is a mean
    sure, rest = rules.alpha, f"p {p_value(across.p_value)}"
    if across.outcome == "equivalent":
        sure, rest = rules.sides_alpha, f"all of it within ±{rules.margin:g}"
    because = f", since {across.withheld}" if across.withheld else ""
    return (
        f"over all {across.outcome}{because}: {signed(across.pooled.mean)} points "
        f"({confidence(sure)} interval {interval(*across.supporting)}, {rest})"
    )


def method_across(across: Sequence[Across]) -> str:
    """How the verdicts over all were reached, and what they take for granted."""
    first = across[0]
    equal = ""
    if first.rules.margin:
        equal = f", and so has one of equivalence within {first.rules.margin:g} points"
    return (
        "Over all: a random-effects model, in which the true difference varies from setting to "
        "setting (its sd by Paule and Mandel). Intervals by Hartung, Knapp, Sidik and Jonkman with "
        f"{counted(len(first.found) - 1, 'degree')} of freedom; never narrower than the t interval "
        "of the settings' means, nor than the seeds alone allow. A false claim of a difference has "
        f"a chance of about {100 * first.rules.alpha:g} % at most over "
        f"{counted(len(across), 'comparison')} (Holm){equal}. The settings are taken for a random "
        "draw from those that one has in mind; with few of them intervals are wide."
    )
