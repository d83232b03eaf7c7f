"""Networks whose channels are grouped anew before they train: does it matter who shares a norm?"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from normscope.experiment import Trial
from normscope.models.relabel import relabel
from normscope.norms import asked, in_given_order
from normscope.probes.grouping import order_by_correlation, order_by_scale
from normscope.probes.maps import LayerLook, look
from normscope.probes.redundancy import correlations_of
from normscope.probes.sums import LIVE
from normscope.training.probing import Built
from normscope.training.seeds import generator
from normscope.training.split import Split

LOOKED_AT = 500  # training images

# Builds the networks of trials, and trains them to the end if that is wanted.
Make = Callable[[Sequence[Trial], bool], Sequence[Built]]


def trains_twin(trial: Trial) -> bool:
    """Whether a trial trains another network first, by which it orders its channels."""
    return asked(trial.norm).order.endswith("trained")


def regrouped(trials: Sequence[Trial], train: Split, make: Make) -> Sequence[Built]:
    """The untrained networks of trials, with their channels in the order that their norm asks for.

    "trained" is by what the channels of each one's twin became: the same trial in the order that is
    given, which is trained first. Raises `UsageError` if a network is no chain of layers.
    """
    order = asked(trials[0].norm).order
    plain = [_with_given_order(trial) for trial in trials]
    networks = make(plain, False)
    looked_at = make(plain, True) if trains_twin(trials[0]) else networks
    for trial, network, twin in zip(trials, networks, looked_at, strict=True):
        orders = orders_of(order, twin, train, generator(trial.seed, "regroup"))
        relabel(network.model, dict(zip(network.norms, orders, strict=True)))
    return networks


def _with_given_order(trial: Trial) -> Trial:
    return trial.model_copy(update={"norm": in_given_order(trial.norm)})


def orders_of(
    order: str, built: Built, train: Split, random: torch.Generator
) -> list[torch.Tensor]:
    """Of each norm layer of a network, which channel takes each place: int64, (C,)."""
    norms = [norm for norm in built.norms if isinstance(norm, nn.GroupNorm)]  # no other has groups
    if order == "random":
        return [torch.randperm(norm.num_channels, generator=random) for norm in norms]
    likeness, what, _ = order.split("-")
    count = min(LOOKED_AT, len(train))
    x, _ = train.batch(torch.arange(count, device=train.device))
    training = built.model.training
    looks = look(built.model.eval(), {str(place): norm for place, norm in enumerate(norms)}, x)
    built.model.train(training)
    return [
        torch.from_numpy(_order(what, likeness == "similar", each, norm.num_groups))
        for each, norm in zip(looks, norms, strict=True)
    ]


def _order(what: str, similar: bool, seen: LayerLook, groups: int) -> np.ndarray:
    variances = seen.input.variances
    if what == "scale":
        return order_by_scale(variances.sqrt().numpy(force=True), groups, similar)
    live = (variances > LIVE * variances.max()).numpy(force=True)
    correlations = np.zeros((len(live), len(live)))
    correlations[np.ix_(live, live)] = correlations_of(seen.input).numpy(force=True)
    return order_by_correlation(correlations, groups, similar)
