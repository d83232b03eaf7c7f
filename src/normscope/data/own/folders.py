"""A folder per class: under train/ and test/, or in one tree that we split."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from normscope.data.own.listing import TRAIN, UNSPLIT, Listing, one_test_split, split_named
from normscope.data.own.problems import Findings
from normscope.data.own.reading import OTHER_SUFFIXES, SUFFIXES, Blob
from normscope.errors import UsageError

LITTER = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin")
)


@dataclass(frozen=True)
class Content:
    """The names in one folder, sorted: those of files and those of folders."""

    files: list[str]
    folders: list[str]


def is_litter(name: str) -> bool:
    """Whether a name is hidden, or of what an operating system leaves in a folder."""
    return name.startswith(".") or name.lower() in LITTER


def is_image_name(name: str) -> bool:
    """Whether a file may be an image by its name, or by having no suffix at all."""
    return os.path.splitext(name)[1].lower() in (*SUFFIXES, "")


def content_of(root: Path, below: str, findings: Findings) -> Content:
    """What is in the folder `below` of `root`, without litter and links that lead astray."""
    files, folders = [], []
    try:
        with os.scandir(root / below) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except PermissionError:
        findings.add("denied", f"{below}/")
        return Content([], [])
    for entry in entries:
        path = _joined(below, entry.name)
        if is_litter(entry.name):
            findings.add("litter", path)
        elif entry.is_symlink() and not _may_follow(root, path, findings):
            continue
        elif entry.is_dir():
            folders.append(entry.name)
        else:
            files.append(entry.name)
    return Content(files, folders)


def _may_follow(root: Path, path: str, findings: Findings) -> bool:
    target = Path(os.path.realpath(root / path))
    if not target.exists():
        findings.add("broken_link", path, f"to {os.readlink(root / path)}")
        return False
    if not leads_below(root, target):
        findings.add("outside", path, f"to {target}")
        return False
    return True


def leads_below(root: Path, target: Path) -> bool:
    """Whether `target`, without links in it, lies in `root`."""
    return target.is_relative_to(os.path.realpath(root))


def class_folders(root: Path, below: str) -> list[str]:
    """The folders in `below` of `root` that hold what may be an image, whatever it turns out as."""
    found = content_of(root, below, Findings()).folders
    return [name for name in found if _may_hold_images(root, _joined(below, name))]


def _may_hold_images(root: Path, below: str) -> bool:
    return any(map(is_image_name, content_of(root, below, Findings()).files))


def split_folders(root: Path) -> dict[str, str]:
    """The folders of `root` that are called as a split is: by their name, which split that is."""
    found = content_of(root, "", Findings()).folders
    return {name: split for name in found if (split := split_named(name))}


def read_split(root: Path) -> Listing | None:
    """The images under train/ and test/ (or val/), or None if there is no train/ with classes.

    Raises `UsageError` if nothing says which class the images of the test set are.
    """
    splits = split_folders(root)
    trains = [name for name, split in splits.items() if split == TRAIN]
    if len(trains) != 1 or not class_folders(root, trains[0]):
        return None
    labelled = [name for name in splits if name not in trains and class_folders(root, name)]
    if not labelled:
        unlabelled = [name for name in splits if name not in trains]
        if unlabelled:
            raise UsageError(
                f"{root}: {unlabelled[0]}/ has no class folders with images; make one for "
                f"each class, or move it away, and a part of {trains[0]}/ is made the test set"
            )
        return _only_train(root, trains[0])
    findings = Findings()
    top = content_of(root, "", findings)
    _note_files(top.files, "", findings)
    for name in top.folders:
        if name not in (*trains, *labelled):
            findings.add("other_folder", f"{name}/")
    rows = [
        (name, *row)
        for name in sorted((*trains, *labelled))
        for row in _rows_below(root, name, findings)
    ]
    used = one_test_split([splits[name] for name, _, _ in rows], findings)
    kept = [(path, label, split) for (_, path, label), split in zip(rows, used, strict=True)
            if split is not None]  # fmt: skip
    names = sorted(
        {
            name
            for split in (*trains, *labelled)
            for name in content_of(root, split, Findings()).folders
        }
    )
    tested = " and ".join(f"{name}/" for name in (*trains, *labelled))
    return _listing(root, f"a folder per class under {tested}", names, kept, findings)


def _only_train(root: Path, train: str) -> Listing:
    findings = Findings()
    rows = [(path, label, UNSPLIT) for path, label in _rows_below(root, train, findings)]
    names = content_of(root, train, Findings()).folders
    return _listing(root, f"a folder per class under {train}/", names, rows, findings)


def read_tree(root: Path) -> Listing | None:
    """The images of a tree with a folder per class, or None if no folder holds images."""
    if not class_folders(root, ""):
        return None
    findings = Findings()
    rows = [(path, label, UNSPLIT) for path, label in _rows_below(root, "", findings)]
    names = content_of(root, "", Findings()).folders
    return _listing(root, "a folder per class", names, rows, findings)


def _rows_below(root: Path, below: str, findings: Findings) -> Iterator[tuple[str, str]]:
    """Path and class name of every image in the class folders of `below`."""
    top = content_of(root, below, findings)
    for name in top.files:
        path = _joined(below, name)
        if os.path.splitext(name)[1].lower() in SUFFIXES:
            findings.add("loose", path)
        else:
            _note_files([name], below, findings)
    for name in top.folders:
        folder = _joined(below, name)
        content = content_of(root, folder, findings)
        for nested in content.folders:
            findings.add("nested", f"{_joined(folder, nested)}/")
        images = [file for file in content.files if is_image_name(file)]
        _note_files([file for file in content.files if not is_image_name(file)], folder, findings)
        yield from ((_joined(folder, file), name) for file in images)


def _note_files(names: Sequence[str], below: str, findings: Findings) -> None:
    """Tell of files that are not read, and whether they should be images of another type."""
    for name in names:
        suffix = os.path.splitext(name)[1].lower()
        kind = "unsupported" if suffix in (*OTHER_SUFFIXES, *SUFFIXES) else "other_file"
        findings.add(kind, _joined(below, name))


def _listing(
    root: Path,
    form: str,
    names: Sequence[str],
    rows: Sequence[tuple[str, str, str]],
    findings: Findings,
) -> Listing:
    """`rows`: path, class name and split of each image."""
    ordered = sorted(rows)
    places = {name: place for place, name in enumerate(names)}
    paths = [path for path, _, _ in ordered]
    return Listing(
        form=form,
        class_names=tuple(names),
        paths=paths,
        labels=[places[name] for _, name, _ in ordered],
        splits=[split for _, _, split in ordered],
        blobs=files_in(root, paths),
        findings=findings,
    )


def files_in(root: Path, paths: Sequence[str]) -> Callable[[int], Iterator[Sequence[Blob]]]:
    """The images of a `Listing` that are files: their names, of which so many are given at once."""
    return partial(_files, root, paths)


def _files(root: Path, paths: Sequence[str], count: int) -> Iterator[Sequence[Blob]]:
    for start in range(0, len(paths), count):
        yield [root / path for path in paths[start : start + count]]


def _joined(below: str, name: str) -> str:
    return f"{below}/{name}" if below else name
