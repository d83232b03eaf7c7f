"""The commands that put an experiment's trained networks to use."""

import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from normscope.data import load_dataset

SMALL = [
    *("--norms", "bn,gn", "--seeds", "2", "--epochs", "1", "--train-limit", "64"),
    *("--test-limit", "40", "--set", "batch_size=16", "--workers", "1", "--out", "run"),
]


@pytest.fixture
def trained(normscope, undrawn, tmp_path):
    """A folder ``run``, and a picture."""
    ran = normscope("compare", *SMALL)
    assert ran.returncode == 0, ran.stderr
    pixels = load_dataset("shapes", test_limit=1).test_images[0]
    Image.fromarray(pixels).resize((90, 60)).save(tmp_path / "my.png")


@pytest.mark.usefixtures("trained")
def test_an_image_is_classified_and_a_network_taken_away(normscope, tmp_path):
    ran = normscope("predict", "run", "my.png", tmp_path / "my.png", "--norm", "gn")
    assert ran.returncode == 0, ran.stderr
    first, *lines = ran.stdout.splitlines()
    assert first == "The networks of gn, 2 seeds:"
    asked = json.loads(normscope("predict", "run", "my.png", "--norm", "gn", "--json").stdout)
    assert (asked["norm"], asked["why"], asked["seeds"]) == ("gn", "", [0, 1])
    (image,) = asked["images"]
    (best, *_) = image["top"]
    assert lines[0].startswith(f"  my.png: {best['class']} {100 * best['probability']:.1f} %, ")
    assert f"{image['agreeing']} of 2 seeds say {best['class']}" in " ".join(ran.stdout.split())
    exported = normscope("export", "run", "--norm", "gn", "--seed", "1")
    assert exported.returncode == 0, exported.stderr
    told = " ".join(exported.stdout.split())
    assert told.startswith("gn, seed 1: on 40 test images the file's probabilities are those of")
    assert told.endswith("File: gn-seed1.onnx")
    answer = onnxruntime.InferenceSession(tmp_path / "gn-seed1.onnx").run(
        None, {"images": np.zeros((5, 3, 32, 32), np.float32)}
    )
    assert answer[0].shape == (5, 10)
    asked = json.loads(normscope("export", "run", "--format", "torch", "--json").stdout)
    assert asked["path"] == f"{asked['norm']}-seed0.pt2"
    assert asked["why"].startswith(("Use ", "No recommendation: "))
    assert asked["difference"] < 1e-5


@pytest.mark.usefixtures("trained")
def test_what_cannot_be_done_is_told_in_a_line(normscope, tmp_path):
    (tmp_path / "evil\x1b[31m.png").write_text("no image", encoding="utf-8")
    for arguments, message in (
        (["predict", "run", "evil\x1b[31m.png"], r"evil\x1b[31m.png: not an image, or damaged"),
        (["predict", "run", "my.png", "--norm", "ln"], "run has no norm 'ln'; it has bn, gn"),
        (["predict", "nothing", "my.png"], "nothing holds no normscope experiment"),
        (["export", "run", "--norm", "bn", "--seed", "9"], "no weights of bn with seed 9"),
        (["export", "run", "--format", "tflite"], "unknown format 'tflite'; known: onnx, torch"),
        (["export", "run", "--out", "my.pt2"], "the name of such a file ends in .onnx"),
    ):
        ran = normscope(*arguments)
        assert ran.returncode == 2
        assert message in ran.stderr
        assert ran.stderr.count("\n") == 1
