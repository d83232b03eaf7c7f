"""The first import of matplotlib, whatever MPLBACKEND says.

Figures are drawn into files and need no backend. But matplotlib reads the variable when it is
imported, and a name it does not know stops it: that of a notebook's backend, say, which the
notebook passes on to an environment where it is not installed. Import this module before anything
of matplotlib.
"""

import os
import sys
from contextlib import suppress


def _import_matplotlib() -> None:
    """Import matplotlib without the variable, then let it have the backend if that is valid."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):  # not a backend that this matplotlib knows
            matplotlib.rcParams["backend"] = backend


if "matplotlib" not in sys.modules:
    _import_matplotlib()
