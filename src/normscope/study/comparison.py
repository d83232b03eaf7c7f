"""An experiment's folder, analysed: what `compare` returns and `normscope report` reads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from normscope import cycles
from normscope.analysis import Analysis, Contents, analyse
from normscope.analysis.afterwards import Chosen
from normscope.analysis.predicted import prediction_table
from normscope.data import DATASETS
from normscope.errors import RunError, UsageError
from normscope.experiment import Design, Experiment
from normscope.experiment.reading import read_design
from normscope.experiment.tuning import Search, searches
from normscope.files import user_path
from normscope.norms import parse, title_of
from normscope.report import PAGE, write_report
from normscope.report.figures import figure_named
from normscope.report.in_notebook import render_in_notebook, shown
from normscope.report.write_up import write_write_up
from normscope.store import Store
from normscope.store.folder import ExperimentFolder
from normscope.study.stored import check_seed, norm_named, results_stored, search_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Comparison:
    """The analysis of all that `folder` holds.

    >>> from normscope import Comparison
    >>> comparison = Comparison.read("runs/shapes-s8-quick")  # doctest: +SKIP
    >>> comparison.analysis.recommendation.text  # doctest: +SKIP
    >>> comparison.figure("curves").savefig("curves.pdf")  # doctest: +SKIP
    """

    folder: Path
    analysis: Analysis

    def __repr__(self) -> str:
        return f"Comparison({str(self.folder)!r}, {self.analysis!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the recommendation, the result table, where the page is."""
        return render_in_notebook(self.analysis, self.page if self.page.is_file() else None)

    @classmethod
    def read(
        cls,
        folder: Path | str,
        levels_percent: Sequence[float] | None = None,
        baseline: str | None = None,
        alpha: float | None = None,
        margin_points: float | None = None,
    ) -> "Comparison":
        """Analyse a folder; nothing else is needed, neither the data set nor torch.

        `levels_percent` are the test accuracies whose first reaching measures speed (default: those
        that were last asked for). `baseline`, `alpha` and `margin_points` instead of those of the
        folder's design make the verdicts exploratory: `Analysis.promised` says what was asked for,
        and the folder's design stays as it is. Raises `UsageError` if the folder holds no
        experiment, a level is none, or it cannot be judged by such rules, `RunError` if the folder
        is damaged.
        """
        levels = levels_percent
        if levels is not None:
            levels = read_design(Design(), levels_percent=levels).levels_percent
        store = Store(user_path(folder))
        return cls.of(store, levels, _chosen(store, baseline, alpha, margin_points))

    @classmethod
    def of(
        cls,
        store: Store,
        levels_percent: Sequence[float] | None = None,
        chosen: Chosen | None = None,
    ) -> "Comparison":
        """Analyse what an open store holds; see `read`."""
        store.facts()  # without which no trial is of use
        store.records()  # so that they are there already
        with cycles.searched_for_in_what_is_new():
            return cls(store.folder, _analysis(store, levels_percent, chosen))

    @property
    def page(self) -> Path:
        """Where the report's page is, once it is written.

        A report by rules that were chosen afterwards does not replace that of the design.
        """
        promised = self.analysis.promised
        if promised is None:
            return self.folder / PAGE
        return ExperimentFolder(self.folder).reports / _in_a_file_name(promised.changes) / PAGE

    @property
    def _pictures(self) -> Path:
        return self.folder / "pictures"

    def table(self) -> pd.DataFrame:
        """One row per norm: mean, sd and n of every metric, with the unit in the column's name.

        See `Analysis.table`; docs/trackers.md has the columns.
        """
        return self.analysis.table()

    def probes(self) -> pd.DataFrame:
        """One row per number that a probe measured inside a network, of every trial.

        Columns: norm, batch_size, seed, probe, measure, epoch (0 is the untrained network), layer,
        position (along another axis, such as a channel), value. Empty if no probes were taken.
        """
        return self.analysis.probe_table()

    def figure(self, name: str) -> "Figure":
        """A figure of the report, drawn anew, which a notebook shows.

        `name` is that of its files in the folder ``figures``, such as "race" or "confusion_0"; or a
        part of the page, for its first figure: "curves" is "test_accuracy_percent". Raises
        `UsageError`, which lists the figures there are, if this one is not among them.
        """
        return shown(figure_named(self.analysis, self._pictures, name).drawing)

    def predictions(self, norm: str | None = None, seed: int | None = None) -> pd.DataFrame:
        """One row per trial and test image: what each trained network said of it.

        Columns: norm, batch_size, seed, image (its index in the test set), label, predicted (both
        as categories that are the class names), confidence (softmax probability of the predicted
        class, from logits in float16). Trials by seed and then by norm; those that were not trained
        to the end have no rows. They are read from the folder, and no logits are held. Of many
        trials name the `norm` or the `seed`.

        Raises `UsageError` for a norm or seed of which there is no result, or for more than 100
        million rows, and `RunError` if trials are damaged.
        """
        store = Store(self.folder)
        wanted = norm_named(store, norm) if norm else None
        stored = results_stored(store)
        if seed is not None:
            check_seed(seed, {each.trial.seed for each in stored}, "results")
        results = [
            each
            for each in stored
            if each.trained_to_the_end
            and wanted in (None, each.trial.norm)
            and seed in (None, each.trial.seed)
        ]
        labels, names = store.test_labels(), store.facts().class_names
        return prediction_table(results, store.predictions(results), labels, names)

    def report(self, path: Path | str | None = None, how_far: str = "") -> Path:
        """Write the report into the folder `path` (default: that of `page`); return the page.

        `how_far` is what the page says first, of a training that goes on. Raises `RunError` if that
        folder cannot be written, `UsageError` if it is for what was asked for and the rules are
        other ones.
        """
        out = self._place(path, self.page.parent)
        with cycles.searched_for_in_what_is_new():
            return write_report(self.analysis, self._pictures, out, how_far)

    def write_up(self, path: Path | str | None = None, latex: bool = False) -> Path:
        """Write the page to hand in, and its figures, into the folder `path`; return the page.

        By default that is ``write-up`` beside `page`. With `latex` also tables, the method and
        BibTeX for a paper. Raises as `report` does.
        """
        own = self.page.parent / ExperimentFolder(self.folder).write_up.name
        return write_write_up(self.analysis, self._pictures, self._place(path, own), latex)

    def _place(self, path: Path | str | None, own: Path) -> Path:
        """The folder to write into; other rules do not replace what the design's rules made."""
        out = user_path(path) if path else own
        kept = (self.folder, ExperimentFolder(self.folder).write_up)
        if self.analysis.promised and out.resolve() in [each.resolve() for each in kept]:
            raise UsageError(
                f"{out} is for what the rules say that were asked for; leave --out out, or name "
                "another folder"
            )
        return out


def _chosen(
    store: Store, baseline: str | None, alpha: float | None, margin_points: float | None
) -> Chosen | None:
    """What the verdicts are to be reached by; None if that is what the design says."""
    if (baseline, alpha, margin_points) == (None, None, None):
        return None
    norms = store.experiment.norms
    if len(norms) == 1:
        raise UsageError(
            f"{norms[0]} is the only norm in {store.folder}: there is no verdict to reach by other "
            "rules"
        )
    norm = norm_named(store, baseline or norms[0])
    own = store.requests[-1].design if store.requests else Design()
    asked = read_design(own, alpha=alpha, margin_points=margin_points)
    chosen = Chosen(norm, asked.alpha, asked.margin_points)
    return None if chosen == Chosen(norms[0], own.alpha, own.margin_points) else chosen


def _in_a_file_name(changes: Mapping[str, float | str]) -> str:
    """``baseline-gn-alpha-0.01``."""
    words = (
        f"{name}-{value if name == 'baseline' else f'{value:g}'}" for name, value in changes.items()
    )
    return re.sub(r"[^\w.=-]+", "-", "-".join(words))


def _analysis(
    store: Store, levels_percent: Sequence[float] | None, chosen: Chosen | None
) -> Analysis:
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
    return analyse(contents, levels_percent, titles, whole_train_size, chosen)


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
