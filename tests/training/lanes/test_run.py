"""Networks in lanes against the same networks in float64, layer by layer in torch."""

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from normscope.models.layers import Dropout, Residual, conv2d, relu_and_norm
from normscope.norms import asked
from normscope.training.forward import InBfloat16
from normscope.training.fused.fuse import Fused, steps_of
from normscope.training.lanes import target
from normscope.training.lanes.passing import Passed
from normscope.training.lanes.run import Run, in_lanes, only_planned
from normscope.training.seeds import generator

here = target()
pytestmark = pytest.mark.skipif(here is None, reason="no vectors that lanes are for")
bfloat16 = pytest.mark.skipif(here is None or not here.bfloat16, reason="no bfloat16")


def network(norm, dropout=0.1, bias=False):
    """A few layers of every kind that lanes compute, on odd sizes; a head that they do not."""
    make, stream = asked(norm), generator(0, "dropout")

    def normed(channels):
        own = [make(channels), Dropout(dropout, stream)]
        return [own[0], nn.ReLU(), own[1]] if norm.endswith(":pre") else [nn.ReLU(), *own]

    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias), *normed(8),
        nn.Conv2d(8, 5, 1, bias=False), nn.MaxPool2d(2),
        nn.Conv2d(5, 8, 3, stride=2, padding=1, bias=False), *normed(8),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 3, padding=1, bias=False), *normed(4),
        nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    for layer in layers:
        if getattr(layer, "running_var", None) is not None:
            nn.init.uniform_(layer.running_var, 0.5, 2.0, generator=generator(1, "norm"))
    return layers.to(memory_format=torch.channels_last)


class InLanes(nn.Module):
    """A sequence whose steps are joined to runs."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.steps = layers, in_lanes(steps_of(layers))

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


def batch(samples, dtype=torch.float32, size=18):
    stream = generator(1, "input")
    x = torch.randn(samples, 3, size, size + 2, generator=stream)
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def step(model, x, targets):
    """The loss and the gradients of all parameters."""
    loss = cross_entropy(model(x), targets)
    return [loss.detach(), *torch.autograd.grad(loss, [*model.parameters()])]


def distance(found, expected):
    """The largest difference over the largest value."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("norm", ["bn", "gn:groups=2", "in", "bn:pre"])
@pytest.mark.parametrize("samples", [5, 33])
def test_a_step_agrees_with_float64(norm, samples, threads):
    """The same elements are dropped, and the tail of the last block has no part in anything."""
    plain, lanes = network(norm).double(), InLanes(network(norm))
    assert [type(each).__name__ for each in lanes.steps] == ["Run", "Flatten", "Linear"]
    x, targets = batch(samples), torch.arange(samples) % 3
    expected = step(plain, x.double(), targets)
    for found, right in zip(step(lanes, x, targets), expected, strict=True):
        assert distance(found, right) < 1e-5
    for own, right in zip(lanes.buffers(), plain.buffers(), strict=True):
        assert distance(own, right) < 1e-5


@pytest.mark.parametrize("norm", ["bn", "gn:groups=2", "bn:pre"])
def test_in_evaluation_it_answers_alike(norm):
    plain, lanes = network(norm).double().eval(), InLanes(network(norm)).eval()
    with torch.no_grad():
        assert distance(lanes(batch(7)), plain(batch(7).double())) < 1e-5
    # With gradients, as an attribution asks for, of the images too.
    x = batch(7).requires_grad_()
    right = batch(7).double().requires_grad_()
    lanes(x).sum().backward()
    plain(right).sum().backward()
    assert distance(x.grad, right.grad) < 1e-5


@bfloat16
@pytest.mark.parametrize("norm", ["bn", "gn:groups=2"])
def test_in_bfloat16_it_is_as_near_to_float64_as_torch_is(norm):
    samples = 33
    x, targets = batch(samples), torch.arange(samples) % 3
    expected = step(network(norm).double(), x.double(), targets)
    by_torch = step(InBfloat16(network(norm)), x, targets)
    in_lanes_ = step(InBfloat16(InLanes(network(norm))), x, targets)
    for found, torchs, right in zip(in_lanes_, by_torch, expected, strict=True):
        own, other = (float((a.double() - right).norm() / right.norm()) for a in (found, torchs))
        assert own < 1.5 * other + 0.02


def test_every_step_of_the_same_network_is_the_same(threads):
    x, targets = batch(40), torch.arange(40) % 3
    once, again = (step(InLanes(network("gn:groups=2")), x, targets) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        assert torch.equal(one, other)


def test_the_memory_of_a_step_does_not_wait_for_the_garbage_collector():
    lanes, x, targets = InLanes(network("bn")), batch(5), torch.arange(5) % 3
    step(lanes, x, targets)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        step(lanes, x, targets)
        gc.collect()
        left = [each for each in gc.garbage if isinstance(each, np.ndarray | torch.Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


def test_a_network_trains_on_after_its_shape_changes():
    lanes, plain = InLanes(network("bn", 0.0)), network("bn", 0.0).double()
    for size, samples in ((18, 4), (14, 20), (18, 17)):
        x, targets = batch(samples, size=size), torch.arange(samples) % 3
        expected = step(plain, x.double(), targets)
        for found, right in zip(step(lanes, x, targets), expected, strict=True):
            assert distance(found, right) < 1e-5


def test_a_frozen_convolution_and_a_frozen_norm_change_nothing_else():
    lanes, plain = InLanes(network("bn", 0.0)), network("bn", 0.0)
    for model in (lanes.layers, plain):
        model[0].weight.requires_grad_(False)
        model[2].bias.requires_grad_(False)
        cross_entropy(model(batch(6)), torch.arange(6) % 3)
    for model in (lanes, plain):
        cross_entropy(model(batch(6)), torch.arange(6) % 3).backward()
    for own, right in zip(lanes.layers.parameters(), plain.parameters(), strict=True):
        assert (own.grad is None) == (right.grad is None)
        if own.grad is not None:
            assert distance(own.grad, right.grad) < 1e-5


# -- networks of every kind ------------------------------------------------------------------------


def branched(norm, stream):
    """Blocks as in a residual network, the second of which halves the map and widens it."""
    make = asked(norm)

    def block(channels, widened, stride, bent):
        inner = nn.Sequential(
            nn.Conv2d(channels, widened, 3, stride=stride, padding=1, bias=False), make(widened),
            nn.ReLU(), nn.Conv2d(widened, widened, 3, padding=1, bias=False), make(widened),
            Dropout(0.1, stream),
        )  # fmt: skip
        activation = nn.ReLU() if bent else None
        return Residual(inner, stride, widened - channels, activation)

    return [
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), make(4), nn.ReLU()),
        block(4, 4, 1, bent=True), block(4, 12, 2, bent=True), block(12, 12, 1, bent=False),
        Dropout(0.1, stream), nn.Identity(),
    ]  # fmt: skip


def unnormed(norm, stream):
    """Biases, activations and dropout, with one norm in between."""
    return [
        nn.Conv2d(3, 5, 3), nn.ReLU(), Dropout(0.1, stream),
        nn.Conv2d(5, 6, 1), Dropout(0.1, stream), nn.GELU(), nn.ReLU(),
        nn.Conv2d(6, 7, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), Dropout(0.1, stream),
        nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(7, 12, 3, padding=1), asked(norm)(12),
    ]  # fmt: skip


def plain_norms(norm, stream):
    """Convolutions as the norm asks for them, the norm behind ReLU, dropout."""
    make, layers, channels = asked(norm), [], 3
    for widened in (6, 12):
        layers.append(conv2d(
            channels, widened, 3, generator=generator(2, "init"), make_norm=make,
            after_relu=channels > 3,
        ))  # fmt: skip
        layers += [*relu_and_norm(make, widened), Dropout(0.1, stream)]
        channels = widened
    return layers


KINDS = [
    (branched, "bn"), (branched, "gn:groups=2"), (branched, "frn"), (unnormed, "bn"),
    (unnormed, "frn"), (plain_norms, "frn"), (plain_norms, "dyt"), (plain_norms, "ln-channel"),
    (plain_norms, "gn-ws:groups=2"), (plain_norms, "nf-ws"), (plain_norms, "none"),
    (plain_norms, "brn"), (plain_norms, "ghost-bn:size=5"), (plain_norms, "grn"),
]  # fmt: skip


def of_kind(kind, norm):
    torch.manual_seed(0)
    layers = kind(norm, generator(0, "dropout"))
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)
    network = nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)
    for name, parameter in network.named_parameters():  # no floor or scale is 0 for long
        if parameter.dim() == 1 and "bias" not in name:
            nn.init.uniform_(parameter, 0.3, 1.3, generator=generator(len(name), "norm"))
    return network


def square(samples):
    return batch(samples)[..., :18].contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kind", "norm"), KINDS)
def test_every_kind_of_layer_is_one_run_that_agrees_with_float64(kind, norm):
    plain, lanes = of_kind(kind, norm).double(), InLanes(of_kind(kind, norm))
    assert [type(each).__name__ for each in lanes.steps] == ["Run", "Flatten", "Linear"]
    x, targets = square(21), torch.arange(21) % 3
    expected = step(plain, x.double(), targets)
    for found, right in zip(step(lanes, x, targets), expected, strict=True):
        if right.abs().max() > 1e-12:  # that of a bias in front of bn is 0
            assert distance(found, right) < 2e-5
    plain.eval(), lanes.eval()
    with torch.no_grad():
        assert distance(lanes(x), plain(x.double())) < 1e-5


@bfloat16
@pytest.mark.parametrize(
    ("kind", "norm"), [(branched, "bn"), (unnormed, "bn"), (plain_norms, "frn")]
)
def test_every_kind_of_layer_in_bfloat16(kind, norm):
    x, targets = square(33), torch.arange(33) % 3
    expected = step(of_kind(kind, norm).double(), x.double(), targets)
    by_torch = step(InBfloat16(of_kind(kind, norm)), x, targets)
    lanes = InLanes(of_kind(kind, norm))
    found = step(InBfloat16(lanes), x, targets)
    assert lanes.steps[0].layers is not None
    for own, torchs, right in zip(found, by_torch, expected, strict=True):
        if right.abs().max() > 1e-12:
            mine, other = (float((a.double() - right).norm() / right.norm()) for a in (own, torchs))
            assert mine < 1.5 * other + 0.03


def test_branches_of_other_shapes_are_torchs():
    """Blocks whose inner network is not known, is listened to, or leaves another shape."""
    conv = nn.Conv2d(4, 4, 3, bias=False)
    first, convolution = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
    heard = Residual(nn.Sequential(convolution))
    heard.register_forward_hook(lambda *_: None)
    for block in (Residual(nn.Sequential(nn.Softmax2d())), heard, Residual(convolution)):
        run, rest = in_lanes([first, nn.ReLU(), nn.MaxPool2d(2), block])
        assert isinstance(run, Run)
        assert rest is block
    (run,) = in_lanes([first, Residual(nn.Sequential(conv))])
    with pytest.raises(RuntimeError, match="must match"):
        run(batch(2))


@bfloat16
def test_a_branch_that_parts_words_is_torchs_in_bfloat16():
    inner = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, bias=False))
    (run,) = in_lanes([nn.Conv2d(3, 4, 3, bias=False), Residual(inner, added=2)])
    with torch.autocast("cpu", torch.bfloat16):
        assert run(batch(2)).shape == (2, 6, 16, 18)
    assert run.layers is None
    run(batch(2))
    assert run.layers is not None


# -- what is not what it looks like ----------------------------------------------------------------


class Twice:
    """A layer's result, doubled: what a subclass may do."""

    def forward(self, x):
        return 2 * super().forward(x)


class OwnReLU(Twice, nn.ReLU):
    pass


class OwnMaxPool(Twice, nn.MaxPool2d):
    pass


class OwnAvgPool(Twice, nn.AvgPool2d):
    pass


class OwnMean(Twice, nn.AdaptiveAvgPool2d):
    pass


class OwnDropout(Twice, Dropout):
    pass


class OwnResidual(Twice, Residual):
    pass


def convolution(channels, widened, kernel=1):
    return nn.Conv2d(channels, widened, kernel, padding=kernel // 2, bias=False)


def looks_like(name):
    torch.manual_seed(0)
    first, last = convolution(3, 4, 3), convolution(4, 4)
    norm = nn.BatchNorm2d(4)
    inner = nn.Sequential(convolution(4, 4, 3))
    return nn.Sequential(*{
        "ReLU": [first, OwnReLU(), last],
        "ReLU before a norm": [first, OwnReLU(), norm, last],
        "ReLU behind a norm": [first, norm, OwnReLU(), last],
        "max pooling": [first, OwnMaxPool(2), last],
        "max pooling behind ReLU": [first, nn.ReLU(), OwnMaxPool(2), last],
        "average pooling": [first, nn.ReLU(), OwnAvgPool(2), last],
        "mean": [first, nn.ReLU(), OwnMean(1), last],
        "dropout": [first, nn.ReLU(), OwnDropout(0.1, generator(0, "dropout")), last],
        "dropout behind a norm": [first, norm, OwnDropout(0.1, generator(0, "dropout")), last],
        "residual": [first, nn.ReLU(), OwnResidual(inner), last],
        "another activation": [first, nn.ReLU(), Residual(inner, activation=nn.GELU()), last],
        "no activation": [first, nn.ReLU(), Residual(inner, activation=nn.Identity()), last],
        "fewer channels": [
            first, nn.ReLU(), Residual(nn.Sequential(convolution(4, 2)), 1, -2), convolution(2, 4)
        ],
    }[name]).to(memory_format=torch.channels_last)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["ReLU", "ReLU before a norm", "ReLU behind a norm", "max pooling", "max pooling behind ReLU",
     "average pooling", "mean", "dropout", "dropout behind a norm", "residual",
     "another activation", "no activation", "fewer channels"],
)  # fmt: skip
def test_what_only_looks_like_a_known_layer_is_torchs(name):
    plain, lanes, x = looks_like(name).double(), InLanes(looks_like(name)), square(5)
    expected, found = (
        [y.detach(), *torch.autograd.grad((y * y.detach().cos()).sum(), [*model.parameters()])]
        for model, y in ((plain, plain(x.double())), (lanes, lanes(x)))
    )
    for own, right in zip(found, expected, strict=True):
        assert distance(own, right) < 2e-5


def test_a_parameters_hook_is_called_once():
    lanes, plain = InLanes(of_kind(unnormed, "none")), of_kind(unnormed, "none")
    for model in (lanes.layers, plain):
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                layer.weight.register_hook(lambda g: 2 * g)
                layer.bias.register_hook(lambda g: 3 * g)
    x = square(5)
    for model in (lanes, plain):
        model(x).square().sum().backward()
    for own, right in zip(lanes.layers.parameters(), plain.parameters(), strict=True):
        assert distance(own.grad, right.grad) < 2e-5


def test_a_parameter_that_changed_before_the_way_back_is_noticed():
    lanes = InLanes(of_kind(unnormed, "none"))
    y = lanes(square(3)).sum()
    with torch.no_grad():
        lanes.layers[3].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_a_graph_that_is_used_up_is_noticed():
    y = InLanes(of_kind(unnormed, "none"))(square(3)).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_parameters_in_bfloat16_are_torchs_under_autocast():
    lanes, plain = InLanes(of_kind(unnormed, "none")), of_kind(unnormed, "none").bfloat16()
    lanes.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert distance(lanes(square(3)), plain(square(3)).double()) < 0.05
    assert lanes.steps[0].layers is None


def test_images_of_other_channels_are_refused_by_torch():
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        InLanes(network("bn"))(torch.randn(2, 5, 18, 20))


def test_a_model_with_runs_can_be_pickled_and_copied():
    model = Fused(network("bn", 0.0), in_lanes).eval()
    x = batch(3)
    with torch.no_grad():
        expected = model(x)
        assert torch.equal(copy.deepcopy(model)(x), expected)
        assert torch.equal(pickle.loads(pickle.dumps(model))(x), expected)  # noqa: S301 - our own


# -- whether it is worth it ------------------------------------------------------------------------


def test_what_is_not_worth_it_is_computed_by_its_steps():
    layers, asked_of = network("bn", 0.0).eval(), []
    (run, *_) = in_lanes(steps_of(layers), worth=lambda found: asked_of.append(found) or False)
    x = batch(3)
    with torch.no_grad():
        found = run(x)
        expected = layers[:-2](x)
        run(x)
    assert run.layers is None
    assert len(asked_of) == 1  # for each size of images once
    assert len(asked_of[0]) == len(run.stages)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_only_planned_compiles_nothing(monkeypatch):
    lanes = InLanes(network("bn", 0.0)).eval()
    monkeypatch.setattr(Passed, "__init__", lambda *_: pytest.fail("computed in lanes"))
    with torch.no_grad(), only_planned():
        lanes(batch(3))
    assert len(lanes.steps[0].layers) == len(lanes.steps[0].stages)


# -- what lanes leave alone ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(3, 4, 5, bias=False),
        nn.Conv2d(3, 4, 3, dilation=2, bias=False),
        nn.Conv2d(3, 4, 3, padding="same", bias=False),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", bias=False),
        nn.Conv2d(3, 4, (3, 1), bias=False),
        nn.Conv2d(3, 4, 3, stride=3, bias=False),
    ],
    ids=str,
)
def test_other_convolutions_stay_torchs(layer):
    assert in_lanes([layer, layer]) == [layer, layer]


@pytest.mark.parametrize(
    "layer",
    [nn.MaxPool2d(3), nn.MaxPool2d(2, 1), nn.MaxPool2d(2, padding=1), nn.AvgPool2d(2, 1),
     nn.AvgPool2d(2, padding=1), nn.AdaptiveAvgPool2d(2), nn.Softmax2d(),
     nn.ReLU6(inplace=True), nn.Dropout()],
    ids=str,
)  # fmt: skip
def test_what_is_no_such_pooling_ends_a_run(layer):
    run, rest = in_lanes([nn.Conv2d(3, 4, 3, bias=False), nn.MaxPool2d(2), nn.MaxPool2d(2), layer])
    assert isinstance(run, Run)
    assert rest is layer


def test_a_layer_that_somebody_listens_to_is_called():
    layers, heard = network("bn"), []
    layers[4].register_forward_hook(lambda *_: heard.append("called"))
    InLanes(layers)(batch(3))
    assert heard == ["called"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_another_type_goes_layer_by_layer(dtype):
    layers = network("bn", 0.0).to(dtype).eval()
    x = batch(3, dtype)
    try:
        expected = layers(x)
        found = InLanes(copy.deepcopy(layers))(x)
    except TypeError as error:  # the fused norm's, which says what it takes
        assert "float32 or bfloat16 can be fused" in str(error)  # noqa: PT017
    else:
        assert torch.allclose(found, expected, atol=0.1)


def test_no_images_and_images_too_small_for_it_are_torchs():
    lanes = InLanes(network("bn")).eval()
    assert lanes(batch(0)).shape == (0, 3)
    with pytest.raises(RuntimeError, match="too small"):
        lanes(batch(2, size=4))
