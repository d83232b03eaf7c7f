"""Nested values and the tensors in them, taken apart: what is JSON here, what is bytes there."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

# None, bool, int, float, str, tensors and arrays; lists, tuples and dicts of these.
Tree: TypeAlias = Any


class Unpackable(TypeError):
    """A value that is no `Tree`."""


@dataclass(frozen=True)
class Packed:
    """A copy of a `Tree`: `values`, which JSON can say, and `tensors` on the CPU, by number."""

    values: Any
    tensors: dict[str, torch.Tensor]


def pack(tree: Tree) -> Packed:
    """Copy a tree; raises `Unpackable` if something else is in it."""
    tensors: dict[str, torch.Tensor] = {}

    def packed(tree: Tree) -> Any:
        match tree:
            case None | bool() | int() | str():
                return tree
            case np.ndarray() | np.generic():  # before floats, of which numpy's are some
                return {"array": put(torch.from_numpy(np.array(tree)))}
            case float():
                return tree
            case torch.Tensor():
                # A sum depends on the order of its terms, and so on how a tensor lies in memory.
                copy = tree.detach().to("cpu", copy=True)
                return {"tensor": put(copy), "strides": copy.stride(), "device": str(tree.device)}
            case list() if type(tree) is list:  # another kind of list would come back as a list
                return [packed(each) for each in tree]
            case tuple() if type(tree) in (tuple, torch.Size):
                return {"tuple": [packed(each) for each in tree]}
            case dict() if type(tree) is dict:
                return {"dict": [[packed(key), packed(value)] for key, value in tree.items()]}
        raise Unpackable(type(tree).__name__)

    def put(tensor: torch.Tensor) -> str:
        name = str(len(tensors))
        tensors[name] = tensor
        return name

    return Packed(packed(tree), tensors)


def unpack(packed: Packed) -> Tree:
    """The tree again, its tensors on their devices, lying in memory as they did."""

    def unpacked(values: Any) -> Tree:
        match values:
            case {"array": name}:
                return packed.tensors[name].numpy()
            case {"tensor": name, "strides": strides, "device": device}:
                kept = packed.tensors[name]
                laid_out = torch.empty_strided(kept.shape, strides, dtype=kept.dtype)
                return laid_out.copy_(kept).to(device)
            case {"tuple": parts}:
                return tuple(unpacked(part) for part in parts)
            case {"dict": pairs}:
                return {unpacked(key): unpacked(value) for key, value in pairs}
            case list():
                return [unpacked(part) for part in values]
        return values

    return unpacked(packed.values)
