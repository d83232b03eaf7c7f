"""Estimates, intervals and tests: pure functions of arrays that know nothing of trials or norms."""

from normscope.stats.calibration import (
    BINS,
    Reliability,
    Scaled,
    calibration_error,
    fitted_temperature,
    negative_log_likelihood,
    reliability,
    temperature_scaled,
)
from normscope.stats.cka import cka_matrix, unbiased_cka
from normscope.stats.classes import balanced_accuracy, confusion_counts, macro_f1, recalls
from normscope.stats.convergence import area_under_curve, drops, epochs_to_level
from normscope.stats.estimates import (
    Estimate,
    all_equal,
    bca_interval,
    correlation,
    probability_of_superiority,
    standard_error,
    t_interval,
    t_p_value,
)
from normscope.stats.families import holm, holm_levels, winner_set
from normscope.stats.images import (
    SharedMistakes,
    VarianceSplit,
    multibootstrap,
    shared_mistakes,
    shared_percent,
    variance_split,
)
from normscope.stats.mcnemar import mcnemar
from normscope.stats.permutation import sign_flip_p_value
from normscope.stats.planning import (
    Stopping,
    seeds_for_power,
    seeds_to_decide,
    stopping_times,
    t_test_power,
)
from normscope.stats.ranks import kendall
from normscope.stats.sequential import (
    Interval,
    anytime_p_value,
    confidence_sequence,
    confidence_sequences,
    direction_of_evidence,
    half_width,
    log_e_value,
    log_e_value_of_signs,
    log_e_values,
    running_interval,
    running_intervals,
)
from normscope.stats.settings import RandomEffects, paule_mandel, random_effects

__all__ = [
    "BINS",
    "Estimate",
    "Interval",
    "RandomEffects",
    "Reliability",
    "Scaled",
    "SharedMistakes",
    "Stopping",
    "VarianceSplit",
    "all_equal",
    "anytime_p_value",
    "area_under_curve",
    "balanced_accuracy",
    "bca_interval",
    "calibration_error",
    "cka_matrix",
    "confidence_sequence",
    "confidence_sequences",
    "confusion_counts",
    "correlation",
    "direction_of_evidence",
    "drops",
    "epochs_to_level",
    "fitted_temperature",
    "half_width",
    "holm",
    "holm_levels",
    "kendall",
    "log_e_value",
    "log_e_value_of_signs",
    "log_e_values",
    "macro_f1",
    "mcnemar",
    "multibootstrap",
    "negative_log_likelihood",
    "paule_mandel",
    "probability_of_superiority",
    "random_effects",
    "recalls",
    "reliability",
    "running_interval",
    "running_intervals",
    "seeds_for_power",
    "seeds_to_decide",
    "shared_mistakes",
    "shared_percent",
    "sign_flip_p_value",
    "standard_error",
    "stopping_times",
    "t_interval",
    "t_p_value",
    "t_test_power",
    "temperature_scaled",
    "unbiased_cka",
    "variance_split",
    "winner_set",
]
