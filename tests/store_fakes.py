"""A made-up experiment's folder with a file of every kind, and ways to damage one."""

import os
import shutil

import numpy as np
from report_fakes import (
    fitting,
    make_costs,
    make_experiment,
    make_facts,
    make_labels,
    make_model,
    make_results,
    of_layers,
)

from normscope.experiment import Design, HeatMaps, NormHeat, Probes, Request
from normscope.store import Store

IMAGES = 60

# A file of every kind that a folder holds, by its place there; of several the first.
KINDS = (
    "experiment.json", "experiment.backup.json", "dataset.json", "test_labels.npy", "models.json",
    "costs.json", "pictures/*.png", "heat_maps/*.npz", "trials/*/record.json",
    "trials/*/predictions.npz", "trials/*/weights.safetensors", "trials/*/probes.npz",
)  # fmt: skip

# Without these a report says the same, so that only `doctor` reads them.
UNREPORTED = ("experiment.backup.json", "trials/*/weights.safetensors")


def make_trials(experiment):
    """Every trial of an experiment, with weights and probes."""
    labels = make_labels(IMAGES)
    probes = Probes({"redundancy.sameness_position": of_layers(0.6, 0.5, 3)})
    weights = {"layers.0.weight": np.arange(12, dtype=np.float32).reshape(3, 4)}
    return [
        fitting(result, labels).model_copy(update={"weights": weights, "probes": probes})
        for result in make_results(experiment, labels)
    ]


def make_store(
    folder,
    norms=("bn", "gn"),
    seeds=3,
    design=Design(),  # noqa: B008
    trials=True,
    command="x",
):
    """A folder with a file of every kind."""
    experiment = make_experiment(norms=norms, seeds=seeds, epochs=3)
    request = Request(date="2026-01-01", command=command, norms=norms, seeds=seeds, design=design,
                      results_before=0)  # fmt: skip
    store = Store.create(folder, experiment, request)
    store.describe(make_facts(test_size=IMAGES), make_labels(IMAGES), map(make_model, norms))
    for result in make_trials(experiment) if trials else []:
        store.add(result)
    store.keep_costs(make_costs(norms))
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8)
    store.add_pictures(images, [7, 14])
    heat = {norm: NormHeat("layers.0", np.zeros(2, np.int64), np.ones((2, 4, 4))) for norm in norms}
    store.keep_heat_maps(HeatMaps("occlusion", 0, np.array([7, 14]), heat))
    return store


def first(folder, kind):
    return min(folder.glob(kind))


def flipped(path, rng):
    """Turn over a single bit of a file."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def cut(path, rng):
    path.write_bytes(path.read_bytes()[: rng.integers(1, path.stat().st_size)])


def emptied(path, rng):
    path.write_bytes(b"")


def gone(path, rng):
    path.unlink()


def made_a_folder(path, rng):
    path.unlink()
    path.mkdir()


def zeroed(path, rng):
    path.write_bytes(bytes(path.stat().st_size))


def linked_to_itself(path, rng):
    path.unlink()
    path.symlink_to(path.name)


def linked_out(path, rng):
    """Its own content, but in another folder."""
    outside = path.parents[1].with_name("outside")
    outside.mkdir(exist_ok=True)
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)


def made_a_pipe(path, rng):
    path.unlink()
    os.mkfifo(path)


TRUNCATIONS = (cut, emptied, gone, made_a_folder, zeroed, linked_to_itself, linked_out, made_a_pipe)
