"""Reading the files of an experiment's folder, each held against its seal.

A folder of format 2 has seals. In one of format 1, which an earlier normscope wrote, nothing has a
seal, and files are taken for what they say. When it is first written to, the check sums of all it
holds are put into `earlier.json`, and from then on it is a folder of format 2 in which the files
that are named there need no seal.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

from pydantic import ValidationError

from normscope.errors import RunError
from normscope.experiment import Environment, Recipe, Result
from normscope.files import Broken, entries, is_there, read, read_in_parts
from normscope.seals import open_bytes, open_text, seal_text, sha256
from normscope.store.folder import ExperimentFolder
from normscope.store.header import Kept

Earlier = Mapping[str, Mapping[str, str]]  # folder -> name of a file -> its SHA-256

# What bytes raise that are not what a reader of them expects, numpy's and zip's many ways included.
UNEXPECTED = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError,
              NotImplementedError, OverflowError, SyntaxError, TokenError, BadZipFile,
              zlib.error, struct.error)  # fmt: skip


class Reader:
    """Reads the files of one folder. All methods raise what `files.read` raises, and `Broken`."""

    def __init__(self, files: ExperimentFolder, kept: Kept):
        self.files = files
        self.sealed, self.earlier = kept.sealed, _earlier(files, kept)
        self.origin = kept.header.origin
        self._shared: dict[Recipe | Environment, Any] = {}

    def with_shared_values(self, result: Result) -> Result:
        """A result that nobody else has, whose recipe and environment become those before it.

        If they are equal, they are one object then.
        """
        for owner, name in ((result.trial, "recipe"), (result, "environment")):
            own = getattr(owner, name)
            vars(owner)[name] = self._shared.setdefault(own, own)
        return result

    def now_sealed(self, kept: Kept) -> None:
        """The folder has seals from now on."""
        self.sealed, self.earlier = kept.sealed, _earlier(self.files, kept)

    def text(self, path: Path) -> tuple[bytes, dict[str, Any] | None]:
        """A JSON object and what its seal tells of it; None if it needs no seal.

        Where the seal names the experiment that the file is of, it must be this one; those of an
        earlier version do not.
        """
        content = read(path)
        text, about = open_text(content)
        self._check_seal(path, content, about is not None)
        if (about or {}).get("of", self.origin) != self.origin:
            raise Broken("it is of another experiment")
        return text, about

    def content(self, path: Path) -> bytes:
        """Any other file that has a seal of its own."""
        content = read(path)
        inside, has_seal = open_bytes(content, self.files.name_of(path))
        self._check_seal(path, content, has_seal)
        return inside

    def beside(self, path: Path, expected: str | None) -> bytes:
        """A file whose check sum another one holds; None where nobody knows it."""
        content = read(path)
        if expected is not None and sha256(content) != expected:
            raise Broken("it is not what was written")
        return content

    def earlier_in(self, folder: Path) -> Mapping[str, str]:
        """The check sums of what lay in a folder when it had no seals yet."""
        return self.earlier.get(self.files.name_of(folder), {})

    def _check_seal(self, path: Path, content: bytes, has_seal: bool) -> None:
        if has_seal and not self.sealed:
            raise RunError(
                f"{self.files.experiment} has lost its seal, which {path} has, and there is no "
                "whole copy of it; restore it from elsewhere, or choose another folder with --out"
            )
        if self.sealed and not has_seal:
            expected = self.earlier_in(path.parent).get(path.name)
            if expected is None:
                raise Broken("its seal is gone")
            if expected != sha256(content):
                raise Broken("it is not what was written")


@contextmanager
def expected_content() -> Iterator[None]:
    """Within it, bytes are taken apart: whatever that raises means that they are `Broken`."""
    try:
        yield
    except Broken:
        raise
    except ValidationError as error:  # of values that do not fit, the first
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Broken(": ".join(filter(None, (where, first["msg"])))) from error
    except UNEXPECTED as error:
        raise Broken(type(error).__name__) from error


# -- folders of format 1 ---------------------------------------------------------------------------


def take_stock(files: ExperimentFolder) -> bytes:
    """The content of `earlier.json` for a folder without seals: the check sums of all it holds."""
    described = [path.name for path in (files.dataset, files.models, files.costs) if is_there(path)]
    found = {files.name_of(files.path): _check_sums(files.path, described)}
    folders = [files.pictures, files.all_heat_maps, *(t.path for t in files.stored_trials())]
    for folder in folders:
        names = [entry.name for entry in entries(folder) if entry.is_file(follow_symlinks=False)]
        shown = [name for name in names if not name.startswith(".")]
        found[files.name_of(folder)] = _check_sums(folder, shown)
    return seal_text(json.dumps({"files": found}, indent=2))


def _check_sums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: sha256_of_file(folder / name) for name in names}


def sha256_of_file(path: Path) -> str:
    """The check sum of a file that may be larger than memory."""
    digest = hashlib.sha256()
    for part in read_in_parts(path):
        digest.update(part)
    return digest.hexdigest()


def _earlier(files: ExperimentFolder, kept: Kept) -> Earlier:
    return read_earlier(files, kept.earlier) if kept.earlier else {}


def read_earlier(files: ExperimentFolder, expected: str) -> Earlier:
    """What `earlier.json` or its copy says; raises `RunError` if both are damaged."""
    trouble = []
    for path in (files.earlier, files.earlier_copy):
        try:
            content = read(path)
            if sha256(content) != expected:
                raise Broken("it is not what was written")
            return json.loads(open_text(content)[0])["files"]
        except FileNotFoundError:
            trouble.append("it is gone")
        except Broken as error:
            trouble.append(str(error))
    raise RunError(
        f"{files.earlier} is damaged ({trouble[0]}), and there is no whole copy of it; restore it "
        "from elsewhere: it holds the check sums of the trials that have no seals of their own"
    )
