"""Numbers -> sentences: how far a network can be relied on, on worse images and on its word."""

from normscope.analysis.compared import compared, listed, means, size, sureness
from normscope.analysis.contrasts import Contrast
from normscope.analysis.metrics import (
    CALIBRATION,
    SCALED_CALIBRATION,
    TEMPERATURE,
)
from normscope.analysis.numbers import Numbers
from normscope.analysis.robustness import ALL, KINDS, LOST, Arm, Robustness
from normscope.analysis.sentences import Remark
from normscope.words import counted, number


def calibration_remarks(numbers: Numbers) -> list[Remark]:
    """How far confidence can be trusted, as it is and with a temperature, and by which norm."""
    plain, scaled = means(numbers, CALIBRATION), means(numbers, SCALED_CALIBRATION)
    if not scaled:
        return []
    text = (
        f"points by which confidence is off: {plain}; with a temperature from other images, "
        f"{scaled}{_too_sure(numbers)}."
    )
    left = compared(SCALED_CALIBRATION, numbers.calibration, numbers)
    return [Remark(CALIBRATION.topic, text), *left]


def _too_sure(numbers: Numbers) -> str:
    """`` (1.12 with bn: too sure)``."""
    first = numbers.norms[0]
    mean = first.estimates[TEMPERATURE.name].mean
    if mean is None:
        return ""
    sure = "too sure" if mean > 1 else "not sure enough"
    return f" ({number(mean, TEMPERATURE.decimals)} with {first.norm}: {sure})"


def robustness_remarks(numbers: Numbers) -> list[Remark]:
    """How much is right on corrupted images, how much is lost, and what adapting does."""
    found = numbers.robustness
    if found is None:
        return []
    *kinds, last = KINDS.values()
    right = f"of {', '.join(kinds)} and {last} images, {{}} are recognized"
    lost = "from clean to corrupted images, {} points are lost"
    told = (
        _against_baseline(found, ALL, right, " %", numbers),
        _against_baseline(found, LOST, lost, "", numbers),
        _adapting(found, numbers),
    )
    return [Remark("Robustness", text) for text in told if text]


def _against_baseline(
    found: Robustness, metric: str, lead: str, unit: str, numbers: Numbers
) -> str:
    """``..., 58.1 % are recognized with bn, 61.2 % with gn: 3.1 points more (...; 5 seeds).``"""
    baseline = numbers.experiment.baseline
    own = {arm.name: arm for arm in found.arms if not arm.adapted}
    items = [
        (arm, contrast)
        for arm in own.values()
        if (contrast := found.contrast(metric, arm.name, baseline))
    ]
    if not items:
        return ""
    others = listed([_item(arm, contrast, unit, numbers) for arm, contrast in items])
    first = lead.format(f"{number(own[baseline].estimates[metric].mean, 1)}{unit}")
    return f"{first} with {baseline}, {others}."


def _item(arm: Arm, contrast: Contrast, unit: str, numbers: Numbers) -> tuple[float, str]:
    """The mean, and ``61.2 % with gn: 3.1 points more (95 % interval +2.0 to +4.2; 5 seeds)``."""
    mean = arm.estimates[contrast.metric.name].mean or 0.0
    sure = sureness(contrast, numbers.rules)
    seeds = counted(len(contrast.judgement.pairs.seeds), "seed")
    scope = "" if seeds in sure else f"; {seeds}"
    return mean, f"{number(mean, 1)}{unit} with {arm.norm}: {size(contrast)} ({sure}{scope})"


def _adapting(found: Robustness, numbers: Numbers) -> str:
    """What the statistics of the corrupted images do for the norms that have running ones."""
    items = [
        _item(arm, contrast, " %", numbers)
        for arm in found.arms
        if arm.adapted and (contrast := found.contrast(ALL, arm.name, arm.norm))
    ]
    if not items:
        return ""
    lead = "with statistics of the corrupted images in the place of running ones it is"
    return f"{lead} {listed(items)}."
