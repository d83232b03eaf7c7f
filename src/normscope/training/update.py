"""The update of each optimizer in operations whose every number lives on the device.

They compute what torch's optimizers do, in a form that a CUDA graph can replay: what changes from
step to step is looked up in tables by a count of steps that is itself on the device. Each operation
is one kernel for all parameters; torch's own optimizers are built of the same.
"""

import math
from collections.abc import Sequence

import torch

from normscope.experiment import Recipe
from normscope.training.schedule import BETA2, is_penalized

EPS = 1e-8  # AdamW's, torch's default

# torch's type stubs do not know these.
_add, _add_ = torch._foreach_add, torch._foreach_add_  # pyright: ignore
_multiply, _multiply_ = torch._foreach_mul, torch._foreach_mul_  # pyright: ignore
_subtract_, _divide = torch._foreach_sub_, torch._foreach_div  # pyright: ignore
_add_product_, _root = torch._foreach_addcmul_, torch._foreach_sqrt  # pyright: ignore

Tensors = list[torch.Tensor]


class SgdUpdate:
    """v = momentum * v + g and parameter -= rate * v, where g is gradient + decay * parameter.

    With Nesterov's momentum, parameter -= rate * (g + momentum * v). Source: torch.optim.SGD.
    """

    def __init__(
        self, parameters: Tensors, recipe: Recipe, rates: list[float], momenta: list[float]
    ):
        self.parameters, self.recipe = parameters, recipe
        self.decays = [is_penalized(p, recipe) for p in parameters]
        self.velocities = [torch.zeros_like(p) for p in parameters]
        self.rates, self.momenta = _table(rates, parameters), _table(momenta, parameters)

    @property
    def memory(self) -> Tensors:
        """What it remembers of the steps before, changed in place."""
        return self.velocities

    def __call__(self, gradients: Tensors, count: torch.Tensor) -> None:
        """Take step number `count`, int64, counted from 0."""
        momentum = self.momenta.take(count)
        gradients = self._with_decay(gradients)
        _multiply_(self.velocities, momentum)
        _add_(self.velocities, gradients)
        moves = self.velocities
        if self.recipe.optimizer == "sgd-nesterov":
            moves = _add(gradients, _multiply(self.velocities, momentum))
        _subtract_(self.parameters, _multiply(moves, self.rates.take(count)))

    def _with_decay(self, gradients: Tensors) -> Tensors:
        if not self.recipe.weight_decay:
            return gradients
        parameters = _those(self.parameters, self.decays)
        moved = iter(
            _add(_those(gradients, self.decays), parameters, alpha=self.recipe.weight_decay)
        )
        return [
            next(moved) if decays else gradient
            for gradient, decays in zip(gradients, self.decays, strict=True)
        ]


class AdamWUpdate:
    """parameter -= rate * (decay * parameter + m' / (sqrt(v') + EPS)).

    m and v are moving averages of the gradient and of its square, with momentum and `BETA2`; in
    step t, counted from 1, m' = m / (1 - momentum^t) and v' = v / (1 - BETA2^t). Source:
    Loshchilov & Hutter 2019, arXiv 1711.05101; torch.optim.AdamW.
    """

    def __init__(
        self, parameters: Tensors, recipe: Recipe, rates: list[float], momenta: list[float]
    ):
        self.parameters = parameters
        self.decaying = _those(parameters, [is_penalized(p, recipe) for p in parameters])
        self.means = [torch.zeros_like(p) for p in parameters]
        self.squares = [torch.zeros_like(p) for p in parameters]
        steps = list(zip(rates, momenta, range(1, len(rates) + 1), strict=True))
        self.momenta = _table(momenta, parameters)
        self.remains = _table([1 - rate * recipe.weight_decay for rate in rates], parameters)
        self.scales = _table([rate / (1 - beta1**t) for rate, beta1, t in steps], parameters)
        self.roots = _table([1 / math.sqrt(1 - BETA2**t) for _, _, t in steps], parameters)

    @property
    def memory(self) -> Tensors:
        """What it remembers of the steps before, changed in place."""
        return [*self.means, *self.squares]

    def __call__(self, gradients: Tensors, count: torch.Tensor) -> None:
        """Take step number `count`, int64, counted from 0."""
        momentum = self.momenta.take(count)
        _multiply_(self.decaying, self.remains.take(count))
        _multiply_(self.means, momentum)
        _add_(self.means, _multiply(gradients, 1 - momentum))
        _multiply_(self.squares, BETA2)
        _add_product_(self.squares, gradients, gradients, 1 - BETA2)
        roots = _root(self.squares)
        _multiply_(roots, self.roots.take(count))
        _add_(roots, EPS)
        _subtract_(self.parameters, _multiply(_divide(self.means, roots), self.scales.take(count)))


UPDATES = {"sgd": SgdUpdate, "sgd-nesterov": SgdUpdate, "adamw": AdamWUpdate}


def _table(values: list[float], like: Tensors) -> torch.Tensor:
    """A value for each step, in the type and on the device of the parameters."""
    return torch.tensor(values, dtype=like[0].dtype, device=like[0].device)


def _those(tensors: Tensors, chosen: Sequence[bool]) -> Tensors:
    return [tensor for tensor, is_chosen in zip(tensors, chosen, strict=True) if is_chosen]
