"""The only training and evaluation loops."""

from normscope.training.fleet import fold, unfold
from normscope.training.loop import (
    Diverged,
    evaluate,
    fastest_forward,
    fit,
    fit_fleet,
    kernels_for,
    step_memory_mib,
)
from normscope.training.split import Split

__all__ = [
    "Diverged",
    "Split",
    "evaluate",
    "fastest_forward",
    "fit",
    "fit_fleet",
    "fold",
    "kernels_for",
    "step_memory_mib",
    "unfold",
]
