"""A classifier as a program of its own, in a file of ONNX or of torch: the table `FORMATS`.

The only file that imports onnxruntime.
"""

import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR, getLogger
from types import ModuleType

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from normscope.errors import RunError
from normscope.models.classifier import Classifier
from normscope.models.folding import fold_norms
from normscope.models.own import lending_of

INPUT, OUTPUT = "images", "probabilities"
METADATA = "metadata.json"  # what it is called in a file of torch's
OPSET = 18  # of ONNX: the least that torch writes by itself


@dataclass(frozen=True)
class Format:
    """`content` makes the bytes of a file, with metadata by name, and `answers` runs such bytes.

    Images are float32 (N, 3, H, W) in [0, 1], and answers are probabilities, float32 (N, classes).
    `check` raises `RunError` if what it takes is not installed.
    """

    suffix: str
    content: Callable[[ExportedProgram, Mapping[str, str]], bytes]
    answers: Callable[[bytes, np.ndarray], np.ndarray]
    check: Callable[[], object] = lambda: None


def program_of(classifier: Classifier, shape: tuple[int, int, int]) -> ExportedProgram:
    """A classifier in evaluation mode, for any number of images, as operations of torch alone.

    Norms that are fixed maps there are folded into the convolutions beside them. The classifier is
    used up. `shape`: of one image, (C, H, W). What torch raises of a network that it cannot take
    apart is open-ended.
    """
    if lending := lending_of(classifier.network):
        lending.end()
    images = torch.zeros(2, *shape)  # the number 1 torch would take for fixed
    _let_tensors_stand_alone(classifier)  # or a `view` of a map may fail
    folded = fold_norms(classifier.network, classifier.normalized(images[:1]))
    if folded is not None:
        classifier.network = folded
    _let_tensors_stand_alone(classifier)  # of which folding leaves views
    classifier.eval().requires_grad_(False)
    with torch.no_grad():
        batch = {0: torch.export.Dim("batch")}
        program = torch.export.export(classifier, (images,), dynamic_shapes=(batch,))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    return program


def _let_tensors_stand_alone(network: nn.Module) -> None:
    """Give each tensor memory of its own, in torch's usual layout: files hold memory as it lies."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)


def _onnx_content(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    with _exporter_hushed():
        made = torch.onnx.export(
            program, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, dynamo=True,
            dynamic_shapes=({0: "batch"},), verbose=False,
        )  # fmt: skip
    assert made is not None  # which it is where a file is named
    made.model.metadata_props.update(metadata)
    return made.model_proto.SerializeToString()


@contextmanager
def _exporter_hushed() -> Iterator[None]:
    """torch's exporter uses what torch calls deprecated, and tells of each absent torchvision."""
    log = getLogger("torch.onnx._internal.exporter._registration")
    before = log.level
    log.setLevel(ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.setLevel(before)


def _onnx_answers(content: bytes, images_NCHW: np.ndarray) -> np.ndarray:
    session = _onnxruntime().InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {INPUT: images_NCHW})[0]


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - by which torch writes ONNX
    except ImportError as error:
        raise RunError(
            "a file of ONNX needs onnx, onnxscript and onnxruntime: "
            'pip install "normscope[export]"; --format torch needs nothing more'
        ) from error
    return onnxruntime


def _torch_content(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={METADATA: json.dumps(dict(metadata), indent=2)})
    return file.getvalue()


@torch.no_grad()
def _torch_answers(content: bytes, images_NCHW: np.ndarray) -> np.ndarray:
    network = torch.export.load(io.BytesIO(content)).module()
    return network(torch.from_numpy(images_NCHW)).numpy()


FORMATS = {
    "onnx": Format(".onnx", _onnx_content, _onnx_answers, _onnxruntime),
    "torch": Format(".pt2", _torch_content, _torch_answers),
}
