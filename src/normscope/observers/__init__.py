"""What a user sees while an experiment runs."""

from normscope.observers.bars import LiveBars
from normscope.observers.lines import PlainLines
from normscope.observers.protocol import Check, Observer

__all__ = ["Check", "LiveBars", "Observer", "PlainLines"]
