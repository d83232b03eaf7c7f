"""The only training and evaluation loops."""

from normscope.training.loop import Diverged, evaluate, fit
from normscope.training.split import Split

__all__ = ["Diverged", "Split", "evaluate", "fit"]
