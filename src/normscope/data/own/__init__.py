"""Images of a user's own: recognised, checked, read once and kept; `open_images` is the way in."""

import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from normscope.data import DatasetSource
from normscope.data.download import Progress
from normscope.data.own import cache
from normscope.data.own.decoding import choose_side, decoded
from normscope.data.own.forms import recognise
from normscope.data.own.problems import KINDS, Findings
from normscope.data.own.splitting import choose
from normscope.errors import UsageError
from normscope.files import user_path
from normscope.words import counted

__all__ = ["KINDS", "Findings", "OwnImages", "inspect", "open_images", "verdict"]

NAMED = 3  # bad images that the error names


@dataclass(frozen=True)
class OwnImages:
    """Images of a user's own, ready to be trained on.

    `name` is that of their folder or file, fit as a folder's name; `home` is where they are, as
    written. `key` (16 hex digits) stands for all that can change a trial: pixels, labels, class
    names, splits and order; not for where the folder lies, what files are called, or their times.
    """

    name: str
    home: str
    key: str
    source: DatasetSource
    findings: Findings


def open_images(
    path: Path | str,
    *,
    image_size: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> OwnImages:
    """The images at `path`, a folder or file in one of the `FORMS`, checked and read.

    All become squares of `image_size` pixels; without it, of 64 or 32, or of the size that all of
    them have. `progress` is told of images read, and of how many there are. What was read is kept
    in the user's cache, so that the next time takes seconds.

    Raises `UsageError` if nothing is recognised, or for bad images: with `skip_bad` these are left
    out. Raises `RunError` for an archive or array that is damaged, or for want of room.
    """
    kept, findings, place = _looked_at(path, image_size, skip_bad, progress)
    if kept is None:
        raise UsageError(verdict(findings, str(path), skip_bad))
    return _images(kept, str(path), place, findings)


def inspect(
    path: Path | str,
    *,
    image_size: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Findings:
    """All that is found of the images at `path`; arguments and errors are those of `open_images`.

    Bad images raise nothing. If none stops `compare`, what was read is kept for it.
    """
    return _looked_at(path, image_size, skip_bad, progress)[1]


def _looked_at(
    path: Path | str, image_size: int | None, skip_bad: bool, progress: Progress | None
) -> tuple[cache.Kept | None, Findings, Path]:
    place = user_path(path)
    if not os.path.exists(place):
        raise UsageError(f"{path} does not exist")
    request = cache.Request(place.resolve(), image_size, skip_bad)
    now = cache.stamp(request.place)
    if known := cache.recall(request, now):
        return *known, request.place
    kept, findings = _examine(request, progress)
    if kept is not None:
        cache.remember(request, now, kept, findings)
    return kept, findings, request.place


def verdict(findings: Findings, home: str, skip_bad: bool) -> str:
    """Whether `compare` would go on, as a sentence."""
    errors, warnings = findings.count("error"), findings.count("warning")
    if findings.refusal and (skip_bad or not errors):
        return f"{home}: {findings.refusal}"
    if findings.stops(skip_bad):
        first = [
            f"{found[0]}: {KINDS[kind].title}" for kind, found in findings.of("error")
        ]  # one of each kind
        more = f"; and {len(first) - NAMED} more kinds" if len(first) > NAMED else ""
        return (
            f"{home}: {counted(errors, 'error')} ({'; '.join(first[:NAMED])}"
            f"{more}); --skip-bad leaves such images out, `normscope data check` names all"
        )
    without = f" without what {counted(errors, 'error')} named" if errors else ""
    return f"{home}: compare would go on{without}; {counted(warnings, 'warning')}"


def _examine(
    request: cache.Request, progress: Progress | None
) -> tuple[cache.Kept | None, Findings]:
    listing = recognise(request.place)
    listing.findings.sentences.insert(0, f"Recognised as {listing.form}.")
    side = choose_side(listing, request.image_size)
    with decoded(listing, side, cache.images_dir(), progress) as images:
        chosen = choose(listing, images, request.skip_bad)
        stops = listing.findings.stops(request.skip_bad)
        return None if stops else cache.keep(chosen, images), listing.findings


def _images(kept: cache.Kept, home: str, place: Path, findings: Findings) -> OwnImages:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", place.stem if place.is_file() else place.name)
    name = name.strip("-.") or "images"
    description = (
        f"{name}: {kept.train_size + kept.test_size:,} images of your own in "
        f"{len(kept.class_names)} classes, {kept.side}x{kept.side} pixels"
    )
    source = DatasetSource(
        description,
        kept.train_size,
        kept.test_size,
        len(kept.class_names),
        (kept.side, kept.side, 3),
        make=partial(kept.dataset, name, description),
    )
    return OwnImages(name, home, kept.key, source, findings)
