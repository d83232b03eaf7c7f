"""Norms of several networks, side by side, as one wider norm."""

import copy

import pytest
import torch
from torch import nn

from normscope.norms import PACKAGED_NORMS, asked
from normscope.norms.by_layer import coefficients_of, norm_layers
from normscope.norms.group import group_norm
from normscope.norms.weight import ScaledConv2d, StandardizedConv2d

C, MEMBERS = 8, 3
UNFOLDED = {"bnn", "lrn", "none", "nf-ws"}  # random numbers, neighbours; the last two do nothing
FOLDED = [name for name in PACKAGED_NORMS if name not in UNFOLDED]


def drawn(layer, seed):
    """The layer in float64, with parameters and buffers of its own."""
    stream = torch.Generator().manual_seed(seed)
    for tensor in (*layer.parameters(), *layer.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.3, 1.0, generator=stream)
    return layer.double()


def joined(layers, wide):
    """The wider layer with the states of the members, one after the other."""
    states = [layer.state_dict() for layer in layers]
    for name, value in wide.double().state_dict().items():
        own = [state[name] for state in states]
        value.copy_(torch.cat(own) if value.dim() else own[0])
    return wide


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", [*FOLDED, "gn:groups=2", "iternorm:size=4"])
def test_a_wider_norm_computes_what_its_members_compute(name, training):
    first = asked(name)(C)
    images = torch.randn(5, MEMBERS * C, 4, 3, dtype=torch.float64)
    first(images[:, :C].float())  # a norm that takes its size from its first input has it now
    layers = [drawn(copy.deepcopy(first), seed).train(training) for seed in range(MEMBERS)]
    wide = joined(layers, norm_layers()[type(first)].widened(first, MEMBERS)).train(training)
    together = wide(images)
    together.square().sum().backward()
    for m, layer in enumerate(layers):
        alone = layer(images[:, m * C : (m + 1) * C])
        torch.testing.assert_close(together[:, m * C : (m + 1) * C], alone)
        alone.square().sum().backward()
    for kind in ("named_parameters", "named_buffers"):
        for key, value in getattr(wide, kind)():
            own = [dict(getattr(layer, kind)())[key] for layer in layers]
            if value.dim():
                torch.testing.assert_close(value, torch.cat(own))
                if value.requires_grad:
                    torch.testing.assert_close(value.grad, torch.cat([o.grad for o in own]))


@pytest.mark.parametrize("kind", [StandardizedConv2d, ScaledConv2d])
def test_convolutions_with_standardized_weights_fold(kind):
    layers = [drawn(kind(4, 6, 3, padding=1, bias=False), seed) for seed in range(MEMBERS)]
    for layer in layers:
        layer.after_relu = True
    wide = joined(layers, norm_layers()[kind].widened(layers[0], MEMBERS))
    images = torch.randn(2, MEMBERS * 4, 5, 5, dtype=torch.float64)
    expected = [layer(part) for layer, part in zip(layers, images.chunk(MEMBERS, 1), strict=True)]
    torch.testing.assert_close(wide(images), torch.cat(expected, dim=1))


def test_layers_are_known_by_their_type_and_not_by_their_name():
    assert coefficients_of(group_norm(8, groups=2)) is coefficients_of(asked("gn")(8))

    class Other(nn.GroupNorm):
        def forward(self, x):
            return 2 * super().forward(x)

    assert coefficients_of(Other(2, 8)) is None
