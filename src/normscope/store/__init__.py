"""The folder of an experiment."""

from normscope.store.store import Store, preview

__all__ = ["Store", "preview"]
