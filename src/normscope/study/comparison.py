"""An experiment's folder, analysed: what `compare` returns and `normscope report` reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normscope import cycles
from normscope.analysis import Analysis, Contents, analyse
from normscope.data import DATASETS
from normscope.errors import RunError
from normscope.experiment import Design, Experiment
from normscope.experiment.reading import read_design
from normscope.experiment.tuning import Search, searches
from normscope.files import user_path
from normscope.norms import parse, title_of
from normscope.report import PAGE, write_report
from normscope.store import Store
from normscope.study.stored import results_stored, search_results


@dataclass(frozen=True, repr=False)
class Comparison:
    """The analysis of all that `folder` holds."""

    folder: Path
    analysis: Analysis

    def __repr__(self) -> str:
        return f"Comparison({str(self.folder)!r}, {self.analysis!r})"

    @classmethod
    def read(
        cls, folder: Path | str, levels_percent: Sequence[float] | None = None
    ) -> "Comparison":
        """Analyse a folder; nothing else is needed, neither the data set nor torch.

        `levels_percent` are the test accuracies whose first reaching measures speed (default: those
        that were last asked for). Raises `UsageError` if the folder holds no experiment or a level
        is none, `RunError` if the folder is damaged.
        """
        levels = levels_percent
        if levels is not None:
            levels = read_design(Design(), levels_percent=levels).levels_percent
        return cls.of(Store(user_path(folder)), levels)

    @classmethod
    def of(cls, store: Store, levels_percent: Sequence[float] | None = None) -> "Comparison":
        """Analyse what an open store holds; see `read`."""
        store.facts()  # without which no trial is of use
        store.records()  # so that they are there already
        with cycles.searched_for_in_what_is_new():
            return cls(store.folder, _analysis(store, levels_percent))

    @property
    def page(self) -> Path:
        """Where the report's page is, once it is written."""
        return self.folder / PAGE

    def table(self) -> pd.DataFrame:
        """One row per norm: mean, sd and n of every metric, with the unit in the column's name.

        See `Analysis.table`.
        """
        return self.analysis.table()

    def probes(self) -> pd.DataFrame:
        """One row per number that a probe measured inside a network, of every trial.

        Columns: norm, batch_size, seed, probe, measure, epoch (0 is the untrained network), layer,
        position (along another axis, such as a channel), value. Empty if no probes were taken.
        """
        return self.analysis.probe_table()

    def report(self, path: Path | str | None = None, how_far: str = "") -> Path:
        """Write the report into the folder `path` (default: the experiment's); return the page.

        `how_far` is what the page says first, of a training that goes on. Raises `RunError` if that
        folder cannot be written.
        """
        out = user_path(path) if path else self.folder
        with cycles.searched_for_in_what_is_new():
            return write_report(self.analysis, self.folder / "pictures", out, how_far)


def _analysis(store: Store, levels_percent: Sequence[float] | None) -> Analysis:
    experiment = store.experiment
    contents = Contents(
        experiment=experiment,
        requests=store.requests,
        facts=store.facts(),
        models=store.models(),
        results=results_stored(store),
        test_labels=store.test_labels(),
        searches=_searches(store),
        costs=store.costs(),
        probes=store.all_probes(),
        heat_maps=store.heat_maps(),
        left_out=store.left_out(),
        summarised=store.summarised,
    )
    source = DATASETS.get(experiment.dataset)
    whole_train_size = source.train_size if source else None
    titles = {norm: _title(norm, experiment) for norm in experiment.norms}
    return analyse(contents, levels_percent, titles, whole_train_size)


class EveryTrialFailed(RunError):
    """No trial of the `comparison` has a result; its report shows why."""

    def __init__(self, comparison: Comparison, reason: str):
        super().__init__(
            f"every trial failed ({reason}); {comparison.page} shows why, and a further try "
            "repeats them"
        )
        self.comparison = comparison


def _title(norm: str, experiment: Experiment) -> str:
    """The full name; of a norm of the user's own, where it comes from."""
    source = experiment.sources.get(parse(norm).name)
    return f"{source.home} ({source.fingerprint})" if source else title_of(norm)


def _searches(store: Store) -> tuple[Search, ...]:
    """How the search for learning rates stands, where there is one."""
    if store.experiment.protocol != "tuned":
        return ()
    return searches(store.experiment, search_results(store))
