"""What was read is kept: found again, noticed when damaged, and never half there."""

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from photo_fakes import make_splits, open_all, photo, save

from normscope.data.own import cache as own_cache
from normscope.data.own import decoding, open_images
from normscope.errors import RunError


@pytest.fixture
def reads(monkeypatch):
    """The images that were decoded, in the order in which that was done."""
    seen = []
    read = decoding.read
    monkeypatch.setattr(decoding, "read", lambda blob, side: seen.append(blob) or read(blob, side))
    return seen


def test_a_second_time_nothing_is_decoded(photos, cache, reads):
    first = open_images(photos)
    assert len(reads) == 42
    second = open_images(photos)
    assert len(reads) == 42
    assert (second.key, second.findings) == (first.key, first.findings)
    assert {path.name for path in (cache / first.key).iterdir()} == {
        "train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy", "facts.txt",
    }  # fmt: skip
    np.testing.assert_array_equal(open_all(first).train_images, open_all(second).train_images)


def change(photos):
    save(photo(77), photos / "train/cat/000.png")


def add(photos):
    save(photo(77), photos / "train/cat/new.png")


def touch(photos):
    os.utime(photos / "train/cat/000.png", (1, 1))


def remove(photos):
    (photos / "train/cat/000.png").unlink()


@pytest.mark.parametrize("edit", [change, add, touch, remove])
def test_an_edit_of_the_folder_is_noticed(photos, reads, edit):
    open_images(photos)
    edit(photos)
    open_images(photos)
    assert len(reads) > 42


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def delete(path):
    path.unlink()


@pytest.mark.parametrize("damage", [cut, alter, delete])
@pytest.mark.parametrize("file", ["train_images.npy", "test_labels.npy", "facts.txt"])
def test_damage_is_noticed_and_mended(photos, cache, reads, damage, file):
    opened = open_images(photos)
    before = open_all(opened)
    damage(cache / opened.key / file)
    again = open_images(photos)
    assert again.key == opened.key
    after = open_all(again)
    for array in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(after, array), getattr(before, array))
    assert len(reads) == 84


def test_what_was_removed_after_it_was_opened_is_an_error(photos, cache):
    opened = open_images(photos)
    (cache / opened.key / "train_images.npy").unlink()
    with pytest.raises(RunError, match="run the same again to remake it"):
        open_all(opened)


def test_a_full_disk_is_an_error_that_says_so(photos, cache, monkeypatch):
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    with pytest.raises(RunError, match="cannot write"):
        open_images(photos)


def test_nothing_is_left_behind(photos, cache):
    key = open_images(photos).key
    assert sorted(path.name for path in cache.iterdir()) == sorted([key, "index"])


def _open_elsewhere(folder):
    opened = open_images(folder)
    return opened.key, int(open_all(opened).train_images.sum())


def test_processes_at_the_same_time_do_not_harm_each_other(tmp_path):
    root = make_splits(tmp_path / "p", train=40)
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_open_elsewhere, [root] * 6))
    assert len({*found}) == 1


def test_large_arrays_are_memory_maps_that_travel_by_name(tmp_path, monkeypatch):
    root = make_splits(tmp_path / "p", train=30)
    whole = open_all(open_images(root))
    assert not isinstance(whole.train_images, np.memmap)
    monkeypatch.setattr(own_cache, "MAPPED_FROM_BYTES", 1)
    mapped = open_all(open_images(root))
    assert isinstance(mapped.train_images, np.memmap)
    assert mapped.train_images.nbytes == 90 * 32 * 32 * 3
    packed = pickle.dumps(mapped)
    assert len(packed) < 2000
    np.testing.assert_array_equal(pickle.loads(packed).train_images, whole.train_images)  # noqa: S301 - ours


def test_progress_is_told_of_every_image(photos):
    told = []
    open_images(photos, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (42, 42)
    assert told == sorted(told)
