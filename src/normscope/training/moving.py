"""What moves in a network while it trains, besides its optimizer: taken out, and put back."""

import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import nn

from normscope.models.layers import Dropout
from normscope.models.own import lending_of
from normscope.training.packing import Tree, Unpackable, pack

# What any layer has, in which torch keeps parameters, buffers, layers and hooks.
OF_EVERY_LAYER = frozenset(vars(nn.Module()))
# What a layer holds that does not move by training, or moves as a layer of its own.
FIXED = (
    nn.Module, type, FunctionType, BuiltinFunctionType, MethodType, partial, Enum,
    torch.dtype, torch.device, torch.memory_format,
)  # fmt: skip


def generators_of(model: nn.Module) -> list[torch.Generator]:
    """The generators from which a model draws: dropout's, those of norms, and a lent one."""
    layers = list(model.modules())
    drawn = [each for layer in layers if isinstance(layer, Dropout) for each in layer.generators]
    norms = [getattr(layer, "generator", None) for layer in layers]
    lent = [lending.generator for lending in map(lending_of, layers) if lending is not None]
    others = [each for each in (*norms, *lent) if isinstance(each, torch.Generator)]
    return list(dict.fromkeys([*drawn, *others]))


def state_of(network: nn.Module, as_built: Mapping[str, bytes]) -> Tree:
    """Parameters, buffers, random states, and what layers of a user's own hold besides.

    Objects of other types than those that can be kept must be what they were `as_built`, the
    `objects_of` the network then. What is held elsewhere, in a global variable for example, is not
    seen. Raises `Unpackable` that names an object which has changed.
    """
    return {
        "values": _values(network),
        "generators": [each.get_state() for each in generators_of(network)],
        "lent": [lending.state() for lending in map(lending_of, network.modules()) if lending],
        "held": {name: _held_by(layer, name, as_built) for name, layer in _own_layers(network)},
    }


@torch.no_grad()
def put_back(network: nn.Module, state: Tree) -> None:
    """Give a network its state back; raises `ValueError` if it is one of another network."""
    values, kept = _values(network), state["values"]
    if _kinds(values) != _kinds(kept):
        raise ValueError("its tensors are those of another network")
    for name, value in values.items():
        value.copy_(kept[name])
    for generator, its_state in zip(generators_of(network), state["generators"], strict=True):
        generator.set_state(its_state)
    lendings = [lending for lending in map(lending_of, network.modules()) if lending]
    for lending, its_state in zip(lendings, state["lent"], strict=True):
        lending.put_back(its_state)
    for name, layer in _own_layers(network):
        for attribute, value in state["held"][name].items():
            _hold(layer, attribute, value)


def _values(network: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, those included that a `state_dict` leaves out."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _kinds(values: dict[str, torch.Tensor]) -> dict[str, tuple]:
    return {name: (value.shape, value.dtype) for name, value in values.items()}


# -- what layers of a user's own hold --------------------------------------------------------------


# How the state of a source of random numbers is told, and how it is put back.
SOURCES: dict[type, tuple[Callable[[Any], Tree], Callable[[Any, Tree], object]]] = {
    torch.Generator: (torch.Generator.get_state, torch.Generator.set_state),
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.Generator: (
        lambda source: source.bit_generator.state,
        lambda source, state: setattr(source.bit_generator, "state", state),
    ),
    np.random.RandomState: (
        lambda source: source.get_state(legacy=False),
        lambda source, state: source.set_state(state),
    ),
}


def _own_layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of whose types only their authors know what moves in them."""
    for name, layer in network.named_modules():
        if type(layer).__module__.partition(".")[0] not in ("torch", "normscope"):
            yield name, layer


def objects_of(network: nn.Module) -> dict[str, bytes]:
    """By name, what layers of a user's own hold that cannot be kept, in bytes that tell a change.

    As a configuration, which stays what it is. Without what has no such bytes.
    """
    objects = {}
    for name, layer in _own_layers(network):
        for attribute, value in _attributes(layer):
            if not _is_packable(value) and (told := _in_bytes(value)) is not None:
                objects[f"{name}.{attribute}"] = told
    return objects


def _held_by(layer: nn.Module, name: str, as_built: Mapping[str, bytes]) -> dict[str, Tree]:
    held = {}
    for attribute, value in _attributes(layer):
        if _is_packable(value):
            source = SOURCES.get(type(value))
            held[attribute] = source[0](value) if source else value
        elif as_built.get(f"{name}.{attribute}", b"") != _in_bytes(value):
            what = f"{attribute} of {name or type(layer).__name__}, a {type(value).__name__}"
            raise Unpackable(what)
    return held


def _attributes(layer: nn.Module) -> Iterator[tuple[str, Any]]:
    for attribute, value in vars(layer).items():
        is_known = attribute in OF_EVERY_LAYER or lending_of(layer) is value
        if not is_known and not _is_fixed(value):
            yield attribute, value


def _is_packable(value: Any) -> bool:
    if type(value) in SOURCES:
        return True
    try:
        pack(value)
    except Unpackable:
        return False
    return True


def _in_bytes(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value)  # to be compared, and never loaded
    except Exception:  # whatever an object of a user's raises
        return None


def _hold(layer: nn.Module, attribute: str, value: Tree) -> None:
    before = vars(layer).get(attribute)
    source = SOURCES.get(type(before))
    if source:
        source[1](before, value)
    else:
        setattr(layer, attribute, value)


def _is_fixed(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return bool(value) and all(_is_fixed(each) for each in value)
    if isinstance(value, dict):
        return bool(value) and all(_is_fixed(each) for each in value.values())
    return isinstance(value, FIXED)
