"""What each norm of an experiment costs, as measured side by side."""

from typing import Annotated

from pydantic import Field

from normscope.experiment.frozen import Frozen
from normscope.experiment.trial import Environment


class Spread(Frozen):
    """Milliseconds: the median of several rounds, the lowest and the highest."""

    median: float
    low: float
    high: float


class Predictors(Frozen):
    """What untrained networks say of their training, by layer in the order they run: convolutions
    and linear layers.

    `similarity` is the mean cosine of the inputs of two samples, of all layers but the first, which
    sees the images. `gradient_norms` are the Euclidean norms of the gradients of the weights. Both
    are means over so many `seeds`.
    """

    similarity: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    seeds: int

    @property
    def last_similarity(self) -> float:
        """Of what the classifier sees."""
        return self.similarity[-1]

    @property
    def first_gradient_norm(self) -> float:
        return self.gradient_norms[0]


class NormCost(Frozen):
    """What one norm costs in a model of so many `parameters` and `multiply_adds` per image.

    `step_ms` is a training step on one batch. `inference_ms` is the answer to so many images at
    once, by their number, and `folded_ms` the same with the norm folded into the convolutions
    beside it; None if that cannot be done. `peak_memory_mib` is what a step needs beside weights
    and data; None where it cannot be measured. `predictors` is None where the loss of the
    untrained network is not finite, or it has but one layer with weights.
    """

    norm: str
    parameters: int
    multiply_adds: int
    step_ms: Spread
    inference_ms: dict[int, Spread]
    folded_ms: dict[int, Spread] | None
    peak_memory_mib: float | None
    predictors: Predictors | None


class Costs(Frozen):
    """What the norms of an experiment cost, measured in `rounds` of alternating order.

    `batch_size` is that of the training step.
    """

    norms: Annotated[tuple[NormCost, ...], Field(min_length=1)]
    batch_size: int
    rounds: int
    environment: Environment
