"""A small disk of its own, which can be filled until the n-th write to it fails."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

PAGE = 4096  # bytes; a file takes as many of them as it needs


@contextmanager
def small_disk(place, mib=8):
    """A disk in memory, mounted at `place`; where that is not allowed, the test is skipped."""
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no disk of its own: there is no mount")
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,nr_inodes=500", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk of its own can be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def with_room(disk, pages):
    """Within it the disk has room for so many more pages of files."""
    filler = disk / "filler"
    taken = os.statvfs(disk).f_bavail - pages
    with filler.open("wb") as file:
        if taken:
            os.posix_fallocate(file.fileno(), 0, taken * PAGE)
    assert os.statvfs(disk).f_bavail == pages
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def with_names(disk, names):
    """Within it the disk takes so many more files and folders, whatever their size."""
    filler = disk / "filler"
    filler.mkdir()
    for number in range(os.statvfs(disk).f_favail - names):
        (filler / str(number)).touch()
    assert os.statvfs(disk).f_favail == names
    try:
        yield
    finally:
        shutil.rmtree(filler)
