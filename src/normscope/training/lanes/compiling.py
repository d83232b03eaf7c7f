"""How the loops over blocks are compiled, and where their code is kept."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding
from filelock import FileLock
from numba.core.compiler import CompileResult

from normscope.training.fused.cache import cache_folder
from normscope.training.fused.kept import VERSIONS, KeptCode
from normscope.training.lanes.target import processor

KEPT_S = 60 * 24 * 3600.0  # how long code is kept that nobody uses
PATIENCE_S = 120  # for another process to compile a loop; a large one takes 3 s
OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def generator_digest() -> str:
    """What compiled code depends on besides a layer: this package, its compilers, the processor."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    depends_on = [VERSIONS, llvmlite.binding.llvm_version_info, processor()]
    digest = hashlib.sha256(repr(depends_on).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder()) / f"lanes-{generator_digest()}"


class KeptLoop(KeptCode):
    """`KeptCode` of a function whose closure has generated code in it, which `key` stands for.

    Of several processes that want the same code, one compiles it while the others wait.
    """

    def __init__(self, function: Callable, folder: Path, key: Hashable):
        self.folder = folder
        self.name = function.__name__
        self.depends_on = function.__module__, function.__qualname__, key
        self._compiling: FileLock | None = None

    def load_overload(self, types: Hashable, target: Any) -> CompileResult | None:
        self._lock(self.path(types, target.codegen()))
        found = super().load_overload(types, target)
        if found is not None:
            self._unlock()
        return found

    def save_overload(self, types: Hashable, compiled: Any) -> None:
        super().save_overload(types, compiled)
        self._unlock()

    def _lock(self, path: Path) -> None:
        """Wait until no other process compiles this; where nothing can be locked, all may."""
        lock = FileLock(path.with_suffix(".lock"), timeout=PATIENCE_S)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, NotImplementedError):  # such as a folder that nobody may write to
            return
        self._compiling = lock

    def _unlock(self) -> None:
        if self._compiling is not None:
            self._compiling.release()
            self._compiling = None


@cache
def _mark(layers: str) -> Path:
    return folder / f"trained-{hashlib.sha256(layers.encode()).hexdigest()[:16]}"


def is_compiled(layers: Sequence[object]) -> bool:
    """Whether code for all of these layers, forward and backward, is kept here by now."""
    return _mark(repr(layers)).exists()


def trained(layers: Sequence[object]) -> None:
    """Note that it is; where nothing can be kept, nothing is noted.

    Code of other versions and processors that nobody has used for long is removed then.
    """
    mark = _mark(repr(layers))
    if mark.exists():
        return
    with suppress(OSError):
        mark.touch()
    for other in folder.parent.glob("lanes-" + 16 * "[0-9a-f]"):
        with suppress(OSError):  # such as that another process was first
            if other != folder and time.time() - other.stat().st_mtime > KEPT_S:
                shutil.rmtree(other)


def used() -> None:
    """Note that the code that is kept here is used."""
    with suppress(OSError):
        os.utime(folder)


def compiled_for(*key: Hashable) -> Callable[[Callable], Any]:
    """numba's compiler for a function that `key` and its source determine, as text too."""

    return lambda function: KeptLoop(function, folder, key).compiler(function, **OPTIONS)
