"""Results -> one typed `Analysis`, ready to be shown."""

from normscope.analysis.analyse import Analysis, analyse
from normscope.analysis.numbers import Contents

__all__ = ["Analysis", "Contents", "analyse"]
