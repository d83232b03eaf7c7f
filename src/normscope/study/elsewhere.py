"""Looking into a network that was trained elsewhere, from a file of its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from normscope.data import DATASETS
from normscope.errors import UsageError
from normscope.experiment import Experiment
from normscope.experiment.plan import plan
from normscope.files import user_path
from normscope.observers import Observer
from normscope.study.checks import check_names, checked_probes, machine_for
from normscope.study.opening import load
from normscope.study.own import with_own_norms
from normscope.study.own_images import named
from normscope.training.trained import LookedInto, probe_elsewhere

# Where people keep the weights among the other things that a file of a training holds.
WRAPPERS = ("state_dict", "model_state_dict", "model", "weights", "net")


def probe_weights(
    file: Path | str,
    experiment: Experiment,
    probes: Sequence[str] = ("default",),
    *,
    as_it_is: bool = True,
    data_dir: Path | str | None = None,
    device: str = "auto",
    observer: Observer | None = None,
) -> LookedInto:
    """Take probes of a network whose weights are in a file: a state dict, or safetensors.

    Of the experiment count the network, the data set, the first norm unless a user's network is
    taken `as_it_is`, and the recipe's batch size and learning rate for probes that need one. The
    file is read as data, so that no code in it is run. Images are normalized with the mean and
    deviation of the data set.

    Raises `UsageError`, in one line, for a file that holds anything else than weights, or weights
    of another network.
    """
    chosen = checked_probes(probes)
    place = user_path(data_dir) if data_dir else None
    experiment, _ = with_own_norms(named(experiment, place, observer), Path(), None)
    check_names(experiment)
    experiment = _with_whole_batches(experiment)
    machine = machine_for(device, workers=1)
    weights = read_weights(user_path(file))
    dataset = load(experiment, place, observer or Observer())
    trial = plan(experiment)[0]
    return probe_elsewhere(trial, dataset, machine.device, weights, chosen, as_it_is)


def _with_whole_batches(experiment: Experiment) -> Experiment:
    """The experiment with batches that there are training images for."""
    images = experiment.train_limit or DATASETS[experiment.dataset].train_size
    recipe = experiment.recipe
    if recipe.batch_size <= images:
        return experiment
    smaller = recipe.with_batch_size(images)
    return experiment.model_copy(update={"recipe": smaller, "batch_sizes": (images,)})


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights in a file by name, out of whatever dictionary they lie in.

    What stands before all names, as DataParallel's ``module.``, is left out.
    """
    found: Any = _content(file)
    for wrapper in WRAPPERS:
        inner = found.get(wrapper) if isinstance(found, Mapping) else None
        if isinstance(inner, Mapping) and inner:
            found = inner
    if not isinstance(found, Mapping) or not found:
        raise UsageError(f"{file} holds no weights by name; save model.state_dict()")
    others = [name for name, value in found.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UsageError(
            f"{file} holds {others[0]!r}, which is no tensor, beside weights; save "
            "model.state_dict()"
        )
    for prefix in ("_orig_mod.", "module.") * 2:  # of torch.compile and DataParallel, in any order
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return dict(found)


def _content(file: Path) -> object:
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise UsageError(f"{file} is no safetensors file: {error}") from error
    except Exception as error:  # what torch raises depends on what it takes the bytes for
        raise UsageError(
            f"{file} cannot be read as weights: it is damaged, or holds more than tensors, which "
            "is not loaded since it could run code; save model.state_dict() to a file of its own"
        ) from error
