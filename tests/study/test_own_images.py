"""Images of a user's own in experiments: found by path, in ids by content, from start to report."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from normscope.data import DATASETS
from normscope.errors import UsageError
from normscope.experiment import Experiment
from normscope.observers import Observer
from normscope.store import Store
from normscope.study import own_images
from normscope.study.checks import check
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.forecast import forecast
from normscope.study.own_images import named
from normscope.study.probe import probe

CLASSES = {"apple": (200, 60, 40), "leaf": (50, 160, 80), "sky": (60, 80, 200)}

NET = """
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.conv, self.norm = nn.Conv2d(8, 16, 3, 2), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(self.stem(x))))
        return self.head(F.adaptive_avg_pool2d(x, 1).view(len(x), -1))

def build(num_classes):
    return Net(num_classes)
"""


def draw_photos(root, of_each):
    """Pictures of something coloured on noise, of many sizes."""
    rng = np.random.default_rng(0)
    for name, color in CLASSES.items():
        (root / name).mkdir(parents=True)
        for number in range(of_each):
            width, height = (int(side) for side in rng.integers(36, 60, 2))
            noise = rng.integers(60, 200, (height, width, 3), dtype=np.uint8)
            image = Image.fromarray(noise)
            x, y, size = (int(v) for v in rng.integers(4, 14, 3))
            box = (x, y, x + 2 * size, y + 2 * size)
            fill = tuple(int(v) for v in np.clip(color + rng.integers(-50, 50, 3), 0, 255))
            shape = ImageDraw.Draw(image)
            (shape.rectangle if name == "leaf" else shape.ellipse)(box, fill=fill)
            image.save(root / name / f"{number}.jpg", quality=85)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("own") / "photos"
    draw_photos(root, 20)
    return root


@pytest.fixture(autouse=True)
def tables(monkeypatch, tmp_path):
    """What is read is kept in a cache of its own, and the tables are put back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sets, opened = dict(DATASETS), dict(own_images.OPENED)
    yield
    for table, before in ((DATASETS, sets), (own_images.OPENED, opened)):
        table.clear()
        table.update(before)


def asked(place, **values):
    recipe = {"base": "small", "epochs": 1, "batch_size": 16}
    base = {"norms": ("bn", "gn"), "seeds": 1, "recipe": recipe, "image_size": 16}
    return Experiment(dataset=str(place), **{**base, **values})


def trial_of(experiment):
    return forecast(check(experiment, out="nowhere")).trials[0]


# -- names and ids ---------------------------------------------------------------------------------


def test_a_folder_is_called_by_its_name_and_its_content_is_in_the_id(photos, tmp_path):
    found = named(asked(photos))
    assert (found.dataset, found.images.home) == ("photos", str(photos))
    assert found.slug.startswith(f"photos-{found.images.fingerprint[:8]}-s8-gap-small")
    trial = trial_of(asked(photos))
    assert (trial.dataset, trial.images) == ("photos", found.images.fingerprint)
    moved = shutil.copytree(photos, tmp_path / "elsewhere" / "photos")
    assert trial_of(asked(moved)).id == trial.id
    mine, other = named(asked(photos)), named(asked(moved))
    assert mine.difference_to(other) == ""  # the same images, at another place
    (moved / "sky" / "0.jpg").unlink()
    assert trial_of(asked(moved)).id != trial.id
    assert trial_of(asked(photos, image_size=24)).id != trial.id


def test_what_is_usual_follows_from_the_images_being_the_users_own(photos):
    experiment = Experiment(dataset=str(photos))
    assert (experiment.model, experiment.recipe.name) == ("s8-gap", "small")


def test_a_name_that_a_data_set_has_is_not_taken_from_it(photos, tmp_path):
    copied = shutil.copytree(photos, tmp_path / "cifar10")
    assert named(asked(copied)).dataset == "cifar10-images"


def test_data_sets_of_other_tools_are_found_by_name(tmp_path, monkeypatch):
    import struct

    root = tmp_path / "data" / "MNIST" / "raw"
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8).tobytes()
        (root / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + pixels
        )
        labels = bytes(i % 10 for i in range(count))
        (root / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
    monkeypatch.setenv("NORMSCOPE_DATA", str(tmp_path / "data"))
    found = named(Experiment(dataset="mnist"))
    assert (found.dataset, found.images.home, found.recipe.name) == ("mnist", "mnist", "short")
    assert DATASETS["mnist"].image_shape == (28, 28, 3)
    with pytest.raises(UsageError, match="there is no folder SVHN or svhn in"):
        named(Experiment(dataset="svhn"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"dataset": "phots"},
            r"known: shapes, cifar10, cifar100.*, or .*a folder or file of images",
        ),
        ({"dataset": "./phots"}, r"\./phots does not exist"),
        ({"dataset": "shapes", "image_size": 16}, "--image-size is for images of your own"),
        ({"dataset": "shapes", "skip_bad": True}, "--skip-bad is for images of your own"),
    ],
)
def test_what_is_not_there_is_told(values, message):
    with pytest.raises(UsageError, match=message):
        check(Experiment(**values), out="nowhere")


# -- checked ---------------------------------------------------------------------------------------


def test_bad_images_stop_it_or_are_left_out(photos, tmp_path):
    copied = shutil.copytree(photos, tmp_path / "photos")
    (copied / "sky" / "empty.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"sky/empty.jpg: empty files .* --skip-bad leaves"):
        check(asked(copied), out="nowhere")
    without = check(asked(copied, skip_bad=True), out="nowhere").experiment
    assert without.images.fingerprint == named(asked(photos)).images.fingerprint


def test_how_they_are_read_is_told_and_that_they_are_few(photos):
    notices = " ".join(check(asked(photos), out="nowhere").notices)
    assert "48 training and 12 test images in 3 classes" in notices
    assert re.search(r"One of 12 test images is 8\.3 points, more than the margin", notices)
    notices = " ".join(check(asked(photos, folds=5, seeds=5), out="nowhere").notices)
    assert "All images are dealt out into 5 folds" in notices
    for wrong in ("more than the margin", "There is no test set", "48 training and 12 test"):
        assert wrong not in notices


# -- trained ---------------------------------------------------------------------------------------


def test_its_folder_needs_the_same_images_to_go_on_and_none_to_report(photos, tmp_path):
    copied = shutil.copytree(photos, tmp_path / "photos")
    out = tmp_path / "run"
    compare(asked(copied), out=out, workers=1, observer=Observer())
    moved = tmp_path / "moved"
    shutil.move(copied, moved)
    renamed = check(asked(shutil.copytree(moved, tmp_path / "pictures")), out=out)
    assert renamed.experiment.dataset == "photos"  # the same images under another name
    own_images.OPENED.clear()
    DATASETS.pop("photos")
    analysis = Comparison.read(out).analysis
    assert any(caveat.kind == "few test images" for caveat in analysis.caveats)
    where = r"the images of photos are not at .*; say with --data-dir"
    with pytest.raises(UsageError, match=where):
        probe(out, ("dead",))
    assert probe(out, ("dead",), data_dir=moved).trials == 2
    (moved / "sky" / "1.jpg").unlink()
    own_images.OPENED.clear()
    DATASETS.pop("photos")
    with pytest.raises(UsageError, match="holds other images than photos was made of"):
        probe(out, ("dead",), data_dir=moved)
    with pytest.raises(UsageError, match="as it was before its images changed"):
        check(asked(moved.rename(copied)), out=out)


def test_they_are_trained_on_alike_here_and_in_other_processes(photos, tmp_path):
    for name, workers in (("here", 1), ("processes", 2)):
        compare(asked(photos), out=tmp_path / name, workers=workers, observer=Observer())
    here, processes = (
        {r.trial.id: r.status for r in Store(tmp_path / name).records()}
        for name in ("here", "processes")
    )
    assert here == processes
    assert set(here.values()) == {"finished"}


def test_a_new_user_compares_norms_of_an_own_network_on_600_photographs(tmp_path):
    """From the command line, with nothing but the two files and the folder."""
    draw_photos(tmp_path / "photos", 200)
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    command = (
        "compare --model net.py:build --dataset photos/ --image-size 32 --norms bn,gn "
        "--epochs 2 --seeds 2"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "normscope", *command.split()],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = " ".join(ran.stdout.split())
    assert "480 training and 120 test images in 3 classes" in said
    assert "Norm layers of net.build in fused passes: bn 1 of 2, gn 1 of 2" in said
    assert "120 test images cannot resolve the margin of 0.5 points" in said
    (folder,) = (tmp_path / "runs").glob("photos-*")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "net.build" in page
    accuracies = [row.test_accuracy_percent.mean for row in Comparison.read(folder).analysis.norms]
    assert min(accuracies) > 40  # three classes, told apart by their colour
