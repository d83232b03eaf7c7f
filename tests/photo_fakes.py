"""Photographs for tests: no two alike, drawn from a seed, and folders of them."""

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "owl")


def photo(seed, width=48, height=40):
    """A picture of soft spots with some grain; that of another seed looks nothing like it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-6, 7, (height, width, 3))
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def save(image, path, **options):
    """Write a picture, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def make_tree(folder, per_class=10, classes=CLASSES, first=0, suffix="png", **size):
    """A folder per class with so many photographs each; the seeds go on from `first`."""
    for place, name in enumerate(classes):
        for number in range(per_class):
            seed = first + place * per_class + number
            save(photo(seed, **size), folder / name / f"{number:03}.{suffix}")
    return folder


def make_splits(folder, train=10, test=4, test_name="test", **options):
    """The same under train/ and test/."""
    make_tree(folder / "train", train, **options)
    make_tree(folder / test_name, test, first=5000, **options)
    return folder


def open_all(opened):
    """The whole data set that was opened."""
    source = opened.source
    return source.make(source.train_size, source.test_size)


def kinds_found(findings):
    """What was found, by path: the kinds."""
    found = {}
    for kind, each in findings.found.items():
        for finding in each:
            found.setdefault(finding.path, []).append(kind)
    return found
