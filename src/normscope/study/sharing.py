"""A round of trials that several processes share: what is for this one, and what others did."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from normscope.experiment import Result, Trial
from normscope.observers import Observer
from normscope.store import Store
from normscope.store.claims import Claims
from normscope.store.progress import read_progress
from normscope.words import counted

LOOK_EVERY_S = 1.0


class Sharing:
    """The trials of a round that have no outcome yet, whoever trains them.

    Other processes that train into the folder may take some of them. `found` is called with what
    they stored, once it is noticed.
    """

    def __init__(
        self,
        store: Store,
        claims: Claims,
        todo: Sequence[Trial],
        observer: Observer,
        found: Callable[[Result], None],
    ):
        self.store, self.claims = store, claims
        self.observer, self.found = observer, found
        self.open = {trial.id: trial for trial in todo}

    def take(self, group: Sequence[Trial]) -> list[Trial]:
        """Those of a group that this process is to train: no other has them, or has had them."""
        with Store.lock(self.store.folder):
            # In this order: a process stores a result, and then leaves its trial.
            taken = self.claims.take(self._open_of(group))
            news = self.store.look_again(taken)
            self.claims.leave(result.trial for result in news)
        self._tell(news)
        return self._open_of(taken)

    def stored(self, result: Result) -> None:
        """This process has trained a trial and stored its result."""
        self.open.pop(result.trial.id, None)
        self.claims.leave([result.trial])

    def left(self) -> list[Trial]:
        """Trials that no process has; waits for those that others have. None: the round is over."""
        waiting = False
        while self.open:
            with Store.lock(self.store.folder):
                free = self.claims.free(self.open.values())
                news = self.store.look_again(self.open.values())
            self._tell(news)
            if free := self._open_of(free):
                return free
            if self.open and not waiting:
                waiting = True
                trials, who = counted(len(self.open), "trial"), _others(self.store.folder)
                self.observer.noticed(f"Waiting for {trials} that another normscope trains{who}.")
            if self.open:
                time.sleep(LOOK_EVERY_S)
        return []

    def _open_of(self, trials: Iterable[Trial]) -> list[Trial]:
        return [trial for trial in trials if trial.id in self.open]

    def _tell(self, news: Iterable[Result]) -> None:
        for result in news:
            self.open.pop(result.trial.id, None)
            self.found(result)


def _others(folder: Path) -> str:
    """Which processes they are, as far as they say so."""
    here = os.getpid(), platform.node()
    named = [(each.process, each.host) for each in read_progress(folder)]
    words = [f"process {process} on {host}" for process, host in named if (process, host) != here]
    return f" ({', '.join(words)})" if words else ""
