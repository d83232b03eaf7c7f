from dataclasses import replace

import numpy as np
from PIL import Image

from normscope.data import save_samples


def colours_of(path):
    with Image.open(path) as picture:
        return {
            tuple(int(v) for v in c)
            for c in np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)
        }


def test_samples_show_true_colours_and_only_of_the_split_asked_for(shapes, tmp_path):
    plain = np.zeros_like(shapes.test_images)
    plain[:] = (10, 200, 30)
    other = np.zeros_like(shapes.train_images)
    other[:] = (200, 10, 90)
    dataset = replace(shapes, test_images=plain, train_images=other)
    save_samples(dataset, tmp_path / "test.png")
    save_samples(dataset, tmp_path / "train.png", split="train")
    assert (10, 200, 30) in colours_of(tmp_path / "test.png")
    assert (200, 10, 90) not in colours_of(tmp_path / "test.png")
    assert (200, 10, 90) in colours_of(tmp_path / "train.png")


def test_a_hundred_classes_with_strange_names_fit(shapes, tmp_path):
    names = tuple(f"a_$long$_<name>_{i}" for i in range(100))
    dataset = replace(shapes, class_names=names, test_labels=np.arange(100) % 100)
    save_samples(dataset, tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width > picture.height / 2
