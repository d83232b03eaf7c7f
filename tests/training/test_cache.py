"""Where compiled code is kept when the user's cache cannot be written, or is unknown."""

import os
import stat
import subprocess
import sys
import tempfile

import platformdirs
import pytest

from normscope.training.fused.cache import cache_folder

NAME = f"normscope-numba-{os.getuid()}"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The temporary directory of a user whose cache cannot be made."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_users_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "normscope" / "numba"
    assert cache_folder().is_dir()


def test_all_runs_share_one_private_folder(temporary):
    code = "import normscope.training.fused.kernels as k; print(k.folder)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [run.stdout.strip() for run in runs] == [str(temporary / NAME)] * 2
    assert [path.name for path in temporary.iterdir()] == [NAME]
    assert stat.S_IMODE((temporary / NAME).stat().st_mode) == 0o700


@pytest.mark.parametrize("raises", [True, False])
def test_a_user_without_a_home(raises, temporary, monkeypatch):
    def nowhere(name):
        if raises:
            raise RuntimeError("Could not determine home directory.")
        return f"~no-such-user/{name}"

    monkeypatch.setattr(platformdirs, "user_cache_dir", nowhere)
    assert cache_folder() == temporary / NAME


def open_to_all(place, tmp_path):
    place.mkdir()
    place.chmod(0o777)


def linked(place, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")


def of_another_user(place, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    place.mkdir(mode=0o700)
    os.chown(place, 12345, 12345)


@pytest.mark.parametrize("planted", [open_to_all, linked, of_another_user])
def test_what_others_may_have_written_is_not_executed(planted, temporary, tmp_path):
    planted(temporary / NAME, tmp_path)
    code = (
        "from normscope.training.fused.cache import cache_folder\n"
        "folder = cache_folder()\n"
        "print(folder, oct(folder.stat().st_mode)[-3:])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder, mode = run.stdout.split()
    assert folder.startswith(str(temporary / "normscope-numba-"))
    assert (folder != str(temporary / NAME), mode) == (True, "700")
    assert [path.name for path in temporary.iterdir()] == [NAME]  # the other is gone
