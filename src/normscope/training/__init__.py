"""The only training and evaluation loops."""

from normscope.training.fleet import SideBySide, fold, join, separate, unfold
from normscope.training.forward import kernels_for, with_fastest_forward
from normscope.training.loop import Diverged, evaluate, fit, fit_fleet, step_memory_mib
from normscope.training.split import Split, Splits

__all__ = [
    "Diverged",
    "SideBySide",
    "Split",
    "Splits",
    "evaluate",
    "fit",
    "fit_fleet",
    "fold",
    "join",
    "kernels_for",
    "separate",
    "step_memory_mib",
    "unfold",
    "with_fastest_forward",
]
