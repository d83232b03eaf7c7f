"""Code of a user's own: found in a file or a package, told apart by its source, and loaded.

``layers.py:MyNorm`` is `MyNorm` in a file, ``mylab.layers:MyNorm`` in a package. What such a name
stands for changes when its source is edited, so each comes with a fingerprint: of the file and of
the files beside it that it imports, or the version of the package that it was installed with.
"""

import atexit
import hashlib
import importlib
import importlib.util
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from normscope.errors import RunError, UsageError

MAX_NAME_BYTES = 100  # a trial's files are called by it, with more behind
FINGERPRINT = 12  # hexadecimal digits of a SHA-256


@dataclass(frozen=True)
class OwnCode:
    """Something of a user's own to call: a function or a class.

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

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Raises `RunError` if the source is not that of the fingerprint any more."""
        made = self.load()
        with self.modules():
            return made(*arguments, **options)

    def load(self) -> Callable:
        """The object itself.

        Raises `UsageError`, in one line, if it cannot be loaded or is nothing to call.
        """
        return _load(self)

    def modules(self) -> AbstractContextManager[None]:
        """Within it, what it imports is what lies beside it, also when that is imported late."""
        return _modules_in_place(self)

    def content(self) -> dict[str, bytes]:
        """The files of its source, by name."""
        return {file: (self.root / file).read_bytes() for file in self.files}


def brought(code: OwnCode, content: Mapping[str, bytes]) -> OwnCode:
    """The same code on whatever machine: where its files are missing, `content` stands in.

    Raises `RunError` if it is of a package that this machine has not, or in another version.
    """
    if not code.files:
        _check_installed(code)
        return code
    if _is_there(code):
        return code
    root = _own_folder() / code.fingerprint
    for file, source in content.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(source)
    return replace(code, root=root)


def _is_there(code: OwnCode) -> bool:
    files = [code.root / file for file in code.files]
    there = all(file.is_file() for file in files)
    return there and _fingerprint(code.root, code.files) == code.fingerprint


@cache
def _own_folder() -> Path:
    """Of this process alone, for what is in it is run; gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="normscope-own-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _check_installed(code: OwnCode) -> None:
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    name, _, needed = code.fingerprint.rpartition(" ")
    try:
        installed = version(name)
    except PackageNotFoundError:
        installed = "not installed"
    if installed != needed:
        raise RunError(
            f"{code.home} is of {name} {needed}, which on {socket.gethostname()} is {installed}; "
            "install that version on every machine that runs trials"
        )


def is_home(name: str) -> bool:
    """Whether a name says where something is: a module and an object in it."""
    return ":" in name


def plain_name(kind: str, name: str) -> str:
    """The name, if disks, terminals and reports can take it as it is.

    Raises `UsageError` that says what a name may be.
    """
    odd = not name.isprintable() or any(sign in name for sign in "/\\")
    if odd or not 0 < len(name.encode()) <= MAX_NAME_BYTES:
        shown = ascii(name if len(name) <= MAX_NAME_BYTES else f"{name[:20]}...")
        raise UsageError(
            f"no {kind} can be called {shown}: a name has at most {MAX_NAME_BYTES} bytes, all of "
            "characters that can be seen, and no slashes"
        )
    return name


def find(home: str) -> OwnCode:
    """What ``layers.py:MyNorm`` or ``mylab.layers:MyNorm`` names.

    Its source is read and not yet run. Raises `UsageError` if there is no such file or module.
    """
    place, _, attribute = home.rpartition(":")
    if place.endswith(".py"):
        file = Path(place).expanduser()
        if not file.is_file():
            raise UsageError(f"{home}: there is no file {place}")
        return with_files(home, file.parent.resolve(), file.stem, attribute)
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # where a user's package lies beside the command
    try:
        spec = importlib.util.find_spec(place)
    except Exception as error:  # whatever a package above the module raises
        raise cannot_be_imported(home, error) from error
    if spec is None or spec.origin is None:
        raise UsageError(f"{home}: there is no module {place}; name a file as layers.py:MyNorm")
    top, origin = place.split(".")[0], Path(spec.origin)
    depth = place.count(".") + (2 if origin.name == "__init__.py" else 1)
    root = Path(*origin.parts[:-depth])
    if str(root) in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        from importlib.metadata import packages_distributions, version  # slow to import

        name = packages_distributions().get(top, [top])[0]
        return OwnCode(home, place, attribute, f"{name} {version(name)}", root, ())
    return with_files(home, root, place, attribute)


def cannot_be_imported(home: str, error: Exception) -> UsageError:
    """What to tell of an import that raised."""
    advice = ""
    if "torchvision::nms" in str(error):
        advice = (
            "; the installed torchvision was built for another torch: install builds of the same "
            "release and kind (both CPU, or both CUDA) together"
        )
    elif "relative import" in str(error):
        advice = "; it is part of a package: name it as mylab.nets:Small from the folder above"
    elif isinstance(error, ModuleNotFoundError):
        advice = f"; install {error.name}, or name another" if error.name else ""
    return UsageError(f"{home} cannot be imported: {type(error).__name__}: {error}{advice}")


def at(root: Path, home: str, fingerprint: str) -> OwnCode:
    """That whose source was copied below `root`.

    Raises `UsageError` if there is none, or it is not that of the fingerprint.
    """
    place, _, attribute = home.rpartition(":")
    module = Path(place).stem if place.endswith(".py") else place
    code = with_files(home, root, module, attribute)
    if code.fingerprint != fingerprint:
        raise UsageError(f"{root} does not hold the source of {home} that was trained with")
    return code


def with_files(home: str, root: Path, module: str, attribute: str) -> OwnCode:
    root = root.resolve()
    files = _files_of(home, root, module)
    return OwnCode(home, module, attribute, _fingerprint(root, files), root, tuple(files))


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
    """The file that is being run to find something in it, if one is."""
    return _Loading.home


class _Loading:
    home: str | None = None


class _FromSource(SourceFileLoader):
    """Compiles what the file says now; of a file edited within a second, the cache is the old."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Beside(MetaPathFinder):
    """Finds the modules that lie beside a user's code, and no others."""

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
def _load(code: OwnCode) -> Callable:
    if code.files and _fingerprint(code.root, code.files) != code.fingerprint:
        raise RunError(f"{code.home} was edited while trials ran; run the same command again")
    before, _Loading.home = _Loading.home, code.home
    try:
        module = _import(code)
    except Exception as error:  # whatever a user's file raises
        raise cannot_be_imported(code.home, error) from error
    finally:
        _Loading.home = before
    made = module
    for part in code.attribute.split("."):
        if not hasattr(made, part):
            there = ", ".join(name for name in vars(module) if not name.startswith("_"))
            raise UsageError(f"{code.home}: there is no {code.attribute}; there is: {there}")
        made = getattr(made, part)
    if not callable(made):
        raise UsageError(f"{code.home} is a {type(made).__name__}, and nothing to call")
    return made


def _import(code: OwnCode) -> Any:
    """The module, from its files as they are now; what else has its names stays as it is."""
    if not code.files:
        return importlib.import_module(code.module)
    with _modules_in_place(code):
        return importlib.import_module(_name_of(code))


def _name_of(code: OwnCode) -> str:
    """What its module is called here: a single file may have the name of anything else."""
    if "." in code.module:
        return code.module
    return f"normscope_own_{code.fingerprint}_{code.module}"


# By fingerprint, the modules that were imported for it.
_IMPORTED: dict[str, dict[str, ModuleType]] = {}


@contextmanager
def _modules_in_place(code: OwnCode) -> Iterator[None]:
    """Within it, the names of its files are those files; what else has these names comes back."""
    files = {_module_name(file): code.root / file for file in code.files}
    if code.module in files:
        files[_name_of(code)] = files.pop(code.module)
    others = {name: sys.modules.pop(name) for name in files if name in sys.modules}
    sys.modules.update(_IMPORTED.get(code.fingerprint, {}))
    finder = _Beside(files)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        own = {name: sys.modules[name] for name in files if name in sys.modules}
        sys.meta_path.remove(finder)
        if code.fingerprint not in _IMPORTED:
            sys.meta_path.append(finder)  # for an import in a forward pass, of what nobody else has
        _IMPORTED[code.fingerprint] = own
        sys.modules.update(others)


def _module_name(file: str) -> str:
    """``mylab.layers`` for mylab/layers.py, ``mylab`` for mylab/__init__.py."""
    return ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
