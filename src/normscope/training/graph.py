"""A function of no arguments, replayed on a GPU as one CUDA graph.

A small network keeps a GPU waiting for its next kernel: launching one takes longer than running
it. A graph launches all kernels of a step at once. Source: torch.cuda.CUDAGraph.
"""

import gc
from collections.abc import Callable, Sequence

import torch

WARM_UP = 3  # calls before the capture: libraries set themselves up in the first ones


class Graphed:
    """Calls `function`, whose inputs and outputs are tensors at fixed places.

    On a CUDA device the first `WARM_UP` calls run it as it is, the next captures it, and from then
    on it is replayed. Random numbers go on from `generators` (CUDA generators) as if every call had
    run the function. On a CPU every call runs it.
    """

    def __init__(
        self,
        function: Callable[[], None],
        device: torch.device,
        generators: Sequence[torch.Generator],
    ):
        self.function = function
        self.device = device
        self.generators = generators
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self.device.type != "cuda":
            self.function()
            return
        self.calls += 1
        if self.calls <= WARM_UP:
            self._run_on_side_stream()
            return
        if self.graph is None:
            self.graph = self._captured()
        self.graph.replay()

    def close(self) -> None:
        """Give the graph's memory back."""
        if self.graph is not None:
            self.graph.reset()
            self.graph = None

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        # An older graph that is collected in the middle of a capture would invalidate it.
        gc.collect()
        gc.disable()
        try:
            with torch.cuda.graph(graph):
                self.function()
        finally:
            gc.enable()
        return graph

    def _run_on_side_stream(self) -> None:
        """As a capture demands of the calls before it."""
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            self.function()
        current.wait_stream(side)
