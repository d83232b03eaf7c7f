"""The forms in which people keep labelled images, told apart by content: the table `FORMS`."""

from collections.abc import Callable
from pathlib import Path

from normscope.data.own import arrays, csv_files, folders, parquet
from normscope.data.own.listing import Listing
from normscope.data.own.problems import Findings
from normscope.errors import UsageError


def _csv_beside_images(root: Path) -> Listing | None:
    tables = sorted(path for path in root.glob("*.[cCtT][sS][vV]") if path.is_file())
    listed = [table for table in tables if csv_files.columns_of(table) is not None]
    if len(listed) > 1 and not folders.class_folders(root, ""):
        names = ", ".join(table.name for table in listed)
        raise UsageError(f"{root} has several tables of images ({names}); name one of them")
    return csv_files.read_csv(listed[0]) if len(listed) == 1 else None


def _npz_alone(root: Path) -> Listing | None:
    found = sorted(root.glob("*.npz"))
    return arrays.read_npz(found[0]) if len(found) == 1 else None


# Of a folder, in the order in which they are tried: what is looked for, and what reads it.
FORMS: dict[str, Callable[[Path], Listing | None]] = {
    "train-*.parquet and test-*.parquet, in it or in data/": parquet.read_parquet,
    "train-images-idx3-ubyte and its three companions, packed or not": arrays.read_idx,
    "train_32x32.mat and test_32x32.mat": arrays.read_mat,
    "train/CLASS/IMAGE and test/CLASS/IMAGE (or val/)": folders.read_split,
    "one CSV file with columns file and label, and perhaps split": _csv_beside_images,
    "one .npz file with x_train, y_train, x_test and y_test": _npz_alone,
    "CLASS/IMAGE, a folder for each class": folders.read_tree,
}


def recognise(place: Path) -> Listing:
    """What is at `place`, a folder or a file.

    Raises `UsageError` that lists what was looked for if it is nothing known.
    """
    if place.is_file():
        return _in_file(place)
    _check_access(place)
    for read in FORMS.values():
        if (listing := read(place)) is not None:
            return listing
    looked_for = "".join(f"\n  {what}" for what in FORMS)
    raise UsageError(f"{place} holds no images in a form that is known{_hint(place)}:{looked_for}")


def _check_access(place: Path) -> None:
    findings = Findings()
    folders.content_of(place, "", findings)
    if findings.found["denied"]:
        raise UsageError(f"{place} may not be read; give yourself permission to")


def _in_file(place: Path) -> Listing:
    listing = None
    if place.suffix.lower() in (".csv", ".tsv", ".txt"):
        listing = csv_files.read_csv(place)
    if listing is None:
        listing = arrays.read_npz(place)
    if listing is None:
        raise UsageError(
            f"{place} is neither a .npz file with x_train, y_train, x_test and y_test nor a CSV "
            "file with columns file and label; of an archive, unpack it and name the folder"
        )
    return listing


def _hint(place: Path) -> str:
    """Where a folder of folders may have been meant."""
    for name in folders.content_of(place, "", Findings()).folders:
        if folders.split_folders(place / name) or folders.class_folders(place / name, ""):
            return f" (did you mean {place / name}?)"
    return ""
