"""The picture of samples: true colours, every class, the split asked for, said to be synthetic."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from normscope.data.gallery import save_samples
from normscope.errors import UsageError


def colours_in(path):
    """How many pixels of the picture have each colour, by (red, green, blue)."""
    with Image.open(path) as picture:
        counted = picture.convert("RGB").getcolors(maxcolors=2**24)
    return {colour: count for count, colour in counted}


def title_of(path):
    with Image.open(path) as picture:
        return picture.info["Title"]


def plain(labels, blue):
    """One image per label, of the colour (200, label, blue)."""
    colours = np.stack([np.full_like(labels, 200), labels, np.full_like(labels, blue)], axis=-1)
    return np.broadcast_to(colours[:, None, None], (len(labels), 32, 32, 3)).astype(np.uint8)


def tinted(dataset):
    """The same data set with plain images: blue 30 in the training split, 90 in the test split."""
    train, test = plain(dataset.train_labels, 30), plain(dataset.test_labels, 90)
    return replace(dataset, train_images=train, test_images=test)


def test_every_class_of_the_split_asked_for_in_its_true_colours(shapes, tmp_path):
    save_samples(tinted(shapes), tmp_path / "test.png", per_class=2)
    save_samples(tinted(shapes), tmp_path / "train.png", split="train", per_class=2)
    for split, blue, other in (("test", 90, 30), ("train", 30, 90)):
        colours = colours_in(tmp_path / f"{split}.png")
        areas = [colours[200, label, blue] for label in range(10)]
        assert min(areas) > 0.9 * max(areas)
        assert not any((200, label, other) in colours for label in range(10))


def test_a_class_with_fewer_images_leaves_its_row_short(shapes, tmp_path):
    labels = np.array([0, 0, 0, 0, 1])
    dataset = replace(shapes, test_labels=labels, test_images=plain(labels, 90))
    save_samples(dataset, tmp_path / "s.png", per_class=4)
    colours = colours_in(tmp_path / "s.png")
    assert 3.5 < colours[200, 0, 90] / colours[200, 1, 90] < 4.5


def test_a_hundred_classes_with_strange_names_fit(shapes, tmp_path):
    names, labels = tuple(f"a_$long$_<name>_{i}" for i in range(100)), np.arange(100)
    dataset = replace(shapes, class_names=names, test_labels=labels, test_images=plain(labels, 90))
    save_samples(dataset, tmp_path / "s.png", per_class=1)
    colours = colours_in(tmp_path / "s.png")
    assert all((200, label, 90) in colours for label in range(100))


def test_only_a_synthetic_data_set_says_so(shapes, tmp_path):
    save_samples(shapes, tmp_path / "s.png", per_class=2)
    assert title_of(tmp_path / "s.png") == (
        "shapes: first 2 test images of each class (synthetic, drawn by a program)"
    )
    save_samples(replace(shapes, synthetic=False), tmp_path / "p.png", per_class=1)
    assert "synthetic" not in title_of(tmp_path / "p.png")


def test_a_place_that_cannot_be_written(shapes, tmp_path):
    with pytest.raises(UsageError, match=r"cannot write .*none/s.png \(No such file"):
        save_samples(shapes, tmp_path / "none" / "s.png")
