"""CIFAR files: verified before they are opened, read without running anything; real ones too."""

import gzip
import hashlib
import io
import pickle
import tarfile
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from cifar_fakes import (
    CLASS_NAMES,
    make_contents,
    pickled,
    write_archive,
)

from normscope import data
from normscope.data import cifar, places
from normscope.data.layouts import CIFAR10, CIFAR100, FileFacts
from normscope.errors import RunError

# -- the official files --------------------------------------------------------------------------

# As torchvision and Keras know them; sizes are those of the files themselves.
CIFAR10_FILES = {
    "data_batch_1": ("c99cafc152244af753f735de768cd75f", 31_035_704),
    "data_batch_2": ("d4bba439e000b95fd0a9bffe97cbabec", 31_035_320),
    "data_batch_3": ("54ebc095f3ab1f0389bbae665268c751", 31_035_999),
    "data_batch_4": ("634d18415352ddfa80567beed471001a", 31_035_696),
    "data_batch_5": ("482c414d41f54cd18b22e5b47cb7c3cb", 31_035_623),
    "test_batch": ("40351d587109b95175f43aff81a1287e", 31_035_526),
    "batches.meta": ("5ff9c542aee3614f3951f8cda6e48888", 158),
}
CIFAR100_FILES = {
    "train": ("16019d7e3df5f24257cddd939b257f8d", 155_249_918),
    "test": ("f0ef6b0ae62326f3e7ffdfab6717acfc", None),
    "meta": ("7973b15100ade9c7d40fb424638fde48", None),
}
ARCHIVES = {
    "cifar-10-python.tar.gz": (
        170_498_071,
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ),
    "cifar-100-python.tar.gz": (
        169_001_437,
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    ),
}


@pytest.mark.parametrize(
    ("layout", "folder", "files"),
    [
        (CIFAR10, "cifar-10-batches-py", CIFAR10_FILES),
        (CIFAR100, "cifar-100-python", CIFAR100_FILES),
    ],
)
def test_the_check_sums_are_the_published_ones(layout, folder, files):
    assert layout.folder == folder
    assert {name: (file.md5, file.size) for name, file in layout.files.items()} == files
    assert (layout.archive.size, layout.archive.sha256) == ARCHIVES[layout.archive.name]


def test_pixels_are_normalized_by_the_usual_constants():
    assert CIFAR10.mean == (0.4914, 0.4822, 0.4465)
    assert CIFAR10.std == (0.2023, 0.1994, 0.2010)
    # Of the training images: 0.50707516, 0.48654887, 0.44091784; 0.26733429, 0.25643846, 0.27615047
    assert CIFAR100.mean == (0.5071, 0.4865, 0.4409)
    assert CIFAR100.std == (0.2673, 0.2564, 0.2762)


# -- reading -------------------------------------------------------------------------------------


def test_planes_become_pixels(layout, folder):
    dataset = cifar.read(layout, folder)
    row = make_contents()["data_batch_2"][b"data"][1]
    image = dataset.train_images[4]
    assert image.shape == (32, 32, 3)
    for channel in range(3):
        expected = row[1024 * channel : 1024 * (channel + 1)].reshape(32, 32)
        np.testing.assert_array_equal(image[:, :, channel], expected)
    assert dataset.train_labels.tolist() == [0, 1, 0, 0, 1, 0]
    assert dataset.test_images.shape == (2, 32, 32, 3)
    assert dataset.class_names == CLASS_NAMES


def test_cifar100_has_its_fine_labels_and_names(tmp_path):
    contents = {
        "train": {b"fine_labels": [2, 0, 3], b"coarse_labels": [1, 0, 1]},
        "test": {b"fine_labels": [1, 3], b"coarse_labels": [0, 1]},
        "meta": {
            b"fine_label_names": [b"apple", b"pear", b"bus", b"train"],
            b"coarse_label_names": [b"fruit", b"vehicles"],
        },
    }
    for name in ("train", "test"):
        count = len(contents[name][b"fine_labels"])
        contents[name][b"data"] = np.zeros((count, 3072), np.uint8)
    files = {}
    for name, content in contents.items():
        raw = pickled(content)
        (tmp_path / name).write_bytes(raw)
        files[name] = FileFacts(hashlib.md5(raw).hexdigest(), len(raw))
    dataset = cifar.read(replace(CIFAR100, files=files), tmp_path)
    assert dataset.train_labels.tolist() == [2, 0, 3]
    assert dataset.test_labels.tolist() == [1, 3]
    assert dataset.class_names == ("apple", "pear", "bus", "train")
    assert dataset.train_images.shape == (3, 32, 32, 3)


def test_archive_and_folder_hold_the_same(layout, folder, archive):
    assert cifar.read(layout, folder).facts() == cifar.read(layout, archive).facts()


def test_members_that_are_not_expected_are_not_read(layout, tmp_path, files):
    outside = tmp_path / "outside"
    members = [("../outside", b"x"), (str(outside), b"x"), ("data_batch_1", b"x")]
    members += [(f"cifar-10-batches-py/{name}", content) for name, content in files.items()]
    archive = write_archive(tmp_path / "a.tar.gz", members)
    assert len(cifar.read(layout, archive).train_labels) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_link_in_the_place_of_a_file_counts_as_missing(layout, tmp_path, files):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            if name == "test_batch":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    with pytest.raises(RunError, match="test_batch is missing"):
        cifar.read(layout, path)


# -- damage --------------------------------------------------------------------------------------


def test_a_missing_file_is_named(layout, folder):
    (folder / "data_batch_2").unlink()
    with pytest.raises(RunError, match="data_batch_2 is missing; restore it"):
        cifar.read(layout, folder)


def test_a_truncated_file_is_named_with_its_size(layout, folder, files):
    whole = files["test_batch"]
    (folder / "test_batch").write_bytes(whole[:1000])
    with pytest.raises(RunError, match=rf"test_batch is truncated \(1000 of {len(whole)} bytes\)"):
        cifar.read(layout, folder)


@pytest.mark.parametrize("tail", [b"", b"x"])
def test_an_altered_file_is_named(layout, folder, files, tail):
    altered = bytearray(files["data_batch_1"])
    altered[500] ^= 1
    (folder / "data_batch_1").write_bytes(bytes(altered) + tail)
    with pytest.raises(RunError, match="data_batch_1 is altered"):
        cifar.read(layout, folder)
    assert places.faults(layout, folder)["data_batch_1"] == "altered"
    assert places.faults(layout, folder)["test_batch"] == ""


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_damaged_archive_is_one_message(layout, archive, keep):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)] or b"no archive at all")
    with pytest.raises(RunError, match=r"cifar-10-python.tar.gz: the archive is truncated"):
        cifar.read(layout, archive)


def test_any_flipped_byte_of_an_archive_is_harmless_or_a_message(layout, archive):
    """A flip may strike the gzip header, a compressed block, a tar header or the checksum."""
    content = archive.read_bytes()
    layout = replace(layout, archive=replace(layout.archive, size=len(content)))
    expected = cifar.read(layout, archive).facts()
    messages = set()
    for position in [*range(30), *range(30, len(content), 41), *range(-30, 0)]:
        altered = bytearray(content)
        altered[position] ^= 255
        archive.write_bytes(altered)
        try:
            assert cifar.read(layout, archive).facts() == expected
        except RunError as error:
            messages.add(str(error).split("; ")[0].split(": ")[1])
    assert "the archive is altered" in messages
    assert not any("the archive is truncated" in message for message in messages)


def test_a_wrong_checksum_at_the_end_of_an_archive_is_a_message(layout, archive):
    """Without the zeros that end a tar, reading goes on to the gzip trailer: CRC-32, then size."""
    members = gzip.decompress(archive.read_bytes()).rstrip(b"\0")
    content = bytearray(gzip.compress(members + bytes(-len(members) % 512)))
    archive.write_bytes(content)
    assert len(cifar.read(layout, archive).test_labels) == 2
    content[-8] ^= 1
    archive.write_bytes(content)
    with pytest.raises(RunError, match="the archive is truncated"):
        cifar.read(layout, archive)


def test_a_swollen_file_does_not_fill_the_memory(layout, folder):
    with (folder / "batches.meta").open("r+b") as stream:
        stream.truncate(100_000_000)  # sparse: takes no room on disk
    tracemalloc.start()
    assert places.faults(layout, folder)["batches.meta"] == "altered"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


# -- code in a pickle ----------------------------------------------------------------------------


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_that_runs_code_never_gets_to_run(layout, folder, tmp_path):
    trace = tmp_path / "trace"
    evil = pickle.dumps({b"data": Evil(str(trace))}, protocol=3)
    (folder / "data_batch_1").write_bytes(evil)
    with pytest.raises(RunError, match="data_batch_1 is"):
        cifar.read(layout, folder)
    with pytest.raises(RunError, match=r"refused to unpickle _?io.open"):
        cifar.unpickle(evil)
    assert not trace.exists()


# -- the real data -------------------------------------------------------------------------------


def test_real_cifar10_is_the_official_one(cifar10):
    assert cifar10.train_images.shape == (50_000, 32, 32, 3)
    assert cifar10.test_images.shape == (10_000, 32, 32, 3)
    assert np.bincount(cifar10.train_labels).tolist() == [5000] * 10
    assert np.bincount(cifar10.test_labels).tolist() == [1000] * 10
    assert cifar10.class_names[3] == "cat"
    assert cifar10.test_labels[:4].tolist() == [3, 8, 8, 0]
    pixels = cifar10.train_images.reshape(-1, 3) / np.float32(255)
    np.testing.assert_allclose(pixels.mean(axis=0, dtype=np.float64), cifar10.mean, atol=1e-3)


def test_real_cifar10_verifies(cifar10):
    assert set(data.verify("cifar10").values()) == {""}
