"""Copies of CIFAR: found where users keep them, packed in any way, verified, and copied."""

import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from cifar_fakes import (
    FOLDER,
    KINDS,
    make_folder,
    pack,
    write_archive,
)

from normscope import data
from normscope.data import archives, cifar, places
from normscope.data.layouts import CIFAR10, CIFAR100
from normscope.errors import RunError, UsageError

# -- archives of any kind ------------------------------------------------------------------------


@pytest.mark.parametrize("within", ["", "./", f"./{FOLDER}/", f"data/cifar/{FOLDER}/", "cifar10/"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_read_however_it_was_packed(layout, folder, files, tmp_path, kind, within):
    archive = pack(tmp_path / f"mine{kind}", files, within)
    assert archives.suffix_of(archive) == kind
    assert set(places.faults(layout, archive).values()) == {""}
    assert cifar.read(layout, archive).facts() == cifar.read(layout, folder).facts()


def test_the_name_of_an_archive_does_not_tell_its_kind(layout, files, tmp_path):
    archive = pack(tmp_path / "a.zip", files).rename(tmp_path / "cifar-10-python.tar.gz")
    assert set(places.faults(layout, archive).values()) == {""}
    kept = places.add([layout], archive, tmp_path / "cache")
    assert kept.name == "cifar-10-python.zip"


def test_a_zip_with_backslashes_is_read(layout, files, tmp_path):
    """As older Windows programs pack; Python writes them only if they are put in afterwards."""
    archive = pack(tmp_path / "a.zip", files)
    content = archive.read_bytes().replace(f"{FOLDER}/".encode(), f"{FOLDER}\\".encode())
    archive.write_bytes(content)
    assert set(places.faults(layout, archive).values()) == {""}


@pytest.mark.parametrize("kind", KINDS)
def test_an_altered_file_of_the_official_folder_is_named(layout, files, tmp_path, kind):
    altered = bytearray(files["data_batch_2"])
    altered[500] ^= 1
    files = {**files, "data_batch_2": bytes(altered)}
    with pytest.raises(RunError, match="data_batch_2 is altered; restore it"):
        cifar.read(layout, pack(tmp_path / f"a{kind}", files))
    # Elsewhere it may be another file that happens to have the name.
    with pytest.raises(RunError, match="data_batch_2 is missing"):
        cifar.read(layout, pack(tmp_path / f"b{kind}", files, "old/"))


def test_an_intact_file_goes_before_others_of_its_name(layout, files, tmp_path):
    members = [(f"{FOLDER}/{name}", content) for name, content in files.items()]
    cut = (f"{FOLDER}/test_batch", b"cut")
    for position in (0, len(members)):
        archive = write_archive(
            tmp_path / f"{position}.tar", [*members[:position], cut, *members[position:]]
        )
        assert set(places.faults(layout, archive).values()) == {""}
        assert len(cifar.read(layout, archive).test_labels) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_byte_is_harmless_or_one_message(layout, files, tmp_path, kind):
    archive = pack(tmp_path / f"mine{kind}", files)
    content, expected = archive.read_bytes(), cifar.read(layout, archive).facts()
    step, messages = len(content) // 60, set()
    for position in [*range(40), *range(40, len(content), step), *range(-40, 0)]:
        altered = bytearray(content)
        altered[position] ^= 255
        archive.write_bytes(altered)
        try:
            assert cifar.read(layout, archive).facts() == expected
        except RunError as error:
            messages.add(str(error))
    assert messages
    assert all(str(archive) in message and "\n" not in message for message in messages)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_was_cut_is_one_message(layout, files, tmp_path, kind):
    archive = pack(tmp_path / f"mine{kind}", files)
    content = archive.read_bytes()
    for keep in (len(content) // 2, len(content) // 10):
        archive.write_bytes(content[:keep])
        with pytest.raises(RunError, match="the archive is cut short or altered; restore it"):
            cifar.read(layout, archive)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive, .* unpack it and name the folder"),
        (b"Rar!\x1a\x07", "is a rar archive"),
        (b"<html>", "the archive is neither a tar nor a zip archive"),
        (b"", "the archive is neither a tar nor a zip archive"),
    ],
)
def test_what_cannot_be_read_is_called_what_it_is(layout, tmp_path, start, said):
    (tmp_path / "mine").write_bytes(start + bytes(1000 if start else 0))
    with pytest.raises(RunError, match=said):
        places.faults(layout, tmp_path / "mine")


@pytest.mark.parametrize(
    ("offsets", "value", "said"),
    [
        ((6, 8), 1, "encrypted"),  # of the flags in the two headers of a zip's file
        ((8, 10), 97, "compression"),  # of its method, here one that is rare
    ],
)
def test_a_zip_that_python_cannot_open_says_what_to_do(
    layout, files, tmp_path, offsets, value, said
):
    archive = pack(tmp_path / "a.zip", files)
    content = bytearray(archive.read_bytes())
    for signature, offset in zip((b"PK\3\4", b"PK\1\2"), offsets, strict=True):
        content[content.index(signature) + offset] = value
    archive.write_bytes(content)
    with pytest.raises(RunError, match=f"{said}.*; unpack it and name the folder"):
        places.faults(layout, archive)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_unpacks_to_much_does_not_fill_the_memory(layout, files, tmp_path, kind):
    bomb = bytes(50_000_000)
    archive = pack(tmp_path / f"a{kind}", {**files, "batches.meta": bomb, "other": bomb})
    tracemalloc.start()
    assert places.faults(layout, archive)["batches.meta"] == "altered"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000  # the window of an xz alone takes eight million


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_name_that_unpacks_to_much_does_not_fill_the_memory(layout, tmp_path, kind):
    info = tarfile.TarInfo("name")
    info.type, info.size = kind, 50_000_000
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.addfile(info)
        tar.fileobj.write(bytes(info.size))
    tracemalloc.start()
    with pytest.raises(RunError, match="the archive is cut short or altered"):
        places.faults(layout, tmp_path / "a.tar.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that cannot be read")
@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_file_that_the_disk_does_not_give_is_named(layout, folder, tmp_path, kind):
    unreadable = folder / "data_batch_1" if kind == "folder" else tmp_path / "a.zip"
    unreadable.unlink(missing_ok=True)
    unreadable.symlink_to("/proc/self/mem")
    with pytest.raises(RunError, match=rf"cannot read {unreadable} \(Input/output error\)"):
        places.faults(layout, folder if kind == "folder" else unreadable)


# -- where it is looked for ----------------------------------------------------------------------


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """The four places, each an empty folder: option, variable, cache, ./data."""
    named = {name: tmp_path / name for name in ("option", "variable", "data")}
    for path in named.values():
        path.mkdir()
    monkeypatch.setenv("NORMSCOPE_DATA", str(named["variable"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    named["cache"] = data.cache_dir()
    named["cache"].mkdir(parents=True)
    return named


def test_places_are_searched_in_their_order(searched):
    for place in ("data", "cache", "variable", "option"):
        (searched[place] / "cifar-10-python.tar.gz").touch()
        found = data.find("cifar10", searched["option"])
        assert found is not None
        assert found.resolve() == (searched[place] / "cifar-10-python.tar.gz").resolve()


def test_the_folder_itself_may_be_named(searched, folder):
    assert data.find("cifar10", folder) == folder


def test_an_extracted_folder_is_known_by_its_name_or_its_content(searched, folder):
    (folder / "batches.meta").unlink()
    assert data.find("cifar10", folder) == folder
    renamed = folder.rename(folder.with_name("photographs"))
    assert data.find("cifar10", renamed) is None
    (renamed / "batches.meta").touch()
    assert data.find("cifar10", renamed) is None  # "batches.meta" alone is anybody's
    for name in CIFAR10.files:
        (renamed / name).touch()
    assert data.find("cifar10", renamed) == renamed


def test_nothing_is_found_where_there_is_nothing(searched):
    assert data.find("cifar10", searched["option"]) is None
    assert data.find("shapes") is None


def test_a_data_folder_that_is_not_there(searched):
    with pytest.raises(UsageError, match="the data folder nowhere is not a folder"):
        data.find("cifar10", Path("nowhere"))


def test_a_damaged_copy_is_not_passed_over(searched, layout, folder):
    (searched["option"] / "cifar-10-batches-py").mkdir()
    with pytest.raises(RunError, match="is missing"):
        data.load_dataset("cifar10", searched["option"])


@pytest.mark.parametrize("name", ["cifar-10-python", FOLDER])
@pytest.mark.parametrize("suffix", archives.SUFFIXES)
def test_an_archive_is_found_by_its_usual_names(searched, name, suffix):
    archive = searched["option"] / (name + suffix)
    archive.touch()
    assert data.find("cifar10", searched["option"]) == archive
    assert data.find("cifar100", searched["option"]) is None


def test_one_folder_below_is_looked_into(layout, files, tmp_path):
    (tmp_path / "deep" / "x" / "y").mkdir(parents=True)
    archive = pack(tmp_path / "deep" / "x" / "y" / "cifar-10-python.zip", files)
    assert places.place_in(layout, tmp_path) is None
    assert places.place_in(layout, tmp_path / "deep") is None
    assert places.place_in(layout, tmp_path / "deep" / "x") == archive
    below = make_folder(tmp_path / "x" / FOLDER, files)
    assert places.place_in(layout, tmp_path) == below
    here = make_folder(tmp_path / FOLDER, files)
    assert places.place_in(layout, tmp_path) == here


def test_a_folder_extracted_twice_over_is_found(layout, files, tmp_path):
    inner = make_folder(tmp_path / FOLDER / FOLDER, files)
    assert places.place_in(layout, tmp_path) == inner
    assert places.place_in(layout, tmp_path / FOLDER) == inner


@pytest.mark.parametrize("loss", ["missing", "truncated"])
def test_a_half_extracted_folder_does_not_hide_an_archive(layout, folder, archive, loss):
    assert places.place_in(layout, folder.parent) == folder
    if loss == "missing":
        (folder / "test_batch").unlink()
    else:
        (folder / "test_batch").write_bytes(b"cut")
    assert places.place_in(layout, folder.parent) == archive
    archive.unlink()
    assert places.place_in(layout, folder.parent) == folder
    with pytest.raises(RunError, match=f"test_batch is {loss}"):
        cifar.read(layout, folder)


def test_of_two_archives_the_intact_one_is_taken(layout, files, archive):
    zipped = pack(archive.with_name("cifar-10-python.zip"), files)
    assert places.place_in(layout, archive.parent) == archive
    archive.write_bytes(archive.read_bytes()[:1000])
    assert places.place_in(layout, archive.parent) == zipped
    zipped.write_bytes(b"cut too")
    assert places.place_in(layout, archive.parent) == archive


def test_a_tilde_is_the_home_folder(searched, files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("option", "variable"):
        (searched[name] / "cifar-10-python.zip").touch()
    monkeypatch.setenv("NORMSCOPE_DATA", "~/variable")
    assert data.find("cifar10") == searched["variable"] / "cifar-10-python.zip"
    assert data.find("cifar10", "~/option") == searched["option"] / "cifar-10-python.zip"
    with pytest.raises(UsageError, match="the data folder ~/none is not a folder"):
        data.find("cifar10", "~/none")


def test_a_name_that_is_too_long_says_so(searched, monkeypatch):
    long = "x" * 300
    said = r"x+: File name too long; choose a shorter name"
    with pytest.raises(UsageError, match=said):
        data.load_dataset("cifar10", Path(long))
    with pytest.raises(UsageError, match=said):
        data.add(Path(long))
    monkeypatch.setenv("NORMSCOPE_DATA", long)
    with pytest.raises(UsageError, match=said):
        data.find("cifar10")


@pytest.fixture
def homeless(searched, monkeypatch):
    """A user whom the system does not know, and who has set nothing."""
    for variable in ("HOME", "XDG_CACHE_HOME", "NORMSCOPE_DATA"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    return searched


def test_who_has_no_home_has_no_cache(homeless, monkeypatch):
    assert data.find("cifar10") is None
    (homeless["option"] / "cifar-10-python.zip").touch()
    assert data.find("cifar10", homeless["option"]) is not None
    assert len(data.load_dataset("shapes").class_names) == 10
    for needs_cache in (
        lambda: data.load_dataset("cifar10"),
        lambda: data.add(homeless["option"]),
        data.cache_dir,
    ):
        with pytest.raises(UsageError, match=r"no home folder .*; set XDG_CACHE_HOME to a folder"):
            needs_cache()
    with pytest.raises(UsageError, match="the home folder in ~/data is unknown; set HOME"):
        data.find("cifar10", "~/data")


def test_an_older_platformdirs_leaves_the_tilde(homeless, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"~/.cache/{name}")
    with pytest.raises(UsageError, match="set XDG_CACHE_HOME"):
        data.cache_dir()


# -- add -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_add_verifies_and_copies(kind, layout, folder, archive, tmp_path):
    source = folder if kind == "folder" else archive
    target = places.add([CIFAR100, layout], source, tmp_path / "cache")
    assert target.parent == tmp_path / "cache"
    assert len(cifar.read(layout, target).train_labels) == 6
    assert [path.name for path in target.parent.iterdir()] == [source.name]


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_add_replaces_a_damaged_copy(kind, layout, folder, archive, tmp_path):
    source = folder if kind == "folder" else archive
    damaged = tmp_path / "cache" / source.name
    if kind == "folder":
        damaged.mkdir(parents=True)
        (damaged / "data_batch_1").touch()
    else:
        damaged.parent.mkdir()
        damaged.touch()
    assert places.add([layout], source, tmp_path / "cache") == damaged
    assert set(places.faults(layout, damaged).values()) == {""}
    assert [path.name for path in damaged.parent.iterdir()] == [source.name]


def test_add_names_the_data_set_of_an_archive_it_cannot_open(layout, tmp_path):
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"cut")
    with pytest.raises(RunError, match=r"truncated \(3 of 169001437 bytes\).* fetch cifar100"):
        places.add([layout, CIFAR100], tmp_path / "cifar-100-python.tar.gz", tmp_path / "cache")


def test_add_refuses_what_is_damaged_or_strange(layout, folder, tmp_path):
    (folder / "data_batch_1").write_bytes(b"other")
    with pytest.raises(RunError, match="data_batch_1 is truncated"):
        places.add([layout], folder, tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no file of tiny"):
        places.add([layout], tmp_path / "empty", tmp_path / "cache")
    with pytest.raises(UsageError, match="does not exist"):
        places.add([layout], tmp_path / "none", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("within", [f"{FOLDER}/", "./", f"data/cifar/{FOLDER}/"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_add_keeps_is_found_again(layout, files, tmp_path, kind, within):
    archive, cache = pack(tmp_path / f"download{kind}", files, within), tmp_path / "cache"
    kept = places.add([CIFAR100, layout], archive, cache)
    assert kept == cache / f"cifar-10-python{kind}"
    assert kept.read_bytes() == archive.read_bytes()
    assert places.place_in(layout, cache) == kept


def test_add_finds_a_folder_below(layout, files, tmp_path):
    make_folder(tmp_path / "x" / FOLDER, files)
    cache = tmp_path / "cache"
    assert places.add([CIFAR100, layout], tmp_path, cache) == cache / FOLDER


def test_an_archive_of_other_files_is_no_damaged_data_set(layout, tmp_path):
    other = pack(tmp_path / "mine.zip", {"meta": b"mine", "notes.txt": b"x"}, "project/")
    with pytest.raises(UsageError, match="holds no file of tiny, cifar100"):
        places.add([layout, CIFAR100], other, tmp_path / "cache")
