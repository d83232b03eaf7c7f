"""What a disk that takes no file says to do, and what users call their files."""

import errno
import os

import pytest

from normscope.errors import RunError, UsageError
from normscope.files import disk_errors, user_path, written

ADVICE = "choose another folder with --out"
ROOM = f"make room, or {ADVICE}"
ACCESS = f"normscope needs a folder it can write to: {ADVICE}"
LOCKS = f"its file system cannot lock files, so normscope needs a local folder: {ADVICE}"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, ROOM),
        (errno.EDQUOT, ROOM),
        (errno.EFBIG, ROOM),
        (errno.EACCES, ACCESS),
        (errno.EPERM, ACCESS),
        (errno.EROFS, ACCESS),
        (errno.ENOLCK, LOCKS),
        (errno.ENOSYS, LOCKS),
        (errno.EBADF, ADVICE),
        (errno.EIO, ADVICE),
    ],
)
def test_the_advice_fits_the_error(tmp_path, number, said):
    reason = os.strerror(number)
    with pytest.raises(RunError) as caught, disk_errors(tmp_path, ADVICE):
        raise OSError(number, reason)
    assert str(caught.value) == f"cannot write {tmp_path} ({reason}); {said}"


def test_an_error_without_a_number_is_told_in_its_words(tmp_path):
    with pytest.raises(RunError) as caught, disk_errors(tmp_path, ADVICE):
        raise OSError("it is gone")
    assert str(caught.value) == f"cannot write {tmp_path} (it is gone); {ADVICE}"


def test_an_older_filelock_has_another_word_for_no_locks(tmp_path):
    with pytest.raises(RunError) as caught, disk_errors(tmp_path, ADVICE):
        raise NotImplementedError("FileSystem does not appear to support flock")
    assert str(caught.value) == f"cannot write {tmp_path} (No locks available); {LOCKS}"


@pytest.mark.parametrize("below", ["", "runs/a"])
def test_a_link_that_points_nowhere_is_named(tmp_path, below):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(
            RunError, match=rf"\); {link} is a link that points nowhere: remove it, or c"
        ),
        disk_errors(link / below, ADVICE),
    ):
        (link / below).mkdir(parents=True, exist_ok=True)


def test_a_link_that_points_somewhere_is_not(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with (
        pytest.raises(RunError, match=rf"\(File exists\); {ADVICE}"),
        disk_errors(tmp_path / "link", ADVICE),
    ):
        (tmp_path / "link").mkdir(exist_ok=True)


# A file may have a name that is long, but is itself written under one that is longer still.
@pytest.mark.parametrize("length", [250, 300])
def test_a_name_that_is_too_long_for_the_disk(tmp_path, length):
    path = tmp_path / ("x" * length)
    said = r"x+ \(File name too long\); choose a shorter name$"
    with pytest.raises(UsageError, match=said), written(path, ADVICE) as partial:
        partial.write_text("mine", encoding="utf-8")
    assert not list(tmp_path.iterdir())


def test_what_a_user_calls_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/x") == tmp_path / "x"
    assert user_path(tmp_path / "x") == tmp_path / "x"
    assert str(user_path("a/~/b")) == os.path.join("a", "~", "b")
    with pytest.raises(UsageError, match=r"x+: File name too long; choose a shorter name"):
        user_path("x" * 300)
    with pytest.raises(UsageError, match="the home folder in ~nobody-at-all/x is unknown; set"):
        user_path("~nobody-at-all/x")
