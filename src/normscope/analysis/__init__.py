"""Results -> one typed `Analysis`, ready to be shown."""

from normscope.analysis.analyse import Analysis, analyse

__all__ = ["Analysis", "analyse"]
