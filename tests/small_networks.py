"""What tests of probes share: networks of a few layers, and what must not change in them."""

import torch
from torch import nn

from normscope.norms import NORMS


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(network, seed=0):
    """The network in float64, its parameters drawn anew: those of norms are not 1 and 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.normal_(generator=generator).mul_(0.5)
            if parameter.dim() == 1:
                parameter.add_(0.7)
    return network


def two_blocks(norm="bn", seed=0):
    """Two convolutions with their norms and a linear layer, for images (N, 3, 6, 6)."""
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), NORMS[norm](4), nn.Dropout(0.5)),
        nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), NORMS[norm](8), nn.Flatten()),
        nn.Linear(32, 5),
    )
    for layer in network.modules():
        if hasattr(layer, "generator"):
            layer.generator = torch.Generator().manual_seed(seed)
    return drawn(network, seed)


def batch(count=12, seed=3):
    """Images for `two_blocks`, and labels."""
    return normal(count, 3, 6, 6, seed=seed), torch.arange(count) % 5


def trace(network):
    """All that a measurement could leave behind in a network."""
    layers = list(network.modules())
    held = [getattr(layer, "generator", None) for layer in layers]
    return {
        "tensors": {n: t.detach().clone() for n, t in network.state_dict().items()},
        "objects": [id(t) for t in (*network.parameters(), *network.buffers())],
        "modes": [layer.training for layer in layers],
        "hooks": sum(len(la._forward_hooks) + len(la._forward_pre_hooks) for la in layers),
        "gradients": [parameter.grad is None for parameter in network.parameters()],
        "generators": [g.get_state().tolist() for g in held if g is not None],
    }


def assert_no_trace(before, network):
    after = trace(network)
    tensors = before["tensors"], after["tensors"]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[1][name], value) for name, value in tensors[0].items())
    assert {**after, "tensors": None} == {**before, "tensors": None}
