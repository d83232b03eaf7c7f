"""One result on the disk: its record as JSON, and its arrays in files beside it."""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from pydantic import ValidationError

from normscope.errors import RunError
from normscope.experiment import HeatMaps, NormHeat, Predictions, Probes, Result, Series
from normscope.store.folder import TrialFolder

# What reading a damaged file raises, numpy's and zip's many ways included.
DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, BadZipFile,
          zlib.error)  # fmt: skip


def write_record(result: Result, folder: TrialFolder) -> None:
    """Write the record of a result and its arrays into a folder that is there."""
    folder.record.write_text(result.model_dump_json(indent=2), encoding="utf-8")
    if result.predictions is not None:
        predictions = result.predictions
        np.savez_compressed(
            folder.predictions, classes=predictions.classes, logits=predictions.logits
        )
    if result.weights is not None:
        from safetensors.numpy import save  # it is not needed to read a folder

        # safetensors writes memory as it lies; a channels_last weight lies in another order.
        in_order = {name: np.ascontiguousarray(w) for name, w in result.weights.items()}
        folder.weights.write_bytes(save(in_order))
    if result.probes is not None:
        write_probes(result.probes, folder.probes)


def read_record(folder: TrialFolder) -> Result:
    """The result of a trial without its arrays; raises `RunError` if it is damaged."""
    with _damage_named(folder):
        return Result.model_validate_json(folder.record.read_text(encoding="utf-8"))


def has_predictions(result: Result) -> bool:
    """Whether a result has predictions beside its record; the search for rates keeps none."""
    return result.trained_to_the_end and not result.trial.validation


def read_predictions(result: Result, folder: TrialFolder) -> Result:
    """The same result with its predictions; raises `RunError` if they are damaged."""
    with _damage_named(folder), folder.predictions.open("rb") as file:
        predictions = _read_arrays(file)
        _check_whole(result, predictions)
    return result.model_copy(update={"predictions": predictions})


def read_weights(folder: TrialFolder) -> dict[str, np.ndarray]:
    """Parameters and buffers by name; raises `RunError` if they are damaged."""
    from safetensors import SafetensorError  # not needed to read a folder
    from safetensors.numpy import load

    with _damage_named(folder):
        try:
            return load(folder.weights.read_bytes())
        except SafetensorError as error:
            raise ValueError(str(error)) from error


def write_probes(probes: Probes, path: Path) -> None:
    """Write what probes measured: arrays in float32, and a text that says what they are."""
    about = {
        "seconds": probes.seconds,
        "failures": dict(probes.failures),
        "series": {
            name: {"axes": series.axes, "names": series.names}
            for name, series in probes.series.items()
        },
    }
    arrays = {}
    for name, series in probes.series.items():
        arrays[name] = series.readings.astype(np.float32)
        arrays[f"{name}@epochs"] = series.epochs.astype(np.float64)
    with path.open("wb") as file:  # a name would get an ending
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def read_probes(folder: TrialFolder) -> Probes | None:
    """What probes measured; None if none were taken. Raises `RunError` if it is damaged."""
    if not folder.probes.exists():
        return None
    with _damage_named(folder), folder.probes.open("rb") as file:
        with np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            series = {
                name: Series(
                    epochs=arrays[f"{name}@epochs"],
                    readings=arrays[name],
                    axes=tuple(each["axes"]),
                    names=tuple(map(tuple, each["names"])),
                )
                for name, each in about["series"].items()
            }
        return Probes(series, about["seconds"], about["failures"])


def write_heat_maps(heat_maps: HeatMaps, path: Path) -> None:
    """Write heat maps in float16, and a text that says what they are."""
    norms = list(heat_maps.norms)
    about = {
        "method": heat_maps.method,
        "seed": heat_maps.seed,
        "norms": norms,
        "layers": [heat_maps.norms[norm].layer for norm in norms],
    }
    arrays: dict[str, Any] = {"indexes": heat_maps.indexes}
    for place, norm in enumerate(norms):  # the name of a norm may be no name of a file
        arrays[f"classes{place}"] = heat_maps.norms[norm].classes
        arrays[f"maps{place}"] = _as_float16(heat_maps.norms[norm].maps)
    with path.open("wb") as file:  # a name would get an ending
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def read_heat_maps(path: Path) -> HeatMaps:
    """Heat maps as they were written; raises one of `DAMAGE` if they are damaged."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        norms = {
            norm: NormHeat(
                layer, arrays[f"classes{place}"], arrays[f"maps{place}"].astype(np.float32)
            )
            for place, (norm, layer) in enumerate(zip(about["norms"], about["layers"], strict=True))
        }
        return HeatMaps(about["method"], about["seed"], arrays["indexes"], norms)


def _as_float16(values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float16).max
    return values.clip(-largest, largest).astype(np.float16)


@contextmanager
def _damage_named(folder: TrialFolder) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise RunError(
            f"the record {folder.path} cannot be read ({_what_is_wrong(error)}); remove that "
            "folder and run the experiment again: only this trial is repeated"
        ) from error


def _what_is_wrong(error: Exception) -> str:
    """The reason in one line: of values that do not fit, which is the first."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    return type(error).__name__


def _read_arrays(file: BinaryIO) -> Predictions:
    with np.load(file, allow_pickle=False) as arrays:
        return Predictions(classes=arrays["classes"], logits=arrays["logits"])


def _check_whole(result: Result, predictions: Predictions) -> None:
    """Raise `ValueError` if the parts of a result with predictions do not belong together."""
    images, _ = predictions.logits.shape
    if predictions.classes.shape != (images,) or len(result.history) != result.trial.recipe.epochs:
        raise ValueError("epochs or predictions are missing")
