"""A function of no arguments, replayed on a GPU as one CUDA graph.

A small network keeps a GPU waiting for its next kernel: launching one takes longer than running
it. A graph launches all kernels of a step at once. Source: torch.cuda.CUDAGraph.
"""

import gc
from collections.abc import Callable, Sequence

import torch

WARM_UP = 3  # calls before the capture: libraries set themselves up in the first ones


class GraphRoom:
    """What the graphs of one training share, none of which runs beside another.

    A stream, on which they warm up and are captured, and a pool of memory: nothing in it outlives a
    call. Both are None without a GPU.
    """

    def __init__(self, device: torch.device):
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if on_gpu else None
        self.pool = torch.cuda.graph_pool_handle() if on_gpu else None


class Graphed:
    """Calls `function`, whose inputs and outputs are tensors at fixed places.

    On a CUDA device the first `WARM_UP` calls run it as it is, the next captures it, and from then
    on it is replayed. Random numbers go on from `generators` (CUDA generators) as if every call had
    run the function. On a CPU every call runs it.
    """

    def __init__(
        self,
        function: Callable[[], None],
        room: GraphRoom,
        generators: Sequence[torch.Generator],
    ):
        self.function = function
        self.room = room
        self.generators = generators
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self.room.stream is None:
            self.function()
            return
        self.calls += 1
        if self.calls <= WARM_UP:
            self._warm_up(self.room.stream)
            return
        if self.graph is None:
            self.graph = self._captured(self.room.stream)
        self.graph.replay()

    def close(self) -> None:
        """Give the graph's memory back."""
        if self.graph is not None:
            self.graph.reset()
            self.graph = None

    def _warm_up(self, stream: torch.cuda.Stream) -> None:
        """On another stream than the usual one, as a capture demands of the calls before it."""
        current = torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            self.function()
        current.wait_stream(stream)

    def _captured(self, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        for generator in self.generators:
            graph.register_generator_state(generator)
        # An older graph that is collected in the middle of a capture would invalidate it.
        gc.collect()
        gc.disable()
        try:
            with torch.cuda.graph(graph, pool=self.room.pool, stream=stream):
                self.function()
        finally:
            gc.enable()
            torch.cuda.set_stream(current)  # a capture that fails leaves its own in place
        return graph
