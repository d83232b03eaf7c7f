"""The networks of an experiment's winner: which they are, and what is done with them."""

import json
import os
import shutil
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from report_fakes import make_labels, right_in
from store_fakes import IMAGES, flipped, make_store, make_trials

import normscope
from normscope.errors import RunError, UsageError
from normscope.experiment import Design, Experiment
from normscope.models import MODELS
from normscope.models.exported import FORMATS, Format
from normscope.norms import NORMS
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.winner import of_seed, winner_in

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = {
    "train_limit": 64,
    "test_limit": 40,
    "recipe": {"base": "quick", "epochs": 1, "batch_size": 16},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of two norms with two seeds each."""
    out = tmp_path_factory.mktemp("trained") / "run"
    compare(Experiment(norms=("bn", "gn"), seeds=2, **SMALL), out=out, workers=1,
            observer=Observer())  # fmt: skip
    return out


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def normalized(dataset, count=None):
    """The test images as networks take them."""
    x_NHWC = dataset.test_images[:count] / np.float32(255)
    x_NHWC = (x_NHWC - np.float32(dataset.mean)) / np.float32(dataset.std)
    return torch.from_numpy(x_NHWC.transpose(0, 3, 1, 2).copy())


# -- which networks --------------------------------------------------------------------------------


def kept(folder, percents, design=Design()):  # noqa: B008
    """A made-up folder with these accuracies of each seed, by norm."""
    norms, seeds = tuple(percents), len(next(iter(percents.values())))
    store = make_store(folder, norms, seeds, design, trials=False)
    for result in make_trials(store.experiment):
        percent = percents[result.trial.norm][result.trial.seed]
        store.add(right_in(result, make_labels(IMAGES), percent))
    return store


def test_it_is_the_norm_that_is_recommended(tmp_path):
    store = kept(tmp_path / "run", {"bn": (50, 51.7, 50, 48.3), "gn": (80, 81.7, 81.7, 80)})
    winner = winner_in(store, None)
    assert winner.norm == "gn"
    assert winner.why.startswith("Use GroupNorm (4 groups): 80.")
    assert [each.trial.seed for each in winner.results] == [0, 1, 2, 3]


def test_of_several_it_is_the_one_with_the_highest_mean(tmp_path):
    percents = {"bn": (50, 51.7, 50, 48.3), "gn": (51.7, 51.7, 50, 50)}
    winner = winner_in(kept(tmp_path / "run", percents, Design(margin_points=20)), None)
    assert winner.norm == "gn"
    assert winner.why.startswith("Use BatchNorm or GroupNorm (4 groups):")
    mean = np.mean([31, 31, 30, 30]) / 60  # of 60 images
    assert winner.why.endswith(
        f"gn is taken, whose mean test accuracy is the highest of these: {100 * mean:.1f} %."
    )


def test_where_nothing_is_decided_it_is_said(tmp_path):
    winner = winner_in(
        kept(tmp_path / "run", {"bn": (50, 60), "gn": (40, 65), "ln": (65, 55)}), None
    )
    assert winner.norm == "ln"
    assert winner.why.startswith("No recommendation: ")
    assert winner.why.endswith("ln is taken, whose mean test accuracy is the highest: 60.0 %.")


def test_a_norm_and_a_seed_are_asked_for_by_name(tmp_path):
    store = kept(tmp_path / "run", {"bn": (50, 60), "gn": (40, 65)})
    winner = winner_in(store, "BatchNorm2d")
    assert (winner.norm, winner.why) == ("bn", "")
    assert of_seed(winner, None).trial.seed == 0, "the first, and not the best"
    assert of_seed(winner, 1).trial.seed == 1
    with pytest.raises(UsageError, match="no weights of bn with seed 7, but with 0, 1"):
        of_seed(winner, 7)
    with pytest.raises(UsageError, match="has no norm 'ln'; it has bn, gn"):
        winner_in(store, "ln")


def test_seeds_whose_weights_are_gone_are_passed_over(copied):
    first, second = (r.trial for r in Store(copied).records() if r.trial.norm == "bn")
    (copied / "trials" / first.id / "weights.safetensors").unlink()
    assert of_seed(winner_in(Store(copied), "bn"), None).trial == second
    (copied / "trials" / second.id / "weights.safetensors").unlink()
    with pytest.raises(
        RunError, match=r"no weights of a network with bn .* out of trials/ and run"
    ):
        normscope.load_model(copied, "bn")


def test_what_holds_no_finished_trial_has_no_winner(tmp_path):
    store = make_store(tmp_path / "run", trials=False)
    with pytest.raises(RunError, match="no trial of the experiment finished"):
        winner_in(store, None)
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        normscope.load_model(tmp_path / "nothing")


# -- a module --------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_a_network_answers_as_it_did_at_the_end_of_its_training(folder, norm):
    dataset = normscope.load_dataset("shapes", test_limit=40)
    frame = Comparison.read(folder).predictions(norm, seed=1)
    network = normscope.load_model(folder, norm, seed=1)
    assert not network.training
    with torch.no_grad():
        logits = network(normalized(dataset))
    found = logits.argmax(dim=1).tolist()
    assert [dataset.class_names[k] for k in found] == frame.predicted.tolist()
    shares = logits.softmax(dim=1).max(dim=1).values
    np.testing.assert_allclose(shares, frame.confidence, atol=1e-3)  # of logits in float16


def test_predictions_of_a_seed_that_is_not_there_are_refused(folder):
    with pytest.raises(UsageError, match=r"there are no results with seed 9, but with 0, 1$"):
        Comparison.read(folder).predictions(seed=9)


def test_it_needs_no_data_set_and_draws_nothing(copied, tmp_path, monkeypatch):
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    monkeypatch.setattr("normscope.study.trained.load", None)
    before = torch.get_rng_state()
    assert normscope.predict(copied, [tmp_path / "black.png"], "gn").seeds == (0, 1)
    one, other = normscope.load_model(copied, "gn"), normscope.load_model(copied, "gn", 0)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_weights_that_are_damaged_are_refused(copied):
    for path in copied.glob("trials/*/weights.safetensors"):
        flipped(path, np.random.default_rng(0))
    with pytest.raises(RunError, match=r"weights\.safetensors is damaged"):
        normscope.load_model(copied, "bn")


def test_a_norm_whose_training_has_a_length_knows_it(tmp_path):
    out = tmp_path / "run"
    compare(Experiment(norms=("brn", "bn"), seeds=1, **SMALL), out=out, workers=1,
            observer=Observer())  # fmt: skip
    layers = [
        each for each in normscope.load_model(out, "brn").modules() if hasattr(each, "run_steps")
    ]
    assert {each.run_steps for each in layers} == {4}  # 64 images in batches of 16


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(8 * 64, num_classes)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        return self.head(self.drop(x.view(LENGTH, -1)))

def build(num_classes):
    return Net(num_classes)
"""
SCALING = """
from torch import nn

class Scaling(nn.BatchNorm2d):
    pass
"""


@pytest.mark.parametrize("length", ["x.shape[0]", "len(x)"])
def test_a_network_and_a_norm_of_the_users_own(tmp_path, monkeypatch, length):
    """The copies in the folder are enough. Of `len(x)` a program would know no other."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET.replace("LENGTH", length), encoding="utf-8")
    (tmp_path / "own.py").write_text(SCALING, encoding="utf-8")
    experiment = Experiment(model="net.py:build", norms=("bn", "own.py:Scaling"), seeds=1, **SMALL)
    compare(experiment, out="run", workers=1, observer=Observer())
    os.unlink("net.py")
    os.unlink("own.py")
    dataset = normscope.load_dataset("shapes", test_limit=40)
    with torch.no_grad():
        found = normscope.load_model("run", "Scaling")(normalized(dataset)).argmax(dim=1)
    frame = Comparison.read("run").predictions("Scaling")
    assert frame.predicted.tolist() == [dataset.class_names[k] for k in found]
    if length == "len(x)":
        with pytest.raises(RunError, match=r"net.build with Scaling cannot be exported .*shape\[0"):
            normscope.export("run", "Scaling")
        assert not [*tmp_path.glob("*.onnx")]
    else:
        assert normscope.export("run", "Scaling").difference < 1e-6


NO_SOURCE = (
    r"was defined in a script or notebook, whose source .* does not keep; write it to a file"
)


@pytest.mark.parametrize("is_there", [True, False])
def test_what_only_a_script_knew_is_told_in_a_line(tmp_path, monkeypatch, is_there):
    """In the process that defined it, and in another."""
    with monkeypatch.context() as script:
        script.setitem(NORMS, "mine", lambda num_channels: torch.nn.BatchNorm2d(num_channels))
        script.setitem(MODELS, "net", lambda *arguments: MODELS["s8"](*arguments))
        for out, own in (("norm", {"norms": ("bn", "mine")}), ("model", {"model": "net"})):
            experiment = Experiment(seeds=1, **SMALL, **own)
            compare(experiment, out=tmp_path / out, workers=1, observer=Observer())
        if not is_there:
            script.undo()
        with pytest.raises(UsageError, match=f"^mine {NO_SOURCE}"):
            normscope.load_model(tmp_path / "norm", "mine")
        with pytest.raises(UsageError, match=f"^net {NO_SOURCE}"):
            normscope.load_model(tmp_path / "model")
        assert normscope.load_model(tmp_path / "norm", "bn")


# -- images ----------------------------------------------------------------------------------------


def by_hand(folder, norm, pixels):
    """The mean of the seeds' probabilities of one image uint8 (H, W, 3), and the first of each."""
    dataset = normscope.load_dataset("shapes", test_limit=1)
    x = torch.from_numpy(pixels.copy()).float() / 255 - torch.tensor(dataset.mean)
    x = (x / torch.tensor(dataset.std)).permute(2, 0, 1)[None]
    with torch.no_grad():
        each = [normscope.load_model(folder, norm, s)(x)[0].softmax(0).numpy() for s in (0, 1)]
    mean = np.mean(each, axis=0)
    return dataset.class_names, mean, [int(one.argmax()) for one in each]


def test_an_image_is_classified_by_all_seeds(folder, tmp_path):
    dataset = normscope.load_dataset("shapes", test_limit=40)
    paths = [tmp_path / f"{k}.png" for k in range(8)]
    for path, pixels in zip(paths, dataset.test_images, strict=False):
        Image.fromarray(pixels).save(path)
    predicted = normscope.predict(folder, paths, "bn")
    assert normscope.predict(folder, str(paths[3]), "bn").images == predicted.images[3:4]
    assert (predicted.norm, predicted.why, predicted.seeds) == ("bn", "", (0, 1))
    for path, pixels, found in zip(paths, dataset.test_images, predicted.images, strict=False):
        names, mean, firsts = by_hand(folder, "bn", pixels)
        order = np.argsort(-mean)
        assert found.image == path
        assert [name for name, _ in found.top] == [names[k] for k in order[:3]]
        np.testing.assert_allclose([share for _, share in found.top], mean[order[:3]], atol=1e-6)
        assert found.agreeing == firsts.count(order[0])


def test_images_are_decoded_as_those_of_a_users_own(folder, tmp_path):
    """Turned as its EXIF tag says, without a margin, smaller, over white, of a palette, grey."""
    rng = np.random.default_rng(0)
    square = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    wide = np.concatenate([rng.integers(0, 256, (32, 4, 3), dtype=np.uint8), square,
                           rng.integers(0, 256, (32, 4, 3), dtype=np.uint8)], axis=1)  # fmt: skip
    turned = Image.fromarray(np.rot90(square, 1).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # it is shown a quarter to the right
    clear = np.dstack([np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)])
    grey = Image.fromarray(square[..., 0])
    few = Image.fromarray(square // 64 * 64).quantize(64)
    cases = {
        "wide.png": (Image.fromarray(wide), square, {}),
        "turned.png": (turned, square, {"exif": exif}),
        "clear.png": (Image.fromarray(clear), np.full_like(square, 255), {}),
        "grey.png": (grey, np.repeat(square[..., :1], 3, axis=2), {}),
        "few.gif": (few, np.asarray(few.convert("RGB")), {}),
        "large.png": (Image.fromarray(square).resize((64, 64), Image.Resampling.NEAREST), None, {}),
    }
    for name, (image, _, options) in cases.items():
        image.save(tmp_path / name, **options)
    found = normscope.predict(folder, [tmp_path / name for name in cases], "gn").images
    for (_, pixels, _), one in zip(cases.values(), found, strict=True):
        if pixels is not None:
            names, mean, _ = by_hand(folder, "gn", pixels)
            assert one.top[0] == (names[mean.argmax()], pytest.approx(mean.max(), abs=1e-6))


def test_images_that_cannot_be_read_are_named(folder, tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no image", encoding="utf-8")
    Image.new("RGB", (4, 4)).save(tmp_path / "tiny.png")
    good = tmp_path / "good.png"
    Image.new("RGB", (40, 40)).save(good)
    with pytest.raises(UsageError, match=r"text\.jpg: not an image, or damaged; .* 1 other$"):
        normscope.predict(folder, [good, tmp_path / "text.jpg", tmp_path / "tiny.png"], "bn")
    with pytest.raises(UsageError, match=r"none\.jpg: not an image, .*\(No such file"):
        normscope.predict(folder, [tmp_path / "none.jpg"], "bn")
    with pytest.raises(UsageError, match="has no norm 'ln'"):  # before images are decoded
        normscope.predict(folder, [tmp_path / "none.jpg"], "ln")
    with pytest.raises(UsageError, match="name one or more files of images"):
        normscope.predict(folder, [], "bn")
    monkeypatch.setattr("normscope.data.own.reading.MAX_PIXELS", 1000)
    with pytest.raises(UsageError, match=r"good\.png: larger than 100 megapixels"):
        normscope.predict(folder, [good], "bn")


def test_a_folder_from_before_mean_and_deviation_were_kept_asks_the_data_set(copied, tmp_path):
    image = tmp_path / "some.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image)
    expected = normscope.predict(copied, [image], "bn")
    store = Store(copied)
    labels, models = store.test_labels(), store.models().values()
    without = store.facts().model_copy(update={"mean": None, "std": None})
    store.describe(without, labels, models)
    assert '"mean"' not in (copied / "dataset.json").read_text()
    assert normscope.predict(copied, [image], "bn") == expected


# -- files -----------------------------------------------------------------------------------------


def test_a_file_of_onnx_answers_as_the_network_did(folder, tmp_path):
    """Held against the predictions that the training left, by onnxruntime alone."""
    exported = normscope.export(folder, "bn", 1, out=tmp_path / "my.onnx")
    assert (exported.norm, exported.seed, exported.images) == ("bn", 1, 40)
    assert exported.difference < 1e-6
    session = onnxruntime.InferenceSession(tmp_path / "my.onnx")
    dataset = normscope.load_dataset("shapes", test_limit=40)
    images = dataset.test_images.transpose(0, 3, 1, 2) / np.float32(255)
    (found,) = session.run(None, {"images": images})
    frame = Comparison.read(folder).predictions("bn", 1)
    told = session.get_modelmeta().custom_metadata_map
    names = json.loads(told["class_names"])
    assert [names[k] for k in found.argmax(axis=1)] == frame.predicted.tolist()
    np.testing.assert_allclose(found.max(axis=1), frame.confidence, atol=1e-3)
    assert (told["norm"], told["seed"]) == ("bn", "1")
    assert (told["data_set"], told["model"]) == ("shapes", "s8")
    np.testing.assert_allclose(json.loads(told["mean"]), dataset.mean, rtol=1e-6)
    np.testing.assert_allclose(json.loads(told["std"]), dataset.std, rtol=1e-6)
    assert told["normscope"] == normscope.__version__
    assert [path.name for path in tmp_path.iterdir()] == ["my.onnx"]


def test_other_data_than_it_was_trained_on_are_told_to_be_named(copied, tmp_path, monkeypatch):
    other = normscope.load_dataset("shapes", train_limit=65, test_limit=40)
    monkeypatch.setattr("normscope.study.trained.load", lambda *_: other)
    with pytest.raises(RunError, match=r"come from other shapes data .* with --data-dir$"):
        normscope.export(copied, "bn", out=tmp_path / "bn.onnx")


def test_a_file_that_was_not_named_is_not_replaced(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gn-seed0.pt2").write_text("of another experiment", encoding="utf-8")
    with pytest.raises(UsageError, match=r"^gn-seed0\.pt2 is there already; name another .*--out$"):
        normscope.export(folder, "gn", format="torch")
    assert (tmp_path / "gn-seed0.pt2").read_text() == "of another experiment"
    assert normscope.export(folder, "gn", format="torch", out="gn-seed0.pt2").difference < 1e-6


def test_a_file_of_torch_is_named_after_norm_and_seed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exported = normscope.export(folder, "gn", format="torch")
    assert str(exported.path) == "gn-seed0.pt2"
    extra = {"metadata.json": ""}
    network = torch.export.load("gn-seed0.pt2", extra_files=extra).module()
    dataset = normscope.load_dataset("shapes", test_limit=40)
    images = torch.from_numpy(dataset.test_images.transpose(0, 3, 1, 2) / np.float32(255))
    frame = Comparison.read(folder).predictions("gn", 0)
    names = json.loads(json.loads(extra["metadata.json"])["class_names"])
    found = network(images).argmax(dim=1).tolist()
    assert [names[k] for k in found] == frame.predicted.tolist()


@pytest.mark.parametrize("answer", [2e-5, float("nan")])
def test_a_file_that_answers_otherwise_is_not_written(folder, tmp_path, monkeypatch, answer):
    right = FORMATS["torch"]

    def wrong(content, images):
        found = right.answers(content, images).copy()
        if len(images) > 1:  # the first by itself is right
            found[-1, -1] += answer
        return found

    monkeypatch.setitem(FORMATS, "torch", Format(right.suffix, right.content, wrong))
    with pytest.raises(RunError, match="would answer otherwise than the network of bn-seed0-"):
        normscope.export(folder, "bn", format="torch", out=tmp_path / "bn.pt2")
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_exported_as_asked_is_told_in_a_line(folder, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"unknown format 'pt'; known: onnx, torch"):
        normscope.export(folder, format="pt")
    with pytest.raises(UsageError, match=r"bn\.pt: the name of such a file ends in \.onnx"):
        normscope.export(folder, out=tmp_path / "bn.pt")
    with pytest.raises(RunError, match=r"cannot write .*choose another file with --out"):
        normscope.export(folder, "bn", format="torch", out=tmp_path / "none" / "bn.pt2")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(RunError, match=r'pip install "normscope\[export\]"'):
        normscope.export(folder)
