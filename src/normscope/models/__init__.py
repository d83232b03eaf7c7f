"""The networks, by name. Each entry takes what `S8` takes; none asks for a norm by name."""

from collections.abc import Callable
from functools import partial

import torch

from normscope.models.s8 import S8
from normscope.norms import MakeNorm

MakeModel = Callable[[MakeNorm, int, torch.Generator, torch.Generator], S8]

MODELS: dict[str, MakeModel] = {
    "s8": S8,
    "s8-gap": partial(S8, pool_whole_map=True),
}
PACKAGED_MODELS = dict(MODELS)  # without what a script adds
