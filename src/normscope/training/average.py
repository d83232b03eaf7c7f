"""An exponential moving average of a network while it trains."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# torch's type stubs do not know these.
_copy_, _lerp_ = torch._foreach_copy_, torch._foreach_lerp_  # pyright: ignore


class Average:
    """The moving average of a network's parameters and buffers, whole numbers left out.

    It begins as the network after the first step, and moves by 1 - decay of the way to the network
    after every other one. Source: Polyak & Juditsky 1992; as torch.optim.swa_utils.AveragedModel
    with `get_ema_multi_avg_fn` and buffers. Its `values` are changed in place, where a CUDA graph
    knows them; before the first step there are none.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        values = [*model.parameters(), *model.buffers()]
        self._network = [value.detach() for value in values if value.is_floating_point()]
        self.values: list[torch.Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the network."""
        if self.values:
            _lerp_(self.values, self._network, 1 - self.decay)
        else:
            self.values = [value.clone() for value in self._network]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the network is its average, if a step was taken."""
        if not self.values:
            yield
            return
        trained = [value.clone() for value in self._network]
        self.put_in_place()
        try:
            yield
        finally:
            self._put(trained)

    def put_in_place(self) -> None:
        """The network becomes its average, for good."""
        self._put(self.values)

    @torch.no_grad()
    def _put(self, values: list[torch.Tensor]) -> None:
        _copy_(self._network, values)
