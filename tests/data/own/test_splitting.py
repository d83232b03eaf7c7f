"""Which image goes where: our own split, duplicates on both sides, and the key of it all."""

import os
import shutil

import numpy as np
import pytest
from photo_fakes import CLASSES, kinds_found, make_splits, make_tree, open_all, photo, save
from PIL import Image

from normscope.data.own import inspect, open_images


def test_a_tree_is_split_by_class(tmp_path):
    make_tree(tmp_path / "p", 20, CLASSES[:2])
    make_tree(tmp_path / "p", 7, ("owl",), first=800)
    dataset = open_all(open_images(tmp_path / "p"))
    assert np.bincount(dataset.test_labels).tolist() == [4, 4, 1]
    assert np.bincount(dataset.train_labels).tolist() == [16, 16, 6]


def test_a_class_of_one_is_trained_on_and_one_of_two_is_tested(tmp_path):
    make_tree(tmp_path / "p", 10, CLASSES[:1])
    make_tree(tmp_path / "p", 1, CLASSES[1:2], first=800)
    make_tree(tmp_path / "p", 2, CLASSES[2:], first=900)
    opened = open_images(tmp_path / "p")
    dataset = open_all(opened)
    assert np.bincount(dataset.train_labels).tolist() == [8, 1, 1]
    assert np.bincount(dataset.test_labels, minlength=3).tolist() == [2, 0, 1]
    assert kinds_found(opened.findings)["dog"] == ["untested"]


class Backwards:
    """What is in a folder, in the reverse of an order of names."""

    def __init__(self, found):
        with found:
            self.entries = iter(sorted(found, key=lambda entry: entry.name, reverse=True))

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Nothing is open."""


def test_the_split_does_not_depend_on_the_order_of_the_file_system(tmp_path, monkeypatch):
    make_tree(tmp_path / "p", 10)
    key = open_images(tmp_path / "p").key
    shutil.copytree(tmp_path / "p", tmp_path / "q")
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: Backwards(scan(path)))
    assert open_images(tmp_path / "q").key == key


def test_an_image_stays_in_its_split_when_others_come(tmp_path):
    """The lowest check sums of each class are the test set, so few change sides."""
    make_tree(tmp_path / "p", 20)
    before = {bytes(image) for image in open_all(open_images(tmp_path / "p")).test_images}
    make_tree(tmp_path / "p/cat", 1, ("../cat",), first=700)
    save(photo(701), tmp_path / "p/cat/new.png")
    after = {bytes(image) for image in open_all(open_images(tmp_path / "p")).test_images}
    assert len(before) == 12
    assert len(before & after) >= 11


def test_duplicates_stay_on_one_side(tmp_path):
    make_tree(tmp_path / "p", 10)
    for number in range(10):
        shutil.copy(tmp_path / f"p/cat/{number:03}.png", tmp_path / f"p/cat/{number:03}-copy.png")
        shutil.copy(tmp_path / f"p/dog/{number:03}.png", tmp_path / f"p/owl/from-dog-{number}.png")
    opened = open_images(tmp_path / "p")
    assert not opened.findings.found["twin_across"]
    assert len(opened.findings.found["twin"]) == 20
    assert len(opened.findings.found["twin_labels"]) == 10
    dataset = open_all(opened)
    train, test = (
        {bytes(i) for i in images} for images in (dataset.train_images, dataset.test_images)
    )
    assert not train & test


def test_a_copy_of_a_test_image_is_told_and_dropped_from_training_with_skip_bad(photos):
    shutil.copy(photos / "test/cat/000.png", photos / "train/cat/a.png")
    save(Image.open(photos / "test/dog/000.png"), photos / "train/dog/b.bmp")  # the same pixels
    opened = open_images(photos)
    told = [str(each) for each in opened.findings.found["twin_across"]]
    assert told == [
        "train/cat/a.png (as test/cat/000.png)",
        "train/dog/b.bmp (as test/dog/000.png)",
    ]
    assert opened.source.train_size == 32
    dropped = open_images(photos, skip_bad=True)
    assert (dropped.source.train_size, dropped.source.test_size) == (30, 12)
    assert dropped.key != opened.key


# -- the key ---------------------------------------------------------------------------------------


def test_the_key_is_that_of_the_content(photos, tmp_path):
    key = open_images(photos).key
    assert len(key) == 16
    assert int(key, 16) >= 0
    copied = shutil.copytree(photos, tmp_path / "elsewhere/photos", copy_function=shutil.copyfile)
    assert open_images(copied).key == key
    os.utime(copied / "train/cat/000.png", (0, 0))
    assert open_images(copied).key == key
    (copied / "train/cat/000.png").rename(copied / "train/cat/renamed.png")
    (copied / "notes.txt").write_text("these are mine")
    assert open_images(copied).key == key


def one_pixel(root):
    pixels = np.array(Image.open(root / "train/cat/000.png"))
    pixels[20, 20, 0] ^= 128
    Image.fromarray(pixels).save(root / "train/cat/000.png")


def one_label(root):
    (root / "train/cat/000.png").rename(root / "train/dog/moved.png")


def one_split(root):
    (root / "train/cat/000.png").rename(root / "test/cat/moved.png")


def one_class_name(root):
    for split in ("train", "test"):
        (root / split / "owl").rename(root / split / "owlet")


def one_image_less(root):
    (root / "train/cat/000.png").unlink()


@pytest.mark.parametrize(
    "change", [one_pixel, one_label, one_split, one_class_name, one_image_less]
)
def test_the_key_changes_with_what_changes_a_trial(photos, change):
    key = open_images(photos, image_size=40).key
    change(photos)
    assert open_images(photos, image_size=40).key != key


def test_the_key_changes_with_the_size(photos):
    assert open_images(photos, image_size=32).key != open_images(photos, image_size=40).key


def test_the_split_does_not_change_with_the_size(tmp_path):
    make_tree(tmp_path / "p", 10)
    one, other = (open_images(tmp_path / "p", image_size=size) for size in (32, 40))
    np.testing.assert_array_equal(open_all(one).test_labels, open_all(other).test_labels)
    means = [open_all(each).test_images.mean((1, 2, 3)) for each in (one, other)]
    np.testing.assert_allclose(*means, atol=4)


# -- classes ---------------------------------------------------------------------------------------


def test_classes_that_a_split_lacks(tmp_path):
    root = make_splits(tmp_path / "p")
    shutil.rmtree(root / "train/cat")
    shutil.rmtree(root / "test/dog")
    (root / "train/yak").mkdir()
    found = kinds_found(inspect(root))
    assert found == {"cat": ["untrained"], "dog": ["untested"], "yak": ["empty_class"]}
    dataset = open_all(open_images(root, skip_bad=True))
    assert dataset.class_names == ("dog", "owl")
    assert set(dataset.test_labels) == {1}
