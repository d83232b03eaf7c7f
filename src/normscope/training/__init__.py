"""The only training and evaluation loops."""

from normscope.training.fleet import SideBySide, fold, join, part, unfold
from normscope.training.forward import fastest_forward, kernels_for
from normscope.training.loop import Diverged, evaluate, fit, fit_fleet, step_memory_mib
from normscope.training.split import Split

__all__ = [
    "Diverged",
    "SideBySide",
    "Split",
    "evaluate",
    "fastest_forward",
    "fit",
    "fit_fleet",
    "fold",
    "join",
    "kernels_for",
    "part",
    "step_memory_mib",
    "unfold",
]
