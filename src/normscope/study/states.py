"""The states of trials in training that a folder keeps until the trials have ended."""

from normscope.experiment import Keeping, Result
from normscope.store import Store
from normscope.training.checkpoints import discard_ended


class States:
    """What trials that train into a store go on from when they are stopped.

    `keeping` says where it is and how often it is written; None if it is not, since `every_s` is 0.
    A trial that failed is tried again from there.
    """

    def __init__(self, store: Store, every_s: float):
        self.folder = store.files.checkpoints
        self.keeping = Keeping(self.folder, every_s) if every_s else None
        self._ended = {each.trial.id for each in store.records() if each.status != "failed"}

    def added(self, result: Result) -> None:
        """A result is stored."""
        if result.status != "failed":
            self._ended.add(result.trial.id)
        discard_ended(self.folder, self._ended)
