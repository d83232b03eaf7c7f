"""One result on the disk: its record as JSON, and its arrays in files beside it."""

import io
import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np

from normscope.experiment import HeatMaps, NormHeat, Predictions, Probes, Result, Series, Told
from normscope.experiment.folds import tested_labels
from normscope.files import Broken, entries, put
from normscope.seals import seal_bytes, seal_text, sha256
from normscope.store.folder import RECORD, TrialFolder
from normscope.store.reading import Reader, expected_content, sha256_of_file

PREDICTIONS = "predictions.npz"
WEIGHTS = "weights.safetensors"
PROBES = "probes.npz"


@dataclass(frozen=True)
class Record:
    """A result without its arrays, and the check sums of the files beside it, by name.

    They are None in a folder without seals, where nobody knows them. `probed`: whether there is a
    file of probes.
    """

    result: Result
    beside: Mapping[str, str] | None
    probed: bool


def write_record(result: Result, folder: TrialFolder, name_of_probes: str) -> Record:
    """Write the record of a result and its arrays into a folder that is there; return the record.

    `name_of_probes` is what the file of its probes will be called in the experiment's folder.
    """
    arrays: dict[str, bytes] = {}
    if result.predictions is not None:
        predictions = result.predictions
        arrays[folder.predictions.name] = _archive(
            classes=predictions.classes, logits=predictions.logits
        )
    if result.weights is not None:
        from safetensors.numpy import save  # it is not needed to read a folder

        # safetensors writes memory as it lies; a channels_last weight lies in another order.
        in_order = {name: np.ascontiguousarray(w) for name, w in result.weights.items()}
        arrays[folder.weights.name] = save(in_order)
    for name, content in arrays.items():
        put(folder.path / name, content)
    if result.probes is not None:
        put(folder.probes, seal_bytes(probes_bytes(result.probes), name_of_probes))
    beside = {name: sha256(content) for name, content in arrays.items()}
    put(folder.record, seal_text(result.model_dump_json(indent=2), {"files": beside}))
    without = {"predictions": None, "weights": None, "probes": None}
    return Record(result.model_copy(update=without), beside, result.probes is not None)


# What the functions below raise: `Broken` for what is damaged, and what `files.read` raises.


def read_record(folder: TrialFolder, reader: Reader) -> Record:
    """The record of a trial."""
    return record_of(sealed_record(folder, reader), reader)


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A record whose result is JSON, which is what was written, and the names of its files."""

    text: bytes
    beside: Mapping[str, str] | None
    there: frozenset[str]


def record_of(sealed: SealedRecord, reader: Reader) -> Record:
    """The record, if the files that belong to it are there, and no others."""
    try:
        with expected_content():
            result = reader.with_shared_values(Result.model_validate_json(sealed.text))
    except Broken as error:
        raise Broken(f"{RECORD}: {error}") from error
    _check_company(sealed)
    return Record(result, sealed.beside, PROBES in sealed.there)


def sealed_record(folder: TrialFolder, reader: Reader) -> SealedRecord:
    """The record of a trial before it is parsed: what takes the disk's time."""
    try:
        text, about = reader.text(folder.record)
    except FileNotFoundError as error:
        raise Broken(f"{RECORD} is gone") from error
    except Broken as error:
        raise Broken(f"{RECORD}: {error}") from error
    if about is not None:
        beside = about.get("files", {})
    elif reader.sealed:
        earlier = reader.earlier_in(folder.path)
        beside = {name: earlier[name] for name in earlier if name not in (RECORD, PROBES)}
    else:
        beside = None
    return SealedRecord(text, beside, _files(folder))


def _files(folder: TrialFolder) -> frozenset[str]:
    """The names of the files in a folder that are to stay there."""
    there = [entry for entry in entries(folder.path) if not entry.name.startswith(".")]
    for entry in there:
        if not entry.is_file(follow_symlinks=False):
            raise Broken(f"{entry.name}: it is no file of its own")
    return frozenset(entry.name for entry in there)


def _check_company(sealed: SealedRecord) -> None:
    """Weights may be taken away: no number of a report is made from them."""
    if sealed.beside is None:
        return
    if lost := sealed.beside.keys() - sealed.there - {WEIGHTS}:
        raise Broken(f"{min(lost)} is gone")
    if more := sealed.there - {RECORD, PROBES} - sealed.beside.keys():
        raise Broken(f"{min(more)} is no file of this trial")


@dataclass(frozen=True, slots=True)
class Expected:
    """The predictions that belong to a record: what it tells of them, and their check sum.

    The check sum is None in a folder without seals.
    """

    told: Told
    check_sum: str | None

    @classmethod
    def by(cls, record: Record) -> "Expected | None":
        """None if the result has no predictions; the search for rates keeps none."""
        result = record.result
        if not result.trained_to_the_end or result.trial.validation:
            return None
        if len(result.history) != result.trial.recipe.epochs:
            raise Broken(f"{RECORD}: epochs are missing")
        beside = record.beside
        return cls(Told.by(result), None if beside is None else beside.get(PREDICTIONS, ""))


def read_predictions(expected: Expected, folder: TrialFolder, reader: Reader) -> Predictions:
    """What the network of a trial says of its test images."""
    path = folder.predictions
    try:
        content = reader.beside(path, expected.check_sum)
        with expected_content():
            arrays = _files_in(content)
            predictions = Predictions(
                classes=_array(arrays["classes.npy"]), logits=_array(arrays["logits.npy"])
            )
        _check_shapes(predictions)
    except FileNotFoundError as error:
        raise Broken(f"{path.name} is gone") from error
    except Broken as error:
        raise Broken(f"{path.name}: {error}") from error
    return predictions


def _files_in(archive: bytes) -> dict[str, bytes]:
    """The files in a zip as numpy writes it; what `zipfile` makes of it, in a tenth of the time.

    Raises what `expected_content` expects for a zip of any other kind, or if a file is not what its
    check sum says.
    """
    found, place = {}, 0
    while archive.startswith(_LOCAL, place):
        flags, method, check_sum, packed, _, name, extra = _LOCAL_HEADER.unpack_from(archive, place)
        name_at = place + _LOCAL_HEADER.size
        extra_at = name_at + name
        if packed == _IN_EXTRA:
            kind, _, _, packed = _ZIP64.unpack_from(archive, extra_at)
            if kind != 1:
                raise ValueError("no length of a file")
        content_at = extra_at + extra
        place = content_at + packed
        content = archive[content_at:place]
        if method == ZIP_DEFLATED:
            content = zlib.decompress(content, -zlib.MAX_WBITS)
        if flags or method not in (ZIP_STORED, ZIP_DEFLATED) or zlib.crc32(content) != check_sum:
            raise ValueError("no archive of numpy's")
        found[archive[name_at:extra_at].decode("ascii")] = content
    return found


# Before each file: version, flags, method, time, date, CRC-32, packed and unpacked length, and the
# lengths of its name and of what follows that. Source: PKWARE's APPNOTE.TXT 6.3.10, 4.3.7, 4.5.3.
_LOCAL = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4x2xHH4xIIIHH")
_IN_EXTRA = 0xFFFFFFFF  # a length of 64 bits, which is told there
_ZIP64 = struct.Struct("<HHQQ")  # 1, length, unpacked and packed length of the file


def _array(content: bytes) -> np.ndarray:
    """The array in a .npy file, to be read only; what numpy makes of it, in a tenth of the time.

    Raises `ValueError` if it holds objects, or fewer values than it says.
    """
    length = _HEAD + int.from_bytes(content[_HEAD - 2 : _HEAD], "little")
    if content[: _HEAD - 2] != _MAGIC:
        raise ValueError("no array of numpy's format 1.0")
    shape, by_columns, dtype = _header(content[_HEAD - 2 : length])
    values = np.frombuffer(content, dtype, math.prod(shape), length)
    return values.reshape(shape, order="F" if by_columns else "C")


_MAGIC = b"\x93NUMPY\x01\x00"
_HEAD = len(_MAGIC) + 2  # then comes the header, as long as the last two bytes say


@lru_cache(maxsize=64)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type; the trials of an experiment have the same."""
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(content))
    if dtype.hasobject:
        raise ValueError("an array of objects")
    return shape, by_columns, dtype


def _check_shapes(predictions: Predictions) -> None:
    """Raise `Broken` if the parts of predictions do not belong together."""
    classes, logits = predictions.classes, predictions.logits
    fit = logits.ndim == 2 and classes.shape == logits.shape[:1]
    fit = fit and (classes.dtype.kind, logits.dtype.kind) == ("i", "f")
    if not fit:
        raise Broken("these are no predictions")
    if not np.isfinite(logits).all():
        raise Broken("a logit is no number")
    if len(classes) and not (classes.min() >= 0 and classes.max() < logits.shape[1]):
        raise Broken("a predicted class is none")


def check_truth(told: Told, predictions: Predictions, labels: np.ndarray, num_classes: int) -> None:
    """Raise `Broken` if predictions are of other images, or of another accuracy than the history.

    `labels`: int64, the true classes of all test images; of folds, of all images.
    """
    truth = tested_labels(told, labels)
    if predictions.logits.shape != (len(truth), num_classes):
        raise Broken("predictions.npz: it is not for the test images of this experiment")
    percent = 100 * float((predictions.classes == truth).mean())
    end = told.test_accuracy_percent
    if not abs(percent - end) <= 1e-6:  # nor does no number fit
        raise Broken(f"its history ends at {end:.4f} %, its predictions at {percent:.4f} %")


def read_weights(record: Record, folder: TrialFolder, reader: Reader) -> dict[str, np.ndarray]:
    """Parameters and buffers by name."""
    from safetensors import SafetensorError  # not needed to read a folder
    from safetensors.numpy import load

    expected = None if record.beside is None else record.beside.get(WEIGHTS, "")
    try:
        return load(reader.beside(folder.weights, expected))
    except SafetensorError as error:
        raise Broken(str(error)) from error


def check_weights(record: Record, folder: TrialFolder) -> None:
    """Raise `Broken` if the weights are not what was written, without holding them in memory."""
    if record.beside is not None and sha256_of_file(folder.weights) != record.beside.get(WEIGHTS):
        raise Broken("it is not what was written")


def _archive(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def probes_bytes(probes: Probes) -> bytes:
    """What probes measured: arrays in float32, and a text that says what they are."""
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
    return _archive(about=np.array(json.dumps(about)), **arrays)


def read_probes(folder: TrialFolder, reader: Reader) -> Probes | None:
    """What probes measured; None if none were taken."""
    try:
        content = reader.content(folder.probes)
    except FileNotFoundError:
        return None
    with expected_content(), np.load(io.BytesIO(content), allow_pickle=False) as arrays:
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


def heat_maps_bytes(heat_maps: HeatMaps) -> bytes:
    """Heat maps in float16, and a text that says what they are."""
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
    return _archive(about=np.array(json.dumps(about)), **arrays)


def heat_maps_of(content: bytes) -> HeatMaps:
    """Heat maps as they were written."""
    with expected_content(), np.load(io.BytesIO(content), allow_pickle=False) as arrays:
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
