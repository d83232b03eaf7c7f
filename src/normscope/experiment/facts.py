"""What a report says of a data set and of a model; true when neither is at hand."""

from typing import Any

import numpy as np
from pydantic import model_serializer

from normscope.experiment.frozen import Frozen


class DatasetFacts(Frozen):
    """What a report says of a data set; it stays true when the data set itself is not at hand.

    `train_counts`, `test_counts`: images per class, in the order of `class_names`. `mean`, `std`:
    what a network sees of a pixel in [0, 1] is ``(pixel - mean) / std``, per channel; of folds each
    has its own. All are None in folders that were written before they were kept.
    """

    name: str
    description: str
    synthetic: bool
    class_names: tuple[str, ...]
    train_size: int
    test_size: int
    image_shape: tuple[int, int, int]
    checksums: dict[str, str]
    train_counts: tuple[int, ...] | None = None
    test_counts: tuple[int, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    @model_serializer(mode="wrap")
    def _without_what_was_not_kept(self, write: Any) -> dict[str, Any]:
        """Folders were written before classes were counted, or mean and deviation kept."""
        return {key: value for key, value in write(self).items() if value is not None}

    @property
    def chance_percent(self) -> float:
        """The test accuracy of guessing, which is to answer always with the largest training class.

        It is the share of that class among the test images, and the mean share where several
        classes are the largest. So it is 100 % / classes where the training classes are equally
        frequent; that is also the answer where they were not counted.
        """
        if self.train_counts is None or self.test_counts is None:
            return 100 / len(self.class_names)
        largest = max(self.train_counts)
        both = zip(self.train_counts, self.test_counts, strict=True)
        tested = [test for train, test in both if train == largest]
        return 100 * sum(tested) / (len(tested) * sum(self.test_counts))


class LayerSummary(Frozen):
    """One layer: its type, output shape without the batch, trainable parameters, multiply-adds.

    `receptive_field` is the side, in pixels, of what one value of its output sees of the image,
    without the statistics of norms; None where that is not known.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: int | None = None


class ModelSummary(Frozen):
    """The layers of a model in the order they run, for one image of `input_shape` (C, H, W)."""

    model: str
    norm: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    def size_mib(self) -> dict[str, float]:
        """Estimated memory for one image in float32, in MiB, counted as torchsummary counts it.

        Every layer's output is kept once forward and once backward.
        """
        floats_per_mib = 2**20 / 4
        activations = sum(int(np.prod(layer.output_shape)) for layer in self.layers)
        sizes = {
            "input": int(np.prod(self.input_shape)) / floats_per_mib,
            "forward and backward": 2 * activations / floats_per_mib,
            "parameters": self.parameters / floats_per_mib,
        }
        return {**sizes, "total": sum(sizes.values())}
