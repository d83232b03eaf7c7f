"""The states of trials in training that a folder keeps until the trials have ended."""

import json
from hashlib import sha256

from normscope.experiment import Keeping, Result
from normscope.store import Store
from normscope.training.checkpoints import discard_ended


class States:
    """What trials that train into a store go on from when they are stopped.

    `keeping` says where it is and how often it is written; None if it is not: `every_s` is 0, or
    the folder's experiment has code whose `is_known` is false, which an id does not tell from
    what it was before it was edited. A trial that failed is tried again from there.
    """

    def __init__(self, store: Store, every_s: float, is_known: bool = True):
        self.folder = store.files.checkpoints.absolute()  # the same for workers elsewhere
        self.keeping = None
        if every_s and is_known:
            data = json.dumps(store.facts().checksums, sort_keys=True)
            self.keeping = Keeping(self.folder, every_s, sha256(data.encode()).hexdigest())
        self._ended = {each.trial.id for each in store.records() if each.status != "failed"}
        discard_ended(self.folder, self._ended)

    def added(self, result: Result) -> None:
        """A result is stored."""
        if result.status != "failed":
            self._ended.add(result.trial.id)
            discard_ended(self.folder, self._ended, result.trial.id)
