"""A network in a file answers as it does in torch, for every norm and every model there is."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from normscope.errors import RunError
from normscope.models import PACKAGED_MODELS
from normscope.models.classifier import Classifier, scaled
from normscope.models.exported import FORMATS, program_of
from normscope.models.making import make_network
from normscope.norms import PACKAGED_NORMS, asked
from normscope.training.seeds import generator

SHAPE = (3, 32, 32)
SCALE = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
FOLDED = ("bn", "ghost-bn", "brn", "bn-center", "bn-scale")


@pytest.fixture(scope="module")
def pixels(shapes):
    return shapes.test_images[:7]


def used(network, shapes):
    """A classifier whose running statistics are those of images, and no weight what it began as.

    Its logits have an sd of 1/2 over the images, so that probabilities show any change of them.
    """
    rng = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if hasattr(layer, "generator"):
            layer.generator = rng
        if hasattr(layer, "momentum"):
            layer.momentum = 0.9
    classifier = Classifier(network, *SCALE)
    images = torch.from_numpy(scaled(shapes.train_images[:32]))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=rng))
        for _ in range(2):
            classifier.train()(images)
        logits = network.eval()(classifier.normalized(images))
    classifier.network = nn.Sequential(network, Spread(logits)).eval()
    return classifier


class Spread(nn.Module):
    """Logits less their mean over images, over twice their deviation."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("mean", logits.mean(dim=0))
        self.register_buffer("sd", logits.std(dim=0))

    def forward(self, logits):
        return (logits - self.mean) / (2 * self.sd)


def of_norm(norm):
    """Three convolutions with the norm between them; `in` would leave nothing of a whole map."""
    make = asked(norm)
    conv = make.convolution or nn.Conv2d
    activation = nn.Identity if PACKAGED_NORMS[norm].replaces_activation else nn.ReLU
    torch.manual_seed(0)
    return nn.Sequential(
        conv(3, 8, 3, stride=2, bias=False), activation(), make(8), nn.Dropout(0.1),
        conv(8, 8, 3, padding=1, bias=False), activation(), make(8), nn.AvgPool2d(5),
        nn.Conv2d(8, 5, 3), nn.Flatten(),
    )  # fmt: skip


def of_model(model):
    return make_network(model, "bn", 5, generator(0, "init"), generator(0, "dropout")).network


def largest_difference(classifier, kind, pixels):
    """Between the file's answers and the network's, for several numbers of images."""
    expected = classifier.answers(pixels)
    assert expected.std(axis=0).max() > 0.05, "they depend on the image"
    content = FORMATS[kind].content(program_of(classifier, SHAPE), {"norm": "this"})
    found = [FORMATS[kind].answers(content, scaled(pixels[:n])) for n in (1, 2, 7)]
    return max(np.abs(each - expected[: len(each)]).max() for each in found)


@pytest.mark.parametrize("norm", PACKAGED_NORMS)
def test_every_norm_answers_in_onnx_as_in_torch(norm, shapes, pixels):
    assert largest_difference(used(of_norm(norm), shapes), "onnx", pixels) < 1e-5


@pytest.mark.parametrize("model", PACKAGED_MODELS)
def test_every_model_answers_in_onnx_as_in_torch(model, shapes, pixels):
    assert largest_difference(used(of_model(model), shapes), "onnx", pixels) < 1e-5


@pytest.mark.parametrize("norm", ["bn", "gn", "iternorm", "switch"])
def test_a_norm_answers_as_before_in_a_program_of_torch(norm, shapes, pixels):
    assert largest_difference(used(of_norm(norm), shapes), "torch", pixels) < 1e-5


@pytest.mark.parametrize("norm", FOLDED)
def test_norms_that_are_fixed_are_gone(norm, shapes):
    """Convolutions are left, and what one of them adds along the border."""
    program = program_of(used(of_norm(norm), shapes), SHAPE)
    called = [str(each.target) for each in program.graph.nodes if each.op == "call_function"]
    assert called.count("aten.conv2d.default") == 3
    assert not any("sqrt" in name or "norm" in name for name in called)


def test_a_file_holds_nothing_of_this_machine_and_no_more_than_its_network(shapes):
    program = program_of(used(of_norm("bn"), shapes), SHAPE)
    parameters = 4 * (
        3 * 8 * 9 + 8 * 8 * 9 + 8 * 15 * 15 + 8 * 5
    )  # and what is added along the border
    for kind in FORMATS.values():
        content = kind.content(program, {})
        assert b"normscope/models" not in content
        assert __file__.encode() not in content
        assert len(content) < parameters + 60_000


def test_the_metadata_and_the_input_of_a_file_of_onnx(shapes):
    program = program_of(used(of_norm("bn"), shapes), SHAPE)
    content = FORMATS["onnx"].content(program, {"class_names": '["a", "b"]'})
    onnx.checker.check_model(onnx.load_from_string(content))
    session = onnxruntime.InferenceSession(content)
    assert session.get_modelmeta().custom_metadata_map["class_names"] == '["a", "b"]'
    (given,), (answered,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == (
        "images", "tensor(float)", ["batch", *SHAPE],
    )  # fmt: skip
    assert (answered.name, answered.type) == ("probabilities", "tensor(float)")


WITHOUT_NORMSCOPE = """
import sys
sys.modules["normscope"] = None  # an import of it fails
import json, numpy, torch
extra = {"metadata.json": ""}
network = torch.export.load(sys.argv[1], extra_files=extra).module()
images = torch.from_numpy(numpy.load(sys.argv[2]))
print(json.dumps([json.loads(extra["metadata.json"]), network(images).tolist()]))
"""


def test_a_file_of_torch_needs_no_normscope(tmp_path, shapes, pixels):
    classifier = used(of_norm("bn"), shapes)
    expected = classifier.answers(pixels)
    content = FORMATS["torch"].content(program_of(classifier, SHAPE), {"norm": "bn"})
    (tmp_path / "bn.pt2").write_bytes(content)
    np.save(tmp_path / "images.npy", scaled(pixels))
    command = [sys.executable, "-W", "error", "-c", WITHOUT_NORMSCOPE, "bn.pt2", "images.npy"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    metadata, found = json.loads(ran.stdout)
    assert metadata == {"norm": "bn"}
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_probabilities_are_the_softmax_of_normalized_pixels():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
    found = Classifier(network, *SCALE).answers(np.array([[[[255, 51, 0]]]], np.uint8))
    red, green = (1 - 0.4) / 0.2, (0.2 - 0.5) / 0.25
    expected = np.exp([red, green]) / np.exp([red, green]).sum()
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_without_onnx_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RunError, match=r'pip install "normscope\[export\]"'):
        FORMATS["onnx"].check()
    FORMATS["torch"].check()


def test_images_are_scaled_by_the_part(monkeypatch):
    """As float32 they take four times the memory, so never all of them do at once."""
    lengths = []

    def counted(images_NHWC):
        lengths.append(len(images_NHWC))
        return scaled(images_NHWC)

    monkeypatch.setattr("normscope.models.classifier.scaled", counted)
    images = np.random.default_rng(0).integers(0, 256, (150, 2, 2, 3), dtype=np.uint8)
    found = Classifier(nn.Flatten(), *SCALE).answers(images)
    assert lengths == [64, 64, 22]
    x_NHWC = (images / 255 - SCALE[0]) / SCALE[1]
    shares = np.exp(x_NHWC.transpose(0, 3, 1, 2).reshape(150, 12))
    np.testing.assert_allclose(found, shares / shares.sum(axis=1, keepdims=True), rtol=1e-5)
