"""Numbers -> sentences: how one metric of the norms compares with that of the baseline."""

from collections.abc import Sequence

from normscope.analysis.answers import MANY
from normscope.analysis.contrasts import Contrast
from normscope.analysis.metrics import Metric
from normscope.analysis.numbers import Numbers
from normscope.analysis.sentences import Remark
from normscope.analysis.verdicts import Rules
from normscope.words import confidence, counted, interval, number


def listed(items: Sequence[tuple[float, str]]) -> str:
    """All items, each a value and its words; of many the one of least and of greatest value."""
    if len(items) <= MANY:
        return ", ".join(words for _, words in items)
    ranked = sorted(items, key=lambda item: item[0])
    return f"from {ranked[0][1]} to {ranked[-1][1]}, the other {len(items) - 2} norms between"


def means(numbers: Numbers, metric: Metric) -> str:
    """``4.1 with bn, 4.8 with gn``."""
    found = [(norm.estimates[metric.name].mean, norm.norm) for norm in numbers.norms]
    known = [(mean, norm) for mean, norm in found if mean is not None]
    return listed([(m, f"{number(m, metric.decimals)} with {norm}") for m, norm in known])


def compared(metric: Metric, contrasts: Sequence[Contrast], numbers: Numbers) -> list[Remark]:
    """The mean difference of every norm to the baseline; nothing if none differs in any seed."""
    own = [c for c in contrasts if c.metric == metric and c.judgement.pairs.seeds]
    if not metric.lead or not any(any(c.judgement.pairs.differences) for c in own):
        return []
    items = [(c.judgement.difference.mean or 0.0, difference(c, numbers.rules)) for c in own]
    baseline = numbers.experiment.baseline
    text = f"compared with {baseline}, {metric.lead} {listed(items)}."
    return [Remark(metric.topic, text)]


def difference(contrast: Contrast, rules: Rules) -> str:
    """``0.4 epochs later with ln (later in 2 of 3 seeds; undecided)``; or the interval, decided."""
    return f"{size(contrast)} with {contrast.norm} ({sureness(contrast, rules)})"


def size(contrast: Contrast) -> str:
    """``0.4 epochs later``, or ``as early``."""
    metric, values = contrast.metric, contrast.judgement.pairs.differences
    mean = contrast.judgement.difference.mean or 0.0
    above, below = sum(value > 0 for value in values), sum(value < 0 for value in values)
    if contrast.judgement.pairs.ordinal:
        return metric.same if above == below else [metric.smaller, metric.greater][above > below]
    if round(mean, metric.decimals) == 0:
        return metric.same
    word = metric.greater if mean > 0 else metric.smaller
    unit = "points" if metric.unit == "%" else metric.unit  # a difference of two percentages
    return f"{number(abs(mean), metric.decimals)} {unit} {word}"


def sureness(contrast: Contrast, rules: Rules) -> str:
    """The interval where that is decided, or else in how many seeds the norm differs which way."""
    metric, judgement = contrast.metric, contrast.judgement
    low, high = judgement.difference.low, judgement.difference.high
    if contrast.decided and low is not None and high is not None:
        return f"{confidence(rules.alpha)} interval {interval(low, high, metric.decimals)}"
    last = f"p {judgement.p_value:.2g}" if contrast.decided else "undecided"
    return f"{_counts(contrast)}; {last}"


def _counts(contrast: Contrast) -> str:
    metric, values = contrast.metric, contrast.judgement.pairs.differences
    n, mean = len(values), contrast.judgement.difference.mean or 0.0
    above, below = sum(value > 0 for value in values), sum(value < 0 for value in values)
    if contrast.judgement.pairs.ordinal or round(mean, metric.decimals) == 0:
        return f"{metric.greater} in {above}, {metric.smaller} in {below} of {counted(n, 'seed')}"
    word, count = (metric.greater, above) if mean > 0 else (metric.smaller, below)
    return f"{word} in {count} of {counted(n, 'seed')}"
