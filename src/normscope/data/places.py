"""Copies of a data set on this machine: found where users keep them, verified, and copied.

A copy is an extracted folder or an archive. What its files hold is told by their check sums, so it
does not matter how an archive was packed, or below which folders in it they lie.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from normscope.data import archives
from normscope.data.download import ADVICE, cache_dir_if_known
from normscope.data.layouts import FileFacts, Layout
from normscope.errors import RunError, UsageError
from normscope.files import disk_errors, user_path

MAX_FILE_BYTES = 200_000_000  # above the largest file there is, the training file of CIFAR-100


def search_folders(data_dir: Path | str | None) -> list[Path]:
    """Where data sets are looked for, in order: `data_dir`, $NORMSCOPE_DATA, the cache, ./data.

    Raises `UsageError` if one that the user named is not a folder.
    """
    named = {"the data folder": data_dir, "$NORMSCOPE_DATA": os.environ.get("NORMSCOPE_DATA")}
    folders = []
    for origin, folder in named.items():
        if not folder:
            continue
        if not os.path.isdir(user_path(folder)):
            raise UsageError(f"{origin} {folder} is not a folder; create it or name another")
        folders.append(user_path(folder))
    cache = cache_dir_if_known()
    return [*folders, *([cache] if cache else []), Path("data")]


# Data sets that are read as images of the user's own, by the folders that other tools put them in.
FOLDERS = {
    "mnist": ("MNIST", "mnist"),
    "fashion-mnist": ("FashionMNIST", "fashion-mnist", "fashion_mnist", "FMNIST"),
    "svhn": ("SVHN", "svhn"),
}


def folder_of(name: str, data_dir: Path | str | None) -> Path:
    """Where a data set of `FOLDERS` is, in one of the `search_folders`.

    Raises `UsageError` that says what to do if it is in none of them.
    """
    roots = search_folders(data_dir)
    for root in roots:
        for place in (root / below for below in FOLDERS[name]):
            if place.is_dir():
                return place
    searched = ", ".join(map(str, roots))
    raise UsageError(
        f"there is no folder {' or '.join(FOLDERS[name][:2])} in {searched}; name "
        "its place with --dataset, or the folder around it with --data-dir"
    )


def find(layout: Layout, data_dir: Path | str | None) -> Path | None:
    """The first copy in `search_folders`: an extracted folder or an archive, or None."""
    places = (place_in(layout, folder) for folder in search_folders(data_dir))
    return next((place for place in places if place is not None), None)


def place_in(layout: Layout, folder: Path) -> Path | None:
    """The copy that `folder` holds or is, else one in a folder of it; None if there is none.

    One that is whole goes before one that is not, such as an archive before the folder that was
    half extracted from it. Only archives that rival each other are read for that.
    """
    here = list(_copies_in(layout, folder))
    if best := _first_whole(layout, here):
        return best
    below = [copy for sub in _folders_in(folder) for copy in _copies_in(layout, sub)]
    return _first_whole(layout, below) or next(iter([*here, *below]), None)


def _copies_in(layout: Layout, folder: Path) -> Iterator[Path]:
    """All that look like a copy by their names, whole or not."""
    if os.path.isdir(folder / layout.folder):
        yield folder / layout.folder
    for name in layout.archive_names:
        if os.path.isfile(folder / name):
            yield folder / name
    # Under another name all files must be there: "meta" alone is anybody's.
    if folder.resolve().name == layout.folder or _has_all(layout, folder):
        yield folder


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if os.path.isdir(path))


def _first_whole(layout: Layout, copies: list[Path]) -> Path | None:
    """An extracted folder if one is whole, else an archive."""
    for copy in copies:
        if copy.is_dir() and _has_all(layout, copy, of_right_size=True):
            return copy
    packed = [copy for copy in copies if copy.is_file()]
    if len(packed) == 1:
        return packed[0]
    return next((archive for archive in packed if _is_intact(layout, archive)), None)


def _has_all(layout: Layout, folder: Path, of_right_size: bool = False) -> bool:
    for file, facts in layout.files.items():
        if not os.path.isfile(folder / file):
            return False
        if of_right_size and facts.size not in (None, (folder / file).stat().st_size):
            return False
    return True


def _is_intact(layout: Layout, archive: Path) -> bool:
    try:
        return not any(faults(layout, archive).values())
    except RunError:  # it cannot be read at all, which is told if no other can
        return False


def faults(layout: Layout, place: Path) -> dict[str, str]:
    """By file: "" if intact, else "missing", "truncated (X of Y bytes)" or "altered".

    Raises `RunError` if the copy at `place` cannot be read to its end.
    """
    found = dict.fromkeys(layout.files, "missing")
    for file, fault, _ in checked_files(layout, place):
        if found[file]:  # an archive may hold several of that name: an intact one counts
            found[file] = fault
    return found


def checked_files(layout: Layout, place: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, fault ("" if intact) and bytes of each known file at `place`, one in memory at a time.

    Raises `RunError` as `faults` does.
    """
    return (_in_folder if place.is_dir() else _in_archive)(layout, place)


def damaged(layout: Layout, place: Path, what: str) -> RunError:
    """The error for a copy that cannot be used as it is; it may lie among a user's own files."""
    return RunError(
        f"{place}: {what}; restore it, "
        f"or move it out of the way and run `normscope data fetch {layout.name}`"
    )


def add(layouts: Iterable[Layout], path: Path, folder: Path) -> Path:
    """Verify the copy at `path`, find out whose it is, and copy it into `folder`.

    Raises `UsageError` if `path` holds no file of any of the `layouts`, `RunError` if one of its
    files is missing, truncated or altered.
    """
    if not os.path.exists(path):
        raise UsageError(f"{path} does not exist")
    # An archive that cannot be opened is known by its name alone, so that one is asked first.
    for layout in sorted(layouts, key=lambda layout: path.name not in layout.archive_names):
        place = place_in(layout, path) if path.is_dir() else path
        if place is None:
            continue
        found = faults(layout, place)
        if set(found.values()) - {"missing"}:
            for file, fault in found.items():
                if fault:
                    raise damaged(layout, place, f"{file} is {fault}")
            return _copy(layout, place, folder)
    names = ", ".join(layout.name for layout in layouts)
    raise UsageError(f"{path} holds no file of {names}")


def _copy(layout: Layout, place: Path, folder: Path) -> Path:
    """Copy under a name that `find` knows; nobody ever sees half of it there."""
    with disk_errors(folder, ADVICE):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix="adding-") as scratch:
            if place.is_file():
                target = folder / (layout.archive_stem + archives.suffix_of(place))
                copy = Path(scratch) / "archive"
                shutil.copyfile(place, copy)
            else:
                target, copy = folder / layout.folder, Path(scratch) / "copy"
                copy.mkdir()
                for file in layout.files:
                    shutil.copyfile(place / file, copy / file)
                if target.exists():
                    os.replace(target, Path(scratch) / "replaced")
            os.replace(copy, target)
        return target


def _in_folder(layout: Layout, folder: Path) -> Iterator[tuple[str, str, bytes]]:
    for file, facts in layout.files.items():
        if os.path.isfile(folder / file):
            try:
                with (folder / file).open("rb") as stream:
                    content = stream.read(_limit(facts))
            except OSError as error:
                raise RunError(f"cannot read {folder / file} ({error.strerror})") from error
            yield file, _fault(facts, content), content


def _in_archive(layout: Layout, archive: Path) -> Iterator[tuple[str, str, bytes]]:
    """A file that is not in its official folder counts only if it is intact."""

    def limit(member: str) -> int | None:
        facts = layout.files.get(PurePosixPath(member).name)
        return _limit(facts) if facts else None

    try:
        for member, content in archives.contents(archive, limit):
            path = PurePosixPath(member)
            fault = _fault(layout.files[path.name], content)
            if not fault or path.parent.name == layout.folder:
                yield path.name, fault, content
    except archives.Damaged as error:
        raise damaged(layout, archive, _damage(layout, archive, error)) from error


def _damage(layout: Layout, archive: Path, error: archives.Damaged) -> str:
    """The size of the official archive is known; of any other there is only its reader's word."""
    size, expected = archive.stat().st_size, layout.archive.size
    if archive.name != layout.archive.name:
        return f"the archive is {error}"
    why = f"truncated ({size} of {expected} bytes)" if size < expected else "altered"
    return f"the archive is {why}"


def _limit(facts: FileFacts) -> int:
    """One byte more than expected is enough for the checksum to fail, whatever the file holds."""
    return (facts.size or MAX_FILE_BYTES) + 1


def _fault(facts: FileFacts, content: bytes) -> str:
    if facts.size is not None and len(content) < facts.size:
        return f"truncated ({len(content)} of {facts.size} bytes)"
    intact = hashlib.md5(content, usedforsecurity=False).hexdigest() == facts.md5
    return "" if intact else "altered"
