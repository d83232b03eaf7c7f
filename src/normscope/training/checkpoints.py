"""The state of trials in training, kept in a file from which they go on to the same bits."""

import hashlib
import json
import logging
import math
import os
import stat
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from normscope import stopping
from normscope.errors import NormscopeError
from normscope.experiment import Environment, Keeping, ProbePlan, Trial
from normscope.files import disk_errors, written
from normscope.training.packing import Packed, Tree, Unpackable, pack, unpack
from normscope.words import visible

FORMAT = 1  # raise it whenever a state is made of other parts
ENDING, FLEET = ".safetensors", "fleet-"
CONSEQUENCE = "until then a trial that is stopped begins anew"

# What reading a damaged file raises.
DAMAGE = (SafetensorError, ValueError, KeyError, TypeError, AttributeError)

_logger = logging.getLogger(__name__)

Identity = Mapping[str, Any]  # what a state belongs to, as JSON says it


class Unfit(ValueError):
    """A training cannot go on from what was kept."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: whose state it is, when its training began, how long it took, it."""

    identity: Identity
    started: str
    seconds: float
    state: Packed


class Keeper:
    """Keeps the state of one training in the file at `path`, and finds that of an earlier try.

    With `path` None it keeps and finds nothing. What is found must be of the same `identity`; what
    is not is left aside, and what cannot be written is gone without: `notices` say so.
    """

    def __init__(self, path: Path | None, every_s: float, identity: Identity):
        self.path, self.every_s, self.identity = path, every_s, identity
        self.notices: list[str] = []
        self._now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._clock = self._last = time.perf_counter()
        self._found = self._read(path) if path else None

    @classmethod
    def of(
        cls,
        keeping: Keeping | None,
        trials: Sequence[Trial],
        here: Environment,
        probes: ProbePlan,
    ) -> "Keeper":
        """That of trials which train together.

        Nothing is kept if the experiment's folder is not here, on another machine without shared
        disks. A state is theirs if all of `here` is the same, since a processor, a compiler or a
        number of threads decides the last bits, and so are the probes.
        """
        if keeping is None or not os.path.exists(keeping.folder.parent):  # elsewhere
            return keeping_nothing()
        ids = [trial.id for trial in trials]
        path = keeping.folder / f"{_name(ids)}{ENDING}"
        plan = {"names": probes.names, "epochs": probes.epochs, "images": probes.images}
        identity = {"format": FORMAT, "trials": ids, **here.model_dump(), "probes": plan}
        identity["data"] = keeping.data
        if here.kernels == "numba":
            identity["numba"] = version("numba")
        return cls(path, keeping.every_s, json.loads(json.dumps(identity)))

    @property
    def started(self) -> str:
        """When the training began, in the first of the tries from which it goes on."""
        return self._found.started if self._found else self._now

    @property
    def seconds(self) -> float:
        """How long it has taken, with those tries."""
        before = self._found.seconds if self._found else 0.0
        return before + time.perf_counter() - self._clock

    # -- going on ----------------------------------------------------------------------------------

    @property
    def has_found(self) -> bool:
        """Whether there is a state to go on from."""
        return self._found is not None

    def found(self) -> Tree | None:
        """The state to go on from; None if the training begins. Large, and so handed out once."""
        if self._found is None:
            return None
        state = unpack(self._found.state)
        self._found = replace(self._found, state=pack(None))
        return state

    def leave_aside(self, reason: object) -> None:
        """Begin anew, since what was found is of no use."""
        self._found = None
        self.notices.append(f"{self.path} is left aside, and its training begins anew: {reason}.")

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            found = read(path)
            if difference := _difference(found.identity, self.identity):
                raise Unfit(difference)
            return found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, Unfit) as error:
            self.leave_aside(error)
            return None

    # -- keeping -----------------------------------------------------------------------------------

    def postponing(self) -> AbstractContextManager[None]:
        """Within it a request to stop waits for `keep`, if there is anything to keep."""
        return stopping.postponed() if self.path else nullcontext()

    def is_due(self) -> bool:
        """Whether the state is to be kept now: it is time, or the program was asked to stop."""
        if self.path is None:
            return False
        return stopping.asked() or time.perf_counter() - self._last >= self.every_s

    def is_asked_to_stop(self) -> bool:
        """Whether a request to stop waits for `keep`."""
        return self.path is not None and stopping.asked()

    def snapshot(self, make_state: Callable[[], Tree]) -> Packed | None:
        """A copy of the state as it is; None if nothing is kept of it."""
        if self.path is None:
            return None
        try:
            return pack(make_state())
        except Unpackable as error:
            self._notice_once(f"No state of this training can be kept, because of {error}.")
            return None

    def keep(self, state: Packed | None) -> None:
        """Write a state, in the place of an earlier one; then answer a request to stop."""
        assert self.path is not None  # or nothing would be due
        if state is not None:
            try:
                write(self.path, Checkpoint(self.identity, self.started, self.seconds, state))
            except NormscopeError as error:  # a training is worth more than its checkpoint
                self._notice_once(f"{error}.")
                if stopping.asked():  # there will be no result to tell of it
                    _logger.warning("%s", visible(str(error)))
        self._last = time.perf_counter()
        stopping.answer()

    def _notice_once(self, sentence: str) -> None:
        if sentence not in self.notices:
            self.notices.append(sentence)


def keeping_nothing() -> Keeper:
    """The keeper of a training that begins anew whenever it is stopped."""
    return Keeper(None, math.inf, {})


def discard_ended(folder: Path, ended: Container[str], last: str = "") -> None:
    """Remove the files of which all trials have `ended`, by id; and the folder, if it is empty.

    If all but the `last` of them had ended before, its own file and those of fleets are all that
    there is to look at, however many trials are in training.
    """
    own = [folder / f"{last}{ENDING}"] if last else []
    for path in [*own, *folder.glob(f"{FLEET if last else '[!.]'}*{ENDING}")]:
        if all(each in ended for each in _ids_in(path)):
            with suppress(OSError):  # it is another user's, or no file; whoever reads it says so
                path.unlink()
    with suppress(OSError):  # it is not there, or something is in it
        folder.rmdir()


def _ids_in(path: Path) -> Sequence[str]:
    """The trials whose state a file is, without reading the state."""
    if not path.name.startswith(FLEET):
        return [path.stem]
    try:
        with path.open("rb") as file:
            length = min(int.from_bytes(file.read(8), "little"), path.stat().st_size)
            header = json.loads(file.read(length))
        return json.loads(header["__metadata__"]["identity"])["trials"]
    except (OSError, *DAMAGE):
        return [path.stem]


def _name(ids: Sequence[str]) -> str:
    """What the file of trials is called: by the id of the one, or by a hash of those of a fleet."""
    if len(ids) == 1:
        return ids[0]
    return f"{FLEET}{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:12]}"


def _difference(found: Identity, wanted: Identity) -> str | None:
    """What of the two is not the same, in words; None if all is."""
    for name in dict.fromkeys([*wanted, *found]):
        one, other = found.get(name), wanted.get(name)
        if one != other:
            return f"it was kept with {name} {one}, and here that is {other}"
    return None


# -- the file --------------------------------------------------------------------------------------


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a file of tensors whose header says all the rest; it is whole, or not there.

    The folder is made if its parent is there. Raises what `written` raises.
    """
    tensors = {name: each.contiguous() for name, each in checkpoint.state.tensors.items()}
    training = {
        "started": checkpoint.started,
        "seconds": checkpoint.seconds,
        "values": checkpoint.state.values,
    }
    header = {"identity": json.dumps(checkpoint.identity), "training": json.dumps(training)}
    header["sha256"] = _digest(header, tensors)
    content = save(tensors, header)
    with disk_errors(path, CONSEQUENCE):
        path.parent.mkdir(exist_ok=True)
    with written(path, CONSEQUENCE) as partial:
        partial.write_bytes(content)


def read(path: Path) -> Checkpoint:
    """Read such a file. Raises `Unfit` if it is damaged, or the `OSError` that the disk raises."""
    if not stat.S_ISREG(path.lstat().st_mode):  # a pipe would be waited for
        raise Unfit("it is no plain file")
    data = path.read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        header, tensors = json.loads(data[8 : 8 + length])["__metadata__"], load(data)
        if header.pop("sha256") != _digest(header, tensors):
            raise ValueError("not the bytes that were written")
        training = json.loads(header["training"])
        state = Packed(training["values"], tensors)
        return Checkpoint(
            json.loads(header["identity"]), training["started"], training["seconds"], state
        )
    except DAMAGE as error:
        raise Unfit("it is damaged") from error


def _digest(header: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """The sha256 over all that a file says."""
    digest = hashlib.sha256(json.dumps([header["identity"], header["training"]]).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
