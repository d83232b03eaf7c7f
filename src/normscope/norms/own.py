"""Norms of a user's own: found in a file or a package, told apart by their source, and loaded.

``layers.py:MyNorm`` is `MyNorm` in a file, ``mylab.layers:MyNorm`` in a package. What such a name
stands for changes when its source is edited, so each comes with a fingerprint: of the file and of
the files beside it that it imports, or the version of the package that it was installed with.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from normscope.errors import RunError, UsageError
from normscope.norms.names import NORMS, canonical
from normscope.norms.table import PACKAGED_NORMS

FINGERPRINT = 12  # hexadecimal digits of a SHA-256

# What scripts have registered last. In `NORMS` a folder's older norm may stand by the same name.
REGISTERED: dict[str, "OwnNorm"] = {}


@dataclass(frozen=True)
class OwnNorm:
    """A norm of a user's own: called with a number of channels, it makes a layer.

    `home` is how the user names it. The object called `attribute` is in the module `module` below
    the folder `root`, and `files` are those of its source, relative to `root`; there are none for a
    package that was installed. Pickled, it takes no code along: another process loads it again.
    """

    home: str
    module: str
    attribute: str
    fingerprint: str
    root: Path
    files: tuple[str, ...]

    def __call__(self, num_channels: int, **options: Any) -> Any:
        """Raises `RunError` if the source is not that of the fingerprint any more."""
        return _load(self)(num_channels, **options)

    def check(self) -> None:
        """Raise `UsageError`, in one line, if it cannot be loaded or is nothing to call."""
        _load(self)


@dataclass(frozen=True)
class Knowing:
    """Does its `work` where the norms in `own` are in the table, in whatever process it is called.

    Of a user's own norm another process knows nothing by itself.
    """

    own: Mapping[str, OwnNorm]
    work: Callable

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        NORMS.update(self.own)
        return self.work(*arguments, **options)


def own_norms(names: list[str]) -> dict[str, OwnNorm]:
    """Those of the names that are norms of a user's own with a known source."""
    return {n: norm for n in names if isinstance(norm := NORMS.get(n), OwnNorm)}


def is_home(name: str) -> bool:
    """Whether a name says where a norm is: a module and an object in it."""
    return name not in NORMS and ":" in name


def find(home: str) -> OwnNorm:
    """The norm that ``layers.py:MyNorm`` or ``mylab.layers:MyNorm`` names.

    Its source is read and not yet run. Raises `UsageError` if there is no such file or module.
    """
    place, _, attribute = home.rpartition(":")
    if place.endswith(".py"):
        file = Path(place).expanduser()
        if not file.is_file():
            raise UsageError(f"{home}: there is no file {place}")
        return _with_files(home, file.parent.resolve(), file.stem, attribute)
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # where a user's package lies beside the command
    try:
        spec = importlib.util.find_spec(place)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{home}: {error}") from error
    if spec is None or spec.origin is None:
        raise UsageError(f"{home}: there is no module {place}; name a file as layers.py:MyNorm")
    top, origin = place.split(".")[0], Path(spec.origin)
    depth = place.count(".") + (2 if origin.name == "__init__.py" else 1)
    root = Path(*origin.parts[:-depth])
    if str(root) in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        from importlib.metadata import packages_distributions, version  # slow to import

        name = packages_distributions().get(top, [top])[0]
        return OwnNorm(home, place, attribute, f"{name} {version(name)}", root, ())
    return _with_files(home, root, place, attribute)


def at(root: Path, home: str, fingerprint: str) -> OwnNorm:
    """The norm whose source was copied below `root`.

    Raises `UsageError` if there is none, or it is not that of the fingerprint.
    """
    place, _, attribute = home.rpartition(":")
    module = Path(place).stem if place.endswith(".py") else place
    norm = _with_files(home, root, module, attribute)
    if norm.fingerprint != fingerprint:
        raise UsageError(f"{root} does not hold the source of {home} that was trained with")
    return norm


def register(name: str) -> Callable:
    """A decorator that puts a function or class of a number of channels into `NORMS` under a name.

    Worker processes run the file again that it is in, so what that file does beyond definitions
    belongs below ``if __name__ == "__main__":``. Of what is typed into a session there is no file:
    it trains in this process alone. Raises `UsageError` for a name that is not free.
    """
    if canonical(name) != name or name in PACKAGED_NORMS or not name or ":" in name:
        raise UsageError(f"no norm can be registered as {name!r}: it is taken, or no plain name")

    def enter(make: Callable) -> Callable:
        own = _registered(make)
        if own is not None:
            REGISTERED[name] = own
        NORMS[name] = own or make
        return make

    return enter


def _registered(make: Any) -> OwnNorm | None:
    """None if there is no file, or the object cannot be found in it by its name."""
    try:
        file = Path(inspect.getfile(make)).resolve()
    except TypeError:  # of a session
        return None
    if file.suffix != ".py" or not file.is_file() or "<locals>" in make.__qualname__:
        return None
    home = f"{file.name}:{make.__qualname__}"
    return _with_files(home, file.parent, file.stem, make.__qualname__)


def _with_files(home: str, root: Path, module: str, attribute: str) -> OwnNorm:
    root = root.resolve()
    files = _files_of(home, root, module)
    return OwnNorm(home, module, attribute, _fingerprint(root, files), root, tuple(files))


def _files_of(home: str, root: Path, module: str) -> list[str]:
    """The files below `root` that a module is made of, with those it imports from there."""
    from modulefinder import ModuleFinder  # slow to import

    finder = ModuleFinder(path=[str(root)])
    try:
        finder.import_hook(module)
    except SyntaxError as error:
        raise UsageError(f"{home}: line {error.lineno}: {error.msg}") from error
    except ImportError as error:
        raise UsageError(f"{home}: {error}") from error
    paths = [getattr(found, "__file__", None) for found in finder.modules.values()]
    found = [Path(path).resolve() for path in paths if path]
    return sorted(f.relative_to(root).as_posix() for f in found if f.is_relative_to(root))


def _fingerprint(root: Path, files: list[str] | tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\0".encode())
        digest.update(hashlib.sha256((root / file).read_bytes()).digest())
    return digest.hexdigest()[:FINGERPRINT]


# -- loading ---------------------------------------------------------------------------------------


def loading() -> str | None:
    """The file that is being run to find a norm in it, if one is."""
    return _Loading.home


class _Loading:
    home: str | None = None


class _FromSource(SourceFileLoader):
    """Compiles what the file says now; of a file edited within a second, the cache is the old."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Beside(MetaPathFinder):
    """Finds the modules that lie beside a user's norm, and no others."""

    def __init__(self, files: Mapping[str, Path]):
        self.files = files

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        file = self.files.get(fullname)
        if file is None:
            return None
        loader = _FromSource(fullname, str(file))
        folder = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=loader, submodule_search_locations=folder
        )


@cache
def _load(norm: OwnNorm) -> Callable:
    if norm.files and _fingerprint(norm.root, norm.files) != norm.fingerprint:
        raise RunError(f"{norm.home} was edited while trials ran; run the same command again")
    before, _Loading.home = _Loading.home, norm.home
    try:
        module = _import(norm)
    except Exception as error:  # whatever a user's file raises
        raise UsageError(
            f"{norm.home} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        _Loading.home = before
    made = module
    for part in norm.attribute.split("."):
        if not hasattr(made, part):
            there = ", ".join(name for name in vars(module) if not name.startswith("_"))
            raise UsageError(f"{norm.home}: there is no {norm.attribute}; there is: {there}")
        made = getattr(made, part)
    if not callable(made):
        raise UsageError(f"{norm.home} is a {type(made).__name__}, and nothing to call")
    return made


def _import(norm: OwnNorm) -> Any:
    """The module, from its files as they are now; what else has its names stays as it is."""
    if not norm.files:
        return importlib.import_module(norm.module)
    files = {_module_name(file): norm.root / file for file in norm.files}
    alias = norm.module
    if "." not in norm.module:  # a single file may be called like anything that is imported
        alias = f"normscope_own_{norm.fingerprint}_{norm.module}"
        files[alias] = files.pop(norm.module)
    saved = {name: sys.modules.pop(name) for name in files if name in sys.modules}
    sys.meta_path.insert(0, _Beside(files))
    try:
        return importlib.import_module(alias)
    finally:
        sys.modules.update(saved)


def _module_name(file: str) -> str:
    """``mylab.layers`` for mylab/layers.py, ``mylab`` for mylab/__init__.py."""
    return ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
