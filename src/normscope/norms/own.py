"""Norms of a user's own in the table `NORMS`: those of a file or a package, and of a script."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from normscope.errors import UsageError
from normscope.norms.names import NORMS, canonical
from normscope.norms.table import PACKAGED_NORMS
from normscope.own import OwnCode, with_files

# What scripts have registered last. In `NORMS` a folder's older norm may stand by the same name.
REGISTERED: dict[str, OwnCode] = {}


def own_norms(names: list[str]) -> dict[str, OwnCode]:
    """Those of the names that are norms of a user's own with a known source."""
    return {n: norm for n in names if isinstance(norm := NORMS.get(n), OwnCode)}


def register(name: str) -> Callable:
    """A decorator that puts a function or class of a number of channels into `NORMS` under a name.

    Worker processes run the file again that it is in, so what that file does beyond definitions
    belongs below ``if __name__ == "__main__":``. Of what is typed into a session there is no file:
    it trains in this process alone. Raises `UsageError` for a name that is not free, or that
    `plain_name` does not take.
    """
    if not name or ":" in name or name in PACKAGED_NORMS or canonical(name) != name:
        raise UsageError(f"no norm can be registered as {name!r}: it is taken, or no plain name")

    def enter(make: Callable) -> Callable:
        own = _registered(make)
        if own is not None:
            REGISTERED[name] = own
        NORMS[name] = own or make
        return make

    return enter


def _registered(make: Any) -> OwnCode | None:
    """None if there is no file, or the object cannot be found in it by its name."""
    try:
        file = Path(inspect.getfile(make)).resolve()
    except (TypeError, OSError):  # of a session: a function, a class
        return None
    if file.suffix != ".py" or not file.is_file() or "<locals>" in make.__qualname__:
        return None
    home = f"{file.name}:{make.__qualname__}"
    return with_files(home, file.parent, file.stem, make.__qualname__)
