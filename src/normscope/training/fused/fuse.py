"""Which layers of a network are computed as one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from normscope.models.layers import Dropout
from normscope.norms.by_layer import coefficients_of, from_sums_of
from normscope.training.fused.operation import FusedNorm, NormOfSums

Step = Callable[[torch.Tensor], torch.Tensor]

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Fused(nn.Module):
    """A model that computes what `model` does, for x (N, C, H, W) in float32 or bfloat16 on a CPU.

    Wherever in the model a plain `nn.Sequential` has a norm that `coefficients_of` knows, with a
    ReLU before or after it and a `Dropout` behind, or without them, these are one operation, unless
    the norm has hooks. It goes over the activations twice forward and twice backward, where the
    layers one by one go over them up to a dozen times. A norm that `from_sums_of` knows gets its
    sums from such a pass. Whatever else the model does is left to it. Parameters, buffers, modes
    and dropped elements are the model's own. Raises `TypeError` for another type of x.

    `joined` may put one step in the place of several that follow each other. `steps` are those of
    each sequence.
    """

    def __init__(
        self, model: nn.Module, joined: Callable[[list[Step]], list[Step]] = lambda steps: steps
    ):
        super().__init__()
        self.model = model
        # Of a subclass nobody knows what its forward pass does.
        found = [layers for layers in model.modules() if type(layers) is nn.Sequential]
        self.steps = [joined(steps_of(layers)) for layers in found]
        self._forwards = [
            (layers, partial(_one_by_one, steps))
            for layers, steps in zip(found, self.steps, strict=True)
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self._fused_forwards():
            return self.model(x)

    @contextmanager
    def _fused_forwards(self) -> Iterator[None]:
        """Lend the sequences their fused forward passes for one call of the model."""
        for layers, forward in self._forwards:
            vars(layers)["forward"] = forward
        try:
            yield
        finally:
            for layers, _ in self._forwards:
                del vars(layers)["forward"]


def fused_norms(model: nn.Module) -> int:
    """How many norm layers of a model `Fused` computes in passes of its own."""
    sequences = [layers for layers in model.modules() if type(layers) is nn.Sequential]
    steps = [step for layers in sequences for step in steps_of(layers)]
    return len({step.norm for step in steps if isinstance(step, FusedNorm | NormOfSums)})


def steps_of(layers: nn.Sequential) -> list[Step]:
    """What to call one after the other to compute `layers`."""
    steps: list[Step] = []
    rest = list(layers)
    while rest:
        match rest:
            case [relu, norm, Dropout() as dropout, *_] if _are(relu, norm, dropout):
                steps.append(FusedNorm(norm, dropout, relu_before=True))
                del rest[:3]
            case [norm, relu, Dropout() as dropout, *_] if _are(relu, norm, dropout):
                steps.append(FusedNorm(norm, dropout, relu_after=True))
                del rest[:3]
            case [norm, Dropout() as dropout, *_] if _is_known(norm) and _draws_alone(dropout):
                steps.append(FusedNorm(norm, dropout))
                del rest[:2]
            case [relu, norm, *_] if _is_relu(relu) and _is_known(norm):
                steps.append(FusedNorm(norm, relu_before=True))
                del rest[:2]
            case [norm, relu, *_] if _is_relu(relu) and _is_known(norm):
                steps.append(FusedNorm(norm, relu_after=True))
                del rest[:2]
            case [norm, *_] if _is_known(norm):
                steps.append(FusedNorm(norm))
                del rest[:1]
            case [norm, *_] if from_sums_of(norm):
                steps.append(NormOfSums(norm))
                del rest[:1]
            case [layer, *_]:
                steps.append(layer)
                del rest[:1]
    return steps


def _is_known(norm: nn.Module) -> bool:
    """Whether a norm may be computed otherwise: nobody else waits for it to be called."""
    return coefficients_of(norm) is not None and not is_hooked(norm)


def _are(relu: nn.Module, norm: nn.Module, dropout: nn.Module) -> bool:
    return _is_relu(relu) and _is_known(norm) and _draws_alone(dropout)


def _is_relu(layer: nn.Module) -> bool:
    """Whether it is one; of a subclass nobody knows what it does."""
    return type(layer) is nn.ReLU and not is_hooked(layer)


def _draws_alone(layer: nn.Module) -> bool:
    """Whether it is dropout of one network, and not of a fleet."""
    return type(layer) is Dropout and len(layer.generators) == 1 and not is_hooked(layer)


def is_hooked(layer: nn.Module) -> bool:
    """Whether somebody waits for a layer to be called."""
    return any(hooks for name, hooks in vars(layer).items() if name in HOOKS)


def _one_by_one(steps: list[Step], x: torch.Tensor) -> torch.Tensor:
    for step in steps:
        x = step(x)
    return x
