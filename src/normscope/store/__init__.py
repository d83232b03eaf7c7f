"""The folder of an experiment, which holds all that its report needs."""

from normscope.store.store import Store

__all__ = ["Store"]
