"""Networks of a user's own: built from their source, with their norm layers swapped."""

import random
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from normscope.errors import UsageError
from normscope.models.convert import Conversion, convert
from normscope.models.layers import Dropout
from normscope.own import OwnCode

IMPORT_SEED = 0
LENDING = "_normscope_lending"  # of a user's network: the `Lending` that its layers draw through


def converted_network(
    code: OwnCode, norm: str, num_classes: int, init: torch.Generator, dropout: torch.Generator
) -> Conversion:
    """A user's network with `norm` in the place of each of its norm layers.

    All that draws while it is built, from the global states of torch, numpy and Python, follows
    from the seed of `init`, so that networks with other norms start from the same weights. Its
    `nn.Dropout` layers draw from `dropout`, and whatever else draws in a forward pass from a stream
    of its own that follows from that. The global states stay as they were.

    Raises `UsageError` if what is returned is no network or has no norm layer, or as `convert`.
    """
    network = original_network(code, num_classes, init)
    with _global_states_from(init.initial_seed() + 1):  # a norm may draw its first values
        conversion = convert(network, norm)
    if not conversion.swapped and not conversion.kept:
        raise UsageError(
            f"{code.home} has no norm layer that {norm} could take the place of; put "
            "nn.BatchNorm2d where norms belong"
        )
    _with_dropout_from(conversion.module, dropout)
    Lending(dropout).to(conversion.module)
    return conversion


def original_network(code: OwnCode, num_classes: int, init: torch.Generator) -> nn.Module:
    """A user's network as it is, its weights drawn from the seed of `init`."""
    with _global_states_from(IMPORT_SEED):  # what is drawn while its file is imported, once
        make = code.load()
    with _global_states_from(init.initial_seed()), code.modules():
        network = _called(make, num_classes)
    network = getattr(network, "_orig_mod", network)  # of torch.compile: it is trained uncompiled
    if not isinstance(network, nn.Module):
        raise UsageError(f"{code.home} returns a {type(network).__name__}, and not an nn.Module")
    return network


def _called(make: Callable, num_classes: int) -> Any:
    """The outcome of a user's function, which takes the number of classes by name or first."""
    parameters = signature(make).parameters
    names = [name for name in parameters if "classes" in name]
    if any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values()):
        names = names or ["num_classes"]
    return make(**{names[0]: num_classes}) if names else make(num_classes)


def _with_dropout_from(network: nn.Module, generator: torch.Generator) -> None:
    """Put this package's dropout, which draws from a generator, in the place of torch's own."""
    made: dict[nn.Module, Dropout] = {}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:  # what a subclass does, only itself knows
                ours = made.setdefault(child, Dropout(child.p, generator))
                setattr(parent, name, ours.train(child.training))


# -- global random states, and those that a network has instead ------------------------------------


@contextmanager
def _global_states_from(seed: int):
    """Within it, torch (on the CPU), numpy and Python draw what follows from a seed.

    Afterwards they, and torch's default type, are what they were.
    """
    before, dtype = _GlobalStates.now(), torch.get_default_dtype()
    try:
        _GlobalStates.of(seed).put()
        yield
    finally:
        before.put()
        torch.set_default_dtype(dtype)


@dataclass(frozen=True)
class _GlobalStates:
    """The states of the generators that belong to nobody: torch's on the CPU, numpy's, Python's."""

    torchs: torch.Tensor
    numpys: dict[str, Any]
    pythons: tuple

    @classmethod
    def now(cls) -> "_GlobalStates":
        return cls(
            torch.default_generator.get_state(),
            np.random.get_state(legacy=False),  # noqa: NPY002
            random.getstate(),
        )

    @classmethod
    def of(cls, seed: int) -> "_GlobalStates":
        """States that follow from a seed of 63 bits."""
        drawn = np.random.RandomState(seed % 2**32)
        return cls(
            torch.Generator().manual_seed(seed).get_state(),
            drawn.get_state(legacy=False),  # pyright: ignore[reportArgumentType]
            random.Random(seed).getstate(),
        )

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> "_GlobalStates":
        """The states that `parts` was made of."""
        key = np.array(parts["key"], np.uint32)
        inner = {"key": key, "pos": parts["pos"]}
        return cls(parts["torch"], {**parts["numpy"], "state": inner}, parts["python"])

    def parts(self) -> dict[str, Any]:
        """The states as a tensor, and dicts, tuples and lists of numbers."""
        inner = self.numpys["state"]
        return {
            "torch": self.torchs,
            "numpy": {name: part for name, part in self.numpys.items() if name != "state"},
            "key": inner["key"].tolist(),
            "pos": inner["pos"],
            "python": self.pythons,
        }

    def put(self) -> None:
        torch.default_generator.set_state(self.torchs)
        np.random.set_state(self.numpys)  # noqa: NPY002 - what a user's network may draw from
        random.setstate(self.pythons)


class Lending:
    """Lends random states of a network's own to whatever draws from the global ones in it.

    Before each forward pass the global states are put aside, and put back after it. On a GPU its
    `generator` takes the place of the default one.

    It also lets a `view` of a map be one whatever the layout: images come in channels_last, in
    which `x.view(len(x), -1)`, written for the usual layout, would raise.
    """

    def __init__(self, dropout: torch.Generator):
        seed = (dropout.initial_seed() + 1) % 2**63
        self.generator = torch.Generator(dropout.device).manual_seed(seed)
        self._states = _GlobalStates.of(seed)
        self._lent = ExitStack()
        self._hooks: list[RemovableHandle] = []

    def to(self, network: nn.Module) -> None:
        """Lend from now on to a network."""
        setattr(network, LENDING, self)
        self._hooks = [
            network.register_forward_pre_hook(self._before),
            network.register_forward_hook(self._after, always_call=True),
        ]

    def end(self) -> None:
        """Lend no longer: the network draws from the global states, if it draws at all."""
        for hook in self._hooks:
            hook.remove()

    def state(self) -> dict[str, Any]:
        """What the next forward pass will draw from, but for `generator`."""
        return self._states.parts()

    def put_back(self, state: dict[str, Any]) -> None:
        """Let the next forward pass draw from what `state` returned."""
        self._states = _GlobalStates.from_parts(state)

    def _before(self, network: nn.Module, inputs: tuple) -> None:
        self._lent.enter_context(self._states_lent())
        self._lent.enter_context(_ViewsOfAnyLayout())

    def _after(self, network: nn.Module, inputs: tuple, output: Any) -> None:
        self._lent.close()

    @contextmanager
    def _states_lent(self):
        before = _GlobalStates.now()
        self._states.put()
        with _default_generator(self.generator):
            try:
                yield
            finally:
                self._states = _GlobalStates.now()
                before.put()


@contextmanager
def _default_generator(generator: torch.Generator):
    """Within it, `generator` is what is drawn from by default on its device, if that is a GPU."""
    if generator.device.type != "cuda":
        yield
        return
    usual = torch.cuda.default_generators[generator.device.index or 0]
    before = usual.graphsafe_get_state()
    usual.graphsafe_set_state(generator)
    try:
        yield
    finally:
        usual.graphsafe_set_state(before)


def lending_of(layer: nn.Module) -> Lending | None:
    """What lends random states to a user's network; None if the layer is none."""
    return vars(layer).get(LENDING)


class _ViewsOfAnyLayout(TorchFunctionMode):
    """`Tensor.view` to a shape, of a tensor whose layout does not allow it, copies."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.view and not kwargs and not isinstance(args[1], torch.dtype):
            return torch.Tensor.reshape(*args)
        return func(*args, **(kwargs or {}))
