"""Compiled code on the disk, which is noticed when it is damaged, and never needed.

numba's own cache unpickles and runs whatever its files hold, and what it raises then, or where a
disk is full, ends every training. Here each file begins with a check sum, so that one that is cut
or altered is named and compiled again; where none can be written, each process compiles anew.
"""

import hashlib
import logging
import pickle
import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import numba
from numba import njit
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from normscope.errors import NormscopeError
from normscope.files import disk_errors, written
from normscope.words import visible

ADVICE = "set NUMBA_CACHE_DIR to another folder; until then each process compiles its norms anew"
VERSIONS = numba.__version__, llvmlite.__version__, sys.implementation.cache_tag
DIGEST_BYTES = hashlib.sha256().digest_size

_logger = logging.getLogger(__name__)


class KeptCode:
    """What numba asks of a cache, for one function: an overload is the code for some types.

    A file per overload in `folder`, named by all that its code depends on: a SHA-256, then what
    numba pickled.
    """

    def __init__(self, function: Callable, folder: Path):
        self.folder = folder
        self.name = function.__qualname__.rpartition(".")[2]
        source = Path(function.__code__.co_filename).read_bytes()
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        self.depends_on = VERSIONS, hashlib.sha256(source).hexdigest(), function.__qualname__, cells

    def compiler(self, function: Callable, **options: Any) -> Any:
        """``numba.njit(**options)`` of the function, whose code is kept here.

        It is compiled under a name that says what the code depends on. numba numbers functions of
        one name as a process comes upon them, so that two processes may give one symbol to
        different code; a third that loads both would run the first in the place of the second
        wherever other compiled code calls it.
        """
        code, of_module = function.__code__, function.__globals__
        own = FunctionType(code, of_module, self.name, function.__defaults__, function.__closure__)
        digest = hashlib.sha256(repr(self.depends_on).encode()).hexdigest()
        own.__qualname__ = f"{function.__qualname__}_{digest[:16]}"
        dispatcher: Any = njit(**options)(own)
        dispatcher._cache = self
        return dispatcher

    def path(self, types: Hashable, codegen: Any) -> Path:
        """Where the code for some types of arguments is kept, for a processor's code generator."""
        key = hashlib.sha256(repr((self.depends_on, types, codegen.magic_tuple())).encode())
        return self.folder / f"{self.name}-{key.hexdigest()[:20]}.compiled"

    def load_overload(self, types: Hashable, target: Any) -> CompileResult | None:
        target.refresh()
        path = self.path(types, target.codegen())
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            shown = visible(str(path))
            _logger.warning("cannot read %s (%s); %s", shown, error.strerror, ADVICE)
            return None
        digest, code = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(code).digest() != digest:
            _logger.warning("%s is damaged, so it is compiled again", visible(str(path)))
            return None
        return CompileResult._rebuild(target, *pickle.loads(code))  # noqa: S301 - as we wrote it

    def save_overload(self, types: Hashable, compiled: Any) -> None:
        code = dumps(compiled._reduce())
        try:
            with disk_errors(self.folder, ADVICE):
                self.folder.mkdir(parents=True, exist_ok=True)
            with written(self.path(types, compiled.codegen), ADVICE) as partial:
                partial.write_bytes(hashlib.sha256(code).digest() + code)
        except NormscopeError as error:
            _logger.warning("%s", visible(str(error)))


def compiled(folder: Path, **options: Any) -> Callable[[Callable], Any]:
    """``numba.njit(**options)`` that keeps its code in `folder`."""

    return lambda function: KeptCode(function, folder).compiler(function, **options)
