"""Where compiled code is kept."""

import atexit
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """A folder in the user's cache; one in the temporary directory where that cannot be written."""
    try:  # where there is no home folder platformdirs raises, or older ones return a path with ~
        folder = Path(platformdirs.user_cache_dir("normscope")).expanduser() / "numba"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return _temporary_folder()
    return folder if os.access(folder, os.W_OK) else _temporary_folder()


def _temporary_folder() -> Path:
    """This user's folder in the temporary directory, so that the next process finds it.

    What is in it is executed. If somebody else made it, or may write into it, there is one for this
    process alone, which is removed when it ends.
    """
    if hasattr(os, "getuid"):  # on Windows the temporary directory is the user's own
        folder = Path(tempfile.gettempdir()) / f"normscope-numba-{os.getuid()}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if _belongs_to_user_alone(folder):
            return folder
    folder = Path(tempfile.mkdtemp(prefix="normscope-numba-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _belongs_to_user_alone(folder: Path) -> bool:
    found = folder.lstat()  # of a link, and not of what it leads to
    for_others = found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not for_others
