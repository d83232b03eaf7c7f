"""Looking into networks that an experiment trained, from what its folder holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from normscope.errors import RunError, UsageError
from normscope.files import user_path
from normscope.observers import Observer
from normscope.study.checks import checked_probes
from normscope.study.comparison import Comparison
from normscope.study.opening import TRAINED_ON, load_for_folder, reporting
from normscope.study.stored import results_stored
from normscope.training.trained import probe_trained
from normscope.words import counted


@dataclass(frozen=True)
class Probed:
    """The folder's comparison, and by the id of a trial the probes that failed, with the reason."""

    comparison: Comparison
    trials: int
    failures: dict[str, str]


def probe(
    folder: Path | str,
    probes: Sequence[str] = ("default",),
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    observer: Observer | None = None,
) -> Probed:
    """Take probes of all networks that a folder holds, before and after their training.

    Nothing is trained. What was probed during training stays. Raises `UsageError` if the folder
    holds no experiment or a probe is unknown, `RunError` if it holds no weights.
    """
    names = checked_probes(probes).names
    if not names:
        raise UsageError("name a probe; `normscope probe --help` lists them")
    folder, observer = user_path(folder), observer or Observer()
    checked, dataset = load_for_folder(folder, data_dir, device, observer)
    failures: dict[str, str] = {}
    with reporting(folder, observer) as store:
        results = [each for each in results_stored(store) if each.trained_to_the_end]
        store.check_data(dataset.facts(), dataset.test_labels, results, TRAINED_ON)
        probed = 0
        for result in results:
            weights = store.weights(result.trial)
            if weights is None:
                continue
            found = probe_trained(result.trial, dataset, checked.machine.device, weights, names)
            store.keep_probes(result.trial, found)
            probed += 1
            failures |= {f"{result.trial.id} {name}": why for name, why in found.failures.items()}
            observer.noticed(f"{result.trial.id}: {counted(len(found.series), 'measure')}.")
        if not probed:
            raise RunError(
                f"{folder} holds no weights of a trained network, so there is nothing to look into"
            )
        comparison = Comparison.of(store)
        comparison.report()
    return Probed(comparison, probed, failures)
