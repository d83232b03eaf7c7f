"""Swapping the norms of networks that exist: against layers made by hand, there and back again."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import register_parametrization

import normscope
from normscope.errors import UsageError
from normscope.models.convert import Left, Swap, convert
from normscope.norms.group import auto_groups


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(channels=3, size=8, axes=2, count=4):
    return torch.randn(count, channels, *[size] * axes)


def used(network, x):
    """In evaluation mode, with running statistics and affines that are not those of the start."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(x)
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def small(norm=nn.BatchNorm2d):
    return nn.Sequential(nn.Conv2d(3, 8, 3), norm(8), nn.ReLU(), nn.Conv2d(8, 4, 3), norm(4))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + F.relu(self.bn(self.conv(x)))


class Shared(nn.Module):
    """A norm that is used at two places, and a block that is."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), self.norm)
        block = Block(8)
        self.blocks = nn.ModuleDict({"a": block, "b": block})

    def forward(self, x):
        return self.norm(self.blocks["b"](self.blocks["a"](self.first(x))))


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm has it: a norm, dropout and an activation in one."""

    def __init__(self, channels, act=nn.LeakyReLU):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class LayerNorm2d(nn.LayerNorm):
    """As timm and torchvision have it: over the channels of each pixel of (N, C, H, W)."""

    def forward(self, x):
        moved = x.permute(0, 2, 3, 1)
        return F.layer_norm(moved, self.normalized_shape, self.weight, self.bias, self.eps).permute(
            0, 3, 1, 2
        )


class MeanOnly(nn.BatchNorm2d):
    def forward(self, x):
        return x - x.mean((0, 2, 3), keepdim=True)


def names(network, kind):
    return [name for name, layer in network.named_modules() if isinstance(layer, kind)]


# -- what a new layer is ---------------------------------------------------------------------------


def test_a_swapped_network_computes_what_one_made_with_the_other_norm_computes():
    x = images()
    network = used(small(), x)
    by_hand = small(lambda channels: nn.GroupNorm(2, channels))
    by_hand.load_state_dict(network.state_dict(), strict=False)
    done = convert(network, "gn:groups=2")
    assert done.module is network
    torch.testing.assert_close(network(x), by_hand(x), rtol=0, atol=0)
    assert network.state_dict().keys() == by_hand.state_dict().keys()
    carried = ("eps", "weight", "bias")
    before = "BatchNorm2d(8, eps=1e-05"
    assert [(swap.names, swap.carried) for swap in done.swapped] == [
        (("1",), carried), (("4",), carried)
    ]  # fmt: skip
    assert done.swapped[0].before.startswith(before)
    assert done.left == done.warnings == ()
    text = str(done)
    assert text.startswith("2 norm layers swapped for gn:groups=2, 0 left as they are.")
    assert f"  1: {before}" in text
    assert "-> GroupNorm(2, 8, eps=1e-05" in text
    assert "carried: eps, weight, bias" in text


@pytest.mark.parametrize(
    ("made", "norm", "axes"),
    [
        (lambda: small(), "ln", 2),
        (lambda: small(), "in", 2),
        (lambda: small(), "none", 2),
        (lambda: small(), "ghost-bn:size=2", 2),
        (lambda: small(), "brn", 2),
        (lambda: small(), "ln-channel", 2),
        (lambda: small(lambda c: nn.BatchNorm2d(c, eps=1e-3, momentum=0.3)), "gn:auto", 2),
        (lambda: small(lambda c: nn.BatchNorm2d(c, affine=False)), "gn:groups=2", 2),
        (lambda: small(lambda c: nn.BatchNorm2d(c, track_running_stats=False)), "ln", 2),
        (lambda: small(lambda c: nn.GroupNorm(2, c)), "bn", 2),
        (lambda: small(lambda c: nn.InstanceNorm2d(c, affine=True)), "bn", 2),
        (lambda: small(BatchNormAct2d), "gn:groups=2", 2),
        (lambda: small(LayerNorm2d), "bn", 2),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), Block(8), Block(8)), "gn", 2),
        (lambda: Shared(), "gn", 2),
        (lambda: nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8)), "gn", 1),
        (lambda: nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8)), "in", 1),
        (lambda: nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8)), "in", 3),
        (lambda: nn.Sequential(nn.Conv3d(3, 8, 3), nn.GroupNorm(2, 8)), "bn", 3),
        (lambda: nn.Sequential(weight_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8)), "gn", 2),
        (lambda: nn.Sequential(torch.ao.quantization.QuantStub(), nn.Conv2d(3, 8, 3),
                               nn.BatchNorm2d(8), torch.ao.quantization.DeQuantStub()), "gn", 2),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.LayerNorm((8, 6, 6))), "gn", 2),
    ],
)  # fmt: skip
def test_there_and_back_again_it_answers_as_before(made, norm, axes):
    x = images(axes=axes)
    network = used(made(), x)
    before, state = network(x), {k: v.clone() for k, v in network.state_dict().items()}
    kind, back = type(next(iter(network.modules()))), _name_of(network)
    convert(network, norm, x)
    changed = network(x)
    assert torch.isfinite(changed).all()
    convert(network, back, x)
    torch.testing.assert_close(network(x), before, rtol=0, atol=0)
    assert type(network) is kind
    assert network.state_dict().keys() == state.keys()
    network.load_state_dict(state)
    torch.testing.assert_close(network(x), before, rtol=0, atol=0)


def test_a_synchronized_norm_is_there_again_with_its_statistics():
    x = images()
    network = small(nn.SyncBatchNorm).eval()
    network[1].running_mean.add_(0.3)
    before = network(x)
    convert(network, "gn:groups=2")
    assert not torch.allclose(network(x), before)
    convert(network, "bn")
    assert isinstance(network[1], nn.SyncBatchNorm)
    torch.testing.assert_close(network(x), before, rtol=0, atol=0)
    assert isinstance(convert(small(nn.SyncBatchNorm), "bn").module[1], nn.BatchNorm2d)


def _name_of(network):
    """What a network is converted back to."""
    for layer in network.modules():
        if isinstance(layer, nn.LayerNorm):
            return "ln-full" if len(layer.normalized_shape) == 3 else "ln-channel"
        if isinstance(layer, nn.GroupNorm):
            return f"gn:groups={layer.num_groups}"
        if isinstance(layer, nn.InstanceNorm2d):
            return "in"
    return "bn"


def test_running_statistics_go_on_in_a_norm_that_has_the_same():
    network = used(small(), images())
    mean = network[1].running_mean.clone()
    done = convert(network, "ghost-bn:size=2")
    assert torch.equal(network[1].running_mean, mean)
    assert "running statistics" in done.swapped[0].carried
    assert "momentum" in done.swapped[0].carried


def test_eps_is_carried_where_it_means_the_same_and_asked_for_goes_first():
    made = nn.Sequential(nn.BatchNorm2d(8, eps=1e-2))
    assert convert(copy.deepcopy(made), "gn").module[0].eps == 1e-2
    assert convert(copy.deepcopy(made), "gn:eps=0.001").module[0].eps == 1e-3
    assert convert(copy.deepcopy(made), "brn").module[0].eps == 1e-3  # another meaning


def test_a_network_that_is_a_norm_itself_comes_back_as_another():
    done = convert(nn.BatchNorm2d(8), "gn")
    assert isinstance(done.module, nn.GroupNorm)
    assert "the network itself: BatchNorm2d" in str(done)


def test_a_layer_that_is_there_several_times_is_swapped_once():
    network = Shared()
    done = convert(network, "gn")
    assert network.norm is network.first[1]
    assert network.blocks["a"].bn is network.blocks["b"].bn
    assert [swap.names for swap in done.swapped] == [
        ("norm", "first.1"), ("blocks.a.bn", "blocks.b.bn")
    ]  # fmt: skip
    assert names(network, nn.BatchNorm2d) == []
    assert "norm = first.1: BatchNorm2d" in str(done)


def test_device_dtype_and_mode_are_kept():
    network = small().double()
    network[1].eval()
    convert(network, "gn:groups=2")
    assert network[1].weight.dtype == torch.float64
    assert (network[1].training, network[4].training) == (False, True)
    on_meta = convert(small().to("meta"), "brn").module
    assert on_meta[1].running_mean.device.type == "meta"


def test_a_layer_without_affine_stays_without():
    network = convert(small(lambda c: nn.BatchNorm2d(c, affine=False)), "gn").module
    assert network[1].weight is None
    assert dict(network[1].named_parameters()) == {}


# -- hooks, optimizers, activations ----------------------------------------------------------------


def test_hooks_stay_and_can_be_removed():
    seen = []
    network = small(BatchNormAct2d)
    handle = network[1].register_forward_hook(lambda layer, inputs, y: seen.append(y.min().item()))
    convert(network, "gn:groups=2")
    network(images())
    assert len(seen) == 1
    handle.remove()
    network(images())
    assert len(seen) == 1


def test_the_activation_of_a_norm_that_has_one_stays_and_comes_before_hooks():
    network = nn.Sequential(BatchNormAct2d(8, nn.ReLU))
    seen = []
    network[0].register_forward_hook(lambda layer, inputs, y: seen.append(y))
    x = images(8)
    done = convert(network, "gn")
    expected = F.relu(F.group_norm(x, 4))
    torch.testing.assert_close(network(x), expected)
    torch.testing.assert_close(seen[0], expected)
    assert names(network, nn.ReLU) == ["0.act"]
    assert done.swapped[0].notes == ("Its activation follows the new norm.",)
    convert(network, "in")
    torch.testing.assert_close(network(x), F.relu(F.instance_norm(x)))
    convert(network, "bn")
    assert type(network[0]) is BatchNormAct2d
    network.eval()
    torch.testing.assert_close(network(x), F.relu(x / (1 + 1e-5) ** 0.5))


def test_an_optimizer_goes_on_with_what_is_carried():
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    done = convert(network, "gn:groups=2")
    assert done.warnings == ()
    before = network[1].weight.clone()
    network(images()).square().sum().backward()
    optimizer.step()
    assert not torch.equal(network[1].weight, before)
    assert "an optimizer was made before the swap" in convert(network, "none").warnings[0]


def test_without_an_optimizer_nothing_is_warned_of():
    assert convert(small(), "none").warnings == ()
    assert "Warning" not in str(convert(small(), "none"))


def test_gradient_hooks_before_an_activation_in_place_are_warned_of():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    network[1].register_full_backward_hook(lambda layer, grad_in, grad_out: None)
    (warning,) = convert(network, "gn").warnings
    assert "1 has a hook on its gradients, and 2 works in place" in warning
    with pytest.raises(RuntimeError, match="inplace"):
        network(images()).sum().backward()


def test_a_converted_network_is_copied_pickled_and_saved():
    x = images()
    network = used(small(BatchNormAct2d), x)
    convert(network, "gn:groups=2")
    expected = network(x)
    for made in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):  # noqa: S301
        torch.testing.assert_close(made(x), expected, rtol=0, atol=0)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    again = convert(small(BatchNormAct2d), "gn:groups=2").module.eval()
    again.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(again(x), expected, rtol=0, atol=0)


# -- what is left, and what is refused -------------------------------------------------------------


def test_what_is_left_has_a_reason():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.LayerNorm(288))
    done = convert(network, "bn")
    assert done.swapped == ()
    assert [(left.names, left.reason) for left in done.left] == [
        (("1",), "it is that already"),
        (("3",), "it normalizes the last axes, features and no maps"),
    ]
    assert "  3: LayerNorm((288,)" in str(done)
    line = nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8))
    (left,) = convert(line, "ghost-bn").left
    assert left == Left(
        ("1",), left.layer, "ghost-bn is for maps of two axes; of others there are bn, in, gn, "
        "ln, none"
    )  # fmt: skip


def test_a_norm_whose_statistics_a_fused_layer_reads_is_left():
    fused = torch.ao.nn.intrinsic.ConvBn2d(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    network = nn.Sequential(fused, nn.BatchNorm2d(8))
    done = convert(network, "gn")
    assert [left.names for left in done.left] == [("0.1",)]
    assert done.left[0].reason == "ConvBn2d around it reads its statistics"
    assert [swap.names for swap in done.swapped] == [("1",)]


def test_a_forward_of_its_own_is_said_to_be_gone():
    (swap,) = convert(nn.Sequential(MeanOnly(8)), "gn").swapped
    assert isinstance(swap, Swap)
    assert swap.notes == ("MeanOnly has a forward of its own, which is not called any more.",)


class Conditional(nn.BatchNorm2d):
    def forward(self, x, y):
        return super().forward(x) * y


def _pruned():
    layer = nn.BatchNorm2d(8)
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


class Exp(nn.Module):
    def forward(self, x):
        return x.exp()


def _parametrized():
    layer = nn.BatchNorm2d(8)
    register_parametrization(layer, "weight", Exp())
    return layer


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (_pruned, "parameters of its own or a parametrization: weight_orig"),
        (_parametrized, "parameters of its own or a parametrization: parametrizations.weight"),
        (lambda: Conditional(8), "its forward takes more than an input"),
        (lambda: nn.RMSNorm(8), "features and no maps"),
    ],
)
def test_a_layer_that_is_more_than_a_norm_is_left(made, reason):
    (left,) = convert(nn.Sequential(made()), "gn").left
    assert reason in left.reason


def test_options_that_are_not_asked_for_do_not_hinder_the_way_back():
    x = images()
    for made, there in (
        (lambda c: nn.BatchNorm2d(c, momentum=None), "gn:groups=2"),
        (nn.BatchNorm2d, "gn:groups=2:eps=0.001"),
    ):
        network = used(small(made), x)
        before = network(x)
        convert(network, there)
        convert(network, "bn")
        torch.testing.assert_close(network(x), before, rtol=0, atol=0)


def test_a_layer_of_no_type_takes_that_of_the_network():
    network = convert(small(), "none").module.double()
    convert(network, "gn:groups=2")
    assert network(images().double()).dtype == torch.float64


def test_axes_without_inputs():
    line = nn.Sequential(nn.Linear(4, 8), nn.GroupNorm(2, 8))
    assert isinstance(convert(line, "bn").module[1], nn.BatchNorm1d)
    assert isinstance(convert(nn.Sequential(nn.LayerNorm((4, 2, 3, 3))), "bn").module[0],
                      nn.BatchNorm3d)  # fmt: skip


def test_what_is_frozen_stays_frozen_and_parameters_that_are_new_are_told():
    frozen = nn.LayerNorm((8, 6, 6)).requires_grad_(False)
    assert not any(
        p.requires_grad for p in convert(nn.Sequential(frozen), "gn").module.parameters()
    )
    (swap,) = convert(nn.Sequential(nn.BatchNorm2d(8, affine=False)), "ghost-bn").swapped
    assert swap.notes == ("It has parameters now, which the layer before had not.",)


def test_of_a_norm_that_is_used_twice_the_smallest_map_counts():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(input=x.mean((2, 3), keepdim=True)) + self.norm(x)

    with pytest.raises(UsageError, match="at norm: in would take a statistic over a single value"):
        convert(Twice(), "in", images())


def test_a_norm_is_given_by_its_name():
    with pytest.raises(UsageError, match='such as "gn:groups=8", not <class'):
        convert(small(), nn.GroupNorm)


class Deeper(nn.Module):
    """Calls a layer of a part of its own that is called like a function."""

    def __init__(self):
        super().__init__()
        self.part = nn.Module()
        self.part.batch_norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.part.batch_norm(x)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.batch_norm = nn.BatchNorm2d(3)  # a layer of that name is none of them

    def forward(self, x):
        return self.deeper(self.batch_norm(x))

    def deeper(self, x):
        return F.instance_norm(x)


class NamedLikeIt(Functional):
    def deeper(self, x):
        return x


def _scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(nn.BatchNorm2d(3))


@pytest.mark.parametrize(
    ("made", "norm", "message"),
    [
        (Functional, "gn:groups=3", r"at inner: Functional calls instance_norm\(\) in its forward"),
        (lambda: nn.LazyBatchNorm2d(), "gn", r"at inner: LazyBatchNorm2d has not seen an input"),
        (lambda: nn.LazyConv2d(8, 3), "gn", r"at inner: LazyConv2d has not seen an input"),
        (lambda: _scripted(), "gn", r"at inner: compiled by TorchScript"),
        (lambda: nn.BatchNorm2d(3), "gn:groups=2", r"at inner: .*do not divide 3 .*possible: \[1"),
        (lambda: nn.BatchNorm2d(3), "frn", "frn replaces the activation"),
        (lambda: nn.BatchNorm2d(3), "gn-ws", "gn-ws changes the convolutions"),
        (lambda: nn.BatchNorm2d(3), "gn:order=random", "order= also moves the channels"),
        (lambda: nn.BatchNorm2d(3), "ln:pre", "leaves a norm where it is"),
        (lambda: nn.BatchNorm2d(3), "foo", "unknown norm 'foo'"),
    ],
)
def test_what_is_refused_is_refused_by_name_and_changes_nothing(made, norm, message):
    network = nn.Sequential()
    network.add_module("first", BatchNormAct2d(12))
    network.add_module("inner", made())
    first, hooks = network.first, dict(network.first._forward_hooks)
    with pytest.raises(UsageError, match=message):
        convert(network, norm)
    assert network.first is first
    assert dict(first._forward_hooks) == hooks


def test_a_layer_that_is_called_like_a_function_is_none():
    assert len(convert(NamedLikeIt(), "ln").swapped) == 1
    assert len(convert(Deeper(), "ln").swapped) == 1


def test_a_function_that_a_class_above_calls_is_found():
    class Heir(Functional):
        pass

    with pytest.raises(UsageError, match=r"Heir calls instance_norm\(\)"):
        convert(Heir(), "gn")


def test_a_statistic_over_a_single_value_is_refused_where_inputs_tell():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))
    message = r"at 2: gn:groups=8 would take a statistic over a single value.*\(4, 8, 1, 1\)"
    with pytest.raises(UsageError, match=message):
        convert(network, "gn:groups=8", images())
    with pytest.raises(UsageError, match="at 2: in would take"):
        convert(network, "in", [images()])
    assert network.training
    assert len(convert(network, "gn:groups=4", images()).swapped) == 1
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8))
    with pytest.raises(UsageError, match="at 2: in would take"):
        convert(flat, "in", images())


# -- groups that are found -------------------------------------------------------------------------


def test_auto_takes_as_many_groups_as_fit():
    found = {n: auto_groups(n) for n in (3, 16, 20, 24, 35, 37, 64, 256, 1024)}
    assert found == {3: 1, 16: 4, 20: 5, 24: 6, 35: 7, 37: 1, 64: 16, 256: 32, 1024: 32}
    network = convert(nn.Sequential(nn.BatchNorm2d(35), nn.BatchNorm2d(37)), "GroupNorm:auto")
    assert "GroupNorm(7, 35" in str(network)
    assert "GroupNorm(1, 37" in str(network)


# -- networks of others ----------------------------------------------------------------------------


def _densenet():
    from monai.networks.nets import DenseNet121

    return DenseNet121(2, 3, 10, init_features=16, growth_rate=8), images(size=32), 121


def _unet():
    from monai.networks.nets import UNet

    return UNet(3, 1, 2, (8, 16, 32), (2, 2), norm="batch"), images(1, 16, axes=3, count=1), 4


def _efficientnet():
    from efficientnet_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-b0"), images(size=64, count=2), 49


@pytest.mark.parametrize("made", [_densenet, _unet, _efficientnet])
def test_networks_of_other_packages_are_converted_and_back(made):
    network, x, count = made()
    network.eval()
    before = network(x)
    done = normscope.convert(network, "gn:auto", x)
    assert (len(done.swapped), done.left) == (count, ())
    assert not any(
        isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules()
    )
    assert not torch.allclose(network(x), before)
    network.train()(x).sum().backward()
    network.eval()
    assert len(normscope.convert(network, "bn", x).swapped) == count
    torch.testing.assert_close(network(x), before, rtol=0, atol=0)
