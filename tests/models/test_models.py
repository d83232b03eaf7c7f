"""The S8 network against its published description, and its layers against brute force."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from normscope.errors import UsageError
from normscope.models import MODELS
from normscope.models.layers import Dropout, Residual, bernoulli_positions, conv2d, drop_by_mask
from normscope.models.receptive import Field, Following
from normscope.models.summary import summarize
from normscope.norms import NORMS
from normscope.training.seeds import generator


def build(model="s8", norm="bn", seed=0, classes=10):
    return MODELS[model](NORMS[norm], classes, generator(seed, "init"), generator(seed, "dropout"))


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


# -- the network ---------------------------------------------------------------------------------


# Beside 30,856 in convolutions: mostly gamma and beta of 180 channels; 8 norms have such a number.
IN_NORMS = dict.fromkeys(NORMS, 2 * 180) | {
    "none": 0,
    "lrn": 0,
    "rms": 180,
    "nf-ws": 212,  # gains of all convolutions but the last
    "frn": 3 * 180,
    "evo-s0": 3 * 180,
    "evo-b0": 3 * 180,
    "bin": 3 * 180,
    "switch": 2 * 180 + 8 * 6,
    "dyt": 2 * 180 + 8,
    **dict.fromkeys(("derf", "isru", "arctan", "satursin", "expsign"), 2 * 180 + 8 * 2),
    "ln-full": 2 * (16 * 30**2 + 20 * 28**2 + 72 * 14**2 + 72 * 7**2),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("model", ["s8", "s8-gap", "s8-res"])
def test_parameters_and_output_shape(model, norm):
    network = build(model, norm)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    found = sum(p.numel() for p in network.parameters())
    if model != "s8-res":
        assert found == 30_856 + IN_NORMS[norm]
    elif norm in ("bn", "gn", "ln"):
        assert found == 30_280  # of the published network


def test_the_published_count():
    for norm in ("bn", "gn", "ln"):
        assert sum(p.numel() for p in build("s8", norm).parameters()) == 31_216


def test_layers_are_the_published_ones_in_order():
    conv = [(c.in_channels, c.out_channels, c.kernel_size[0], c.padding[0], c.bias) for c in
            convolutions(build())]  # fmt: skip
    widths = [(3, 16, 3, 0), (16, 20, 3, 0), (20, 16, 1, 0)]
    widths += [(16, 20, 3, 1), (20, 24, 3, 1), (24, 28, 3, 1), (28, 16, 1, 0)]
    widths += [(16, 20, 3, 1), (20, 24, 3, 1), (24, 28, 3, 1), (28, 10, 1, 0)]
    assert conv == [(*width, None) for width in widths]
    kinds = [type(layer).__name__ for layer in build().layers]
    block = ["Conv2d", "ReLU", "BatchNorm2d", "Dropout"]
    assert kinds == [
        *block * 2, "Conv2d", "MaxPool2d",
        *block * 3, "Conv2d", "MaxPool2d",
        *block * 3, "AvgPool2d", "Conv2d", "Flatten",
    ]  # fmt: skip
    assert [layer.p for layer in build().layers if isinstance(layer, Dropout)] == [0.01] * 8


def test_s8_pools_only_the_top_left_corner_and_s8_gap_all_of_it():
    for model, sees_all in [("s8", False), ("s8-gap", True)]:
        pooling = build(model).layers[-3]
        map_NCHW = torch.zeros(1, 1, 7, 7)
        map_NCHW[:, :, 4:, :] = 1.0
        assert (pooling(map_NCHW) > 0).item() is sees_all


def test_the_residual_block_adds_to_its_input_what_a_block_makes():
    network = build("s8-res", "gn").eval()
    (residual,) = [layer for layer in network.modules() if isinstance(layer, Residual)]
    assert [type(layer).__name__ for layer in residual.inner] == [
        "Conv2d", "ReLU", "GroupNorm", "Dropout"
    ]  # fmt: skip
    x = torch.randn(2, 24, 14, 14)
    by_hand = x + nn.functional.group_norm(residual.inner[0](x).relu(), 4)
    torch.testing.assert_close(residual(x), by_hand)
    widths = [(c.in_channels, c.out_channels) for c in convolutions(network)]
    assert widths[3:7] == [(16, 20), (20, 24), (24, 24), (24, 16)]
    maps = [row.output_shape for row in summarize("s8-res", "gn").layers if row.type == "MaxPool2d"]
    assert maps == [(16, 14, 14), (16, 7, 7)]


def test_equal_seeds_give_equal_convolutions_whatever_the_norm():
    torch.manual_seed(5)
    first = convolutions(build(norm="bn"))
    torch.manual_seed(6)
    for norm in NORMS:
        for one, other in zip(first, convolutions(build(norm=norm)), strict=True):
            assert torch.equal(one.weight, other.weight)
    others = convolutions(build(norm="bn", seed=1))
    assert not any(torch.equal(a.weight, b.weight) for a, b in zip(first, others, strict=True))


def test_building_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)


def test_convolution_weights_start_as_torch_starts_them():
    weights = conv2d(64, 64, 3, generator=generator(0, "init")).weight.detach()
    bound = 1 / math.sqrt(64 * 9)
    assert weights.abs().max() <= bound
    assert weights.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    torch.manual_seed(0)
    usual = nn.Conv2d(64, 64, 3, bias=False).weight.detach()
    assert weights.std().item() == pytest.approx(usual.std().item(), rel=0.02)


# -- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("round_size", [None, 3])
def test_dropped_positions_are_independent_bernoulli_draws(round_size):
    n, p, repeats = 200, 0.05, 4000
    stream = generator(0, "dropout")
    dropped = np.zeros((repeats, n), dtype=bool)
    for row in dropped:
        row[bernoulli_positions(n, p, stream, round_size).numpy()] = True
    counts = dropped.sum(axis=1)
    assert counts.mean() == pytest.approx(n * p, rel=0.02)
    assert counts.var() == pytest.approx(n * p * (1 - p), rel=0.1)
    # The share per position, each within 5 standard errors, ends of the range included.
    error = math.sqrt(p * (1 - p) / repeats)
    assert np.abs(dropped.mean(axis=0) - p).max() < 5 * error
    # Neighbours are uncorrelated.
    joint = (dropped[:, 1:] & dropped[:, :-1]).mean()
    assert joint == pytest.approx(p * p, rel=0.05)


@pytest.mark.parametrize("n", [1, 3, 100])
def test_every_element_can_be_dropped(n):
    stream = generator(1, "dropout")
    seen = torch.cat([bernoulli_positions(n, 0.5, stream) for _ in range(500)])
    assert set(seen.tolist()) == set(range(n))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_zeroes_in_forward_and_backward_alike_and_scales_the_rest(memory_format):
    x = torch.rand(4, 8, 5, 5).add(1).to(memory_format=memory_format).requires_grad_()
    y = Dropout(0.2, generator(0, "dropout"))(x)
    kept = y != 0
    assert 0.6 < kept.float().mean() < 0.95
    torch.testing.assert_close(y[kept], x[kept] / 0.8)
    # A gradient in another memory layout must meet the same elements.
    (grad,) = torch.autograd.grad(y, x, torch.ones(4, 8, 5, 5))
    torch.testing.assert_close(grad, kept / 0.8)


@pytest.mark.parametrize("members", [1, 3])
def test_dropout_by_mask_drops_independently_and_scales_the_rest(members):
    """What a GPU runs; each member draws what it draws alone."""
    x = torch.ones(50, 8 * members, 9, 9).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    y = drop_by_mask(x, 0.1, [generator(seed, "dropout") for seed in range(members)])
    y.sum().backward()
    assert torch.equal(y, x.grad)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.9).item()}
    dropped = (y == 0).double()
    n = dropped.numel()
    assert abs(dropped.mean() - 0.1) < 4 * (0.09 / n) ** 0.5
    for axis in range(4):  # neighbours along every axis fall independently
        pairs = (dropped.diff(dim=axis) == 0).double()
        assert abs(pairs.mean() - 0.82) < 4 * (0.82 * 0.18 / pairs.numel()) ** 0.5
    for member, part in enumerate(y.chunk(members, dim=1)):
        own = torch.ones(50, 8, 9, 9).contiguous(memory_format=torch.channels_last)
        assert torch.equal(part, drop_by_mask(own, 0.1, [generator(member, "dropout")]))


def test_dropout_does_nothing_in_evaluation():
    x = torch.rand(2, 3)
    assert Dropout(0.5, generator(0, "dropout")).eval()(x) is x


# -- the summary ---------------------------------------------------------------------------------


def test_summary_counts_as_torchinfo_counts():
    torchinfo = pytest.importorskip("torchinfo")
    oracle = torchinfo.summary(build(norm="gn"), (1, 3, 32, 32), verbose=0)
    summary = summarize("s8", "gn")
    assert summary.parameters == oracle.total_params == 31_216
    leaves = [layer for layer in oracle.summary_list if layer.is_leaf_layer]
    madds = sum(layer.macs for layer in leaves if layer.class_name == "Conv2d")
    assert summary.multiply_adds == madds == 6_231_448
    shapes = [tuple(layer.output_size[1:]) for layer in leaves]
    assert [layer.output_shape for layer in summary.layers] == shapes


def seen_of_the_image(network, layer_index, size):
    """The side of the square of pixels that a gradient from the middle of a layer's map reaches."""
    x = torch.rand(1, 3, size, size, requires_grad=True)
    kept = []
    layer = [each for each in network.modules() if not list(each.children())][layer_index]
    layer.register_forward_hook(lambda layer, inputs, output: kept.append(output))
    network(x)
    if kept[0].dim() == 2:
        value = kept[0].sum()
    else:
        middle = kept[0].shape[-1] // 2
        value = kept[0][0, :, middle, middle].sum()
    value.backward()
    rows = (x.grad.abs().sum((0, 1, 3)) > 0).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize("model", ["s8", "s8-gap", "s8-res"])
def test_the_receptive_field_is_what_gradients_reach(model):
    size = 160  # no gradient from the middle comes to the border, but behind a pooling of all
    summary = summarize(model, "none", image_shape=(size, size, 3))
    for place, row in enumerate(summary.layers[:-1]):
        if row.type == "AdaptiveAvgPool2d":
            break
        network = build(model, "none").eval()
        for each in convolutions(network):
            nn.init.constant_(each.weight, 0.01)  # nothing cancels, and ReLU passes all of it
        if row.type != "MaxPool2d":  # which passes a single one of its inputs
            for each in network.modules():
                if isinstance(each, nn.MaxPool2d):
                    each.forward = lambda x: nn.functional.avg_pool2d(x, 2)
            assert seen_of_the_image(network, place, size) == row.receptive_field, row


def test_the_receptive_field_of_the_published_network_by_hand():
    rows = summarize("s8", "bn").layers
    kinds = "Conv2d", "MaxPool2d", "AvgPool2d"
    found = [row.receptive_field for row in rows if row.type in kinds]
    assert found == [3, 5, 5, 6, 10, 14, 18, 18, 20, 28, 36, 44, 56, 56]
    assert summarize("s8-gap", "bn").layers[-3].receptive_field == 44 + 6 * 4


def test_strided_and_dilated_windows_and_branches_are_followed():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Conv2d(3, 4, 3, stride=2, dilation=2, padding=2)
            self.next = nn.Conv2d(4, 4, 5, padding=2)

        def forward(self, x):
            x = self.wide(x)
            return (x + self.next(x))[:, :, ::2, ::2]

    x = torch.rand(1, 3, 32, 32)
    with Following(x) as following:
        y = Branches()(x)
        assert following.field(y) == Field(5 + 4 * 2, 4)
        assert following.field(y.mean((2, 3))) == Field(13 + 7 * 4, 4)
        assert following.field(nn.functional.max_pool2d(y, 2)) == Field(13 + 4, 8)
        assert following.field(y.flatten(1)).size == 13 + 7 * 4
        assert following.field(torch.rand(2)) is None


def test_summary_sizes_are_those_of_torchsummary():
    sizes = summarize("s8", "bn").size_mib()
    # 3*32*32 floats in, 105,264 floats out over all layers, kept forward and backward.
    assert sizes["input"] == pytest.approx(3072 * 4 / 2**20)
    assert sizes["parameters"] == pytest.approx(31_216 * 4 / 2**20)
    assert sizes["total"] == pytest.approx(sum(list(sizes.values())[:3]))
    by_hand = 4 * (14_400 + 15_680) + 12_544 + 3_136
    by_hand += 4 * (3_920 + 4_704 + 5_488) + 3_136 + 784
    by_hand += 4 * (980 + 1_176 + 1_372) + 28 + 10 + 10
    assert sizes["forward and backward"] == pytest.approx(2 * by_hand * 4 / 2**20)


def test_summary_names_what_it_knows():
    with pytest.raises(UsageError, match=r"unknown norm 'batch'; known: bn, gn, ln"):
        summarize("s8", "batch")
    with pytest.raises(UsageError, match=r"unknown model 'resnet'; known: s8, s8-gap, s8-res"):
        summarize("resnet", "bn")
