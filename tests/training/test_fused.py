"""The fused operation against the layers it replaces, in float64 and step by step."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from normscope.models import MODELS
from normscope.models.layers import Dropout
from normscope.norms import NORMS, asked
from normscope.norms.by_layer import coefficients_of, from_sums_of
from normscope.training.fused import Fused, FusedNorm
from normscope.training.fused.operation import NormOfSums
from normscope.training.seeds import generator

# Half a unit in the last place, and what rounding of sums adds to it; torch's own batch norm in
# channels_last is off by 1.5e-4 in float32.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 4e-3}
SHAPES = {"a lane is a row": (6, 16, 30, 30), "one pixel": (5, 28, 1, 1), "odd": (3, 20, 7, 5)}
FUSED = [name for name, make in NORMS.items() if coefficients_of(make(8))]
OF_SUMS = [name for name, make in NORMS.items() if from_sums_of(make(8))]
ORDERS = [*FUSED, *OF_SUMS, "bn:pre", "gn:pre"]  # the passes for ReLU after the norm, too
# One norm for each kind of factors (of the batch, of a sample) and each of the passes.
KINDS = ["bn", "gn", "frn", "bn:pre"]


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def make_norm(name, channels):
    """A norm whose affine and running statistics are those of a layer that has trained."""
    stream = generator(0, "norm")
    layer = asked(name)(channels)
    nn.init.uniform_(layer.weight, 0.5, 2.0, generator=stream)
    nn.init.normal_(layer.bias, generator=stream)
    for buffer in layer.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 2.0, generator=stream)
    return layer


def make_input(shape, dtype):
    stream = generator(1, "input")
    channel = torch.randn(shape[1], 1, 1, generator=stream)
    x = torch.randn(shape, generator=stream) + channel
    x[0, 0, 0, 0] = 0.0  # where the slope of ReLU is a convention
    return x.to(dtype).to(memory_format=torch.channels_last)


def relu_norm_dropout(norm, dropout, x):
    return FusedNorm(norm, dropout, relu_before=True)(x)


def layer_by_layer(norm, dropout, x):
    return dropout(norm(torch.relu(x)))


def operations(name):
    """The fused operation, and what it stands for, in the order that the norm has in a network."""
    if name.endswith(":pre"):
        return (
            lambda norm, dropout, x: FusedNorm(norm, dropout, relu_after=True)(x),
            lambda norm, dropout, x: dropout(torch.relu(norm(x))),
        )
    if name in OF_SUMS:
        return (
            lambda norm, dropout, x: dropout(NormOfSums(norm)(x)),
            lambda norm, dropout, x: dropout(norm(x)),
        )
    if NORMS[name].replaces_activation:
        return (
            lambda norm, dropout, x: FusedNorm(norm, dropout)(x),
            lambda norm, dropout, x: dropout(norm(x)),
        )
    return relu_norm_dropout, layer_by_layer


def outcome(function, norm, x, training, double=False):
    """Output, gradients and buffers of one pass forward and backward."""
    norm = copy.deepcopy(norm).train(training)
    dropout = Dropout(0.1, generator(2, "dropout")).train(training)
    x = x.detach().clone(memory_format=torch.preserve_format)
    if double:
        norm, x = norm.double(), x.double()
    y = function(norm, dropout, x.requires_grad_())
    gradient_y = torch.randn(y.shape, generator=generator(3, "gradient")).bfloat16()
    y.backward(gradient_y.to(y.dtype))  # bfloat16 is exact in the other types
    values = [y.detach(), x.grad, *(p.grad for p in norm.parameters()), *norm.buffers()]
    return [value.double() for value in values]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", KINDS)
def test_agrees_with_the_layers_in_float64(name, shape, dtype, training, threads):
    if (name, shape) == ("frn", "one pixel"):
        return  # x / sqrt(x^2) has no slope but that of rounding; such a network is refused
    assert_agrees(name, SHAPES[shape], dtype, training)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", [name for name in ORDERS if name not in KINDS])
def test_every_norm_agrees_with_its_layers_in_float64(name, training):
    assert_agrees(name, (5, 20, 7, 5), torch.float32, training)


@pytest.mark.parametrize("name", OF_SUMS)
def test_a_norm_that_takes_only_its_sums_from_a_pass_agrees_in_bfloat16(name):
    """Its gradient is rounded twice: once through the sums, and once past them."""
    assert_agrees(name, (5, 20, 7, 5), torch.bfloat16, training=True, roundings=4)


def assert_agrees(name, shape, dtype, training, roundings=1):
    norm, x = make_norm(name, shape[1]), make_input(shape, dtype)
    fused, layers = operations(name)
    found = outcome(fused, norm, x, training)
    expected = outcome(layers, norm, x, training, double=True)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= roundings * TOLERANCE[dtype] * other.abs().max()


@pytest.mark.parametrize("name", ORDERS)
def test_without_gradients_it_is_the_same(name):
    norm, x = make_norm(name, 16), make_input((4, 16, 6, 6), torch.float32)
    dropout = Dropout(0.1, generator(0, "dropout")).eval()
    fused, _ = operations(name)
    with_graph = fused(norm.eval(), dropout, x)
    with torch.inference_mode():
        assert torch.equal(fused(norm, dropout, x), with_graph)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_any_memory_order_is_taken(memory_format):
    norm, x = make_norm("gn", 16), make_input((4, 16, 6, 6), torch.float32)
    dropout = Dropout(0.5, generator(0, "dropout")).eval()
    expected = layer_by_layer(norm, dropout, x)
    given = x.to(memory_format=memory_format).requires_grad_()
    y = relu_norm_dropout(norm, dropout, given)
    torch.testing.assert_close(y, expected)
    (gradient,) = torch.autograd.grad(y.square().sum(), given)
    plain = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(layer_by_layer(norm, dropout, plain).square().sum(), plain)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


# A norm that leaves the mean in multiplies it by the slope of its variance: both are large here.
@pytest.mark.parametrize("name", [name for name in FUSED if name not in ("bn-scale", "frn", "grn")])
@pytest.mark.parametrize(("mean", "sd"), [(100.0, 0.1), (1000.0, 1.0), (38.5, 0.0)])
def test_a_large_mean_does_not_drown_the_variance(name, mean, sd):
    norm = make_norm(name, 16)
    noise = torch.randn(6, 16, 9, 9, generator=generator(5, "noise"))
    x = (mean + sd * noise).to(memory_format=torch.channels_last)
    found = outcome(relu_norm_dropout, norm, x, training=True)
    expected = outcome(layer_by_layer, norm, x, training=True, double=True)
    # A float32 of this size is known to 6e-8 of the mean, so the output to that over the sd.
    tolerance = 1e-6 * max(1.0, mean / max(sd, 1e-5**0.5))
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert one.isfinite().all()
        assert (one - other).abs().max() <= tolerance * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("name", KINDS)
def test_frozen_parameters_get_no_gradient_and_the_input_does(name, frozen, training):
    norm = make_norm(name, 16)
    for parameter in frozen:
        getattr(norm, parameter).requires_grad_(False)
    x = make_input((4, 16, 6, 6), torch.float32)
    gradients = []
    for function, a_norm in zip(operations(name), (norm, copy.deepcopy(norm)), strict=True):
        dropout = Dropout(0.1, generator(0, "dropout"))
        given = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        y = function(a_norm.train(training), dropout.train(training), given)
        y.square().sum().backward()
        gradients.append([given.grad, *(parameter.grad for parameter in a_norm.parameters())])
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_backward_can_be_repeated_but_not_differentiated():
    dropout = Dropout(0.1, generator(0, "dropout"))
    x = make_input((4, 16, 6, 6), torch.float32).requires_grad_()
    y = relu_norm_dropout(make_norm("bn", 16), dropout, x).square().sum()
    first, second = (torch.autograd.grad(y, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    (once,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        once.sum().backward()


def test_other_types_are_refused_and_no_samples_are_none():
    dropout = Dropout(0.1, generator(0, "dropout")).eval()
    with pytest.raises(TypeError, match=r"not torch\.float64"):
        relu_norm_dropout(make_norm("gn", 8).double(), dropout, torch.ones(2, 8, 3, 3).double())
    empty = relu_norm_dropout(make_norm("gn", 8), dropout, torch.ones(0, 8, 3, 3))
    assert empty.shape == (0, 8, 3, 3)


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(8, affine=False),
        nn.BatchNorm2d(8, track_running_stats=False),
        nn.BatchNorm2d(8, momentum=None),
        nn.GroupNorm(2, 8, affine=False),
        nn.InstanceNorm2d(8),
    ],
    ids=repr,
)
def test_unusual_norms_are_called_as_they_are(norm):
    assert coefficients_of(norm) is None
    layers = nn.Sequential(nn.ReLU(), norm, Dropout(0.0, generator(0, "d")))
    x = torch.randn(3, 8, 4, 4)
    torch.testing.assert_close(Fused(layers)(x), copy.deepcopy(norm)(torch.relu(x)))


def test_bfloat16_is_rounded_to_the_nearest_and_ties_to_even():
    """A norm that multiplies by half a unit more than 1, so that most products are ties."""
    values = torch.tensor([1.0, 1.00390625, 1.01171875, 3.0, 257.0, 259.0, 0.1, 1e30])
    x = values.view(1, 8, 1, 1)
    dropout = Dropout(0.1, generator(0, "dropout")).eval()
    norm = nn.BatchNorm2d(8, eps=0.0).eval()
    norm.weight.data = torch.full((8,), 1.00390625)
    y = relu_norm_dropout(norm, dropout, x.bfloat16())
    assert torch.equal(y, (x.bfloat16().float() * 1.00390625).bfloat16())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_a_number_stays_so(name, dtype):
    x = make_input((4, 16, 6, 6), dtype)
    x[2, 3, 1, 1] = float("nan")
    dropout = Dropout(0.1, generator(0, "dropout"))
    y = operations(name)[0](make_norm(name, 16), dropout, x.requires_grad_())
    assert y[2, 3].isnan().any()
    y.sum().backward()
    assert x.grad[2, 3].isnan().any()


def test_one_value_per_channel_cannot_be_normalized_over_the_batch():
    dropout = Dropout(0.1, generator(0, "dropout"))
    with pytest.raises(ValueError, match="one value per channel"):
        relu_norm_dropout(NORMS["bn"](8), dropout, torch.ones(1, 8, 1, 1))


def test_threads_change_no_bit():
    norm, x = make_norm("gn", 16), make_input((7, 16, 30, 30), torch.float32)
    before = torch.get_num_threads()
    outcomes = []
    for threads in (1, 2, 5, 16):
        torch.set_num_threads(threads)
        outcomes.append(outcome(relu_norm_dropout, norm, x, training=True))
    torch.set_num_threads(before)
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


# -- a whole network -----------------------------------------------------------------------------


def network(norm, model="s8"):
    made = MODELS[model](asked(norm), 10, generator(0, "init"), generator(0, "dropout"))
    return made.to(memory_format=torch.channels_last)


def test_what_is_unknown_is_called_as_it_is():
    calls = []

    class Other(nn.Identity):
        def forward(self, x):
            calls.append(x.shape)
            return x

    layers = nn.Sequential(nn.ReLU(), Other(), Dropout(0.5, generator(0, "d")))
    x = torch.randn(2, 3, 4, 4)
    layers.eval()
    assert torch.equal(Fused(layers)(x), torch.relu(x))
    assert calls == [x.shape]


def around(norm, before=(), after=()):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), *before, norm, *after, nn.Conv2d(8, 4, 1))


@pytest.mark.parametrize(
    ("before", "after"), [((), ()), ((), (nn.ReLU(inplace=True),)), ((nn.ReLU(),), ())]
)
def test_a_norm_without_dropout_is_fused_too(before, after, monkeypatch):
    layers = around(nn.GroupNorm(2, 8), before, after)
    x = torch.randn(2, 3, 8, 8)
    expected = layers(x)
    gradients = torch.autograd.grad(expected.square().sum(), list(layers.parameters()))
    for kind in (nn.ReLU, nn.GroupNorm):
        monkeypatch.setattr(kind, "forward", lambda self, x: pytest.fail("was called"))
    found = Fused(layers)(x)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), list(layers.parameters())), gradients, strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_norm_with_a_hook_is_called():
    layers, seen = around(nn.BatchNorm2d(8)), []
    layers[1].register_forward_hook(lambda layer, inputs, y: seen.append(y.shape))
    Fused(layers)(torch.randn(2, 3, 8, 8))
    assert seen == [(2, 8, 6, 6)]


def test_a_norm_of_vectors_is_called_as_it_is():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.GroupNorm(2, 8), nn.ReLU())
    x = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(Fused(layers)(x), layers(x))


@pytest.mark.parametrize("name", ORDERS)
def test_every_block_of_the_network_is_fused(name, monkeypatch):
    model = network(name)
    own = () if name in OF_SUMS else (Dropout,)  # a layer of its own after those
    for kind in (nn.ReLU, type(asked(name)(8)), *own):
        monkeypatch.setattr(kind, "forward", lambda self, x: pytest.fail("was called"))
    assert Fused(model)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def losses_of(name, shapes, *, fused, dropout_seed):
    """The losses of the first steps of a training."""
    model = MODELS["s8"](
        asked(name), 10, generator(0, "init"), generator(dropout_seed, "dropout")
    ).to(memory_format=torch.channels_last)
    forward = Fused(model) if fused else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for step in range(10):
        batch = slice(64 * (step % 4), 64 * (step % 4 + 1))
        x = torch.from_numpy(shapes.train_images[batch]).permute(0, 3, 1, 2) / 127.5 - 1
        loss = cross_entropy(forward(x), torch.from_numpy(shapes.train_labels[batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


@pytest.mark.parametrize("name", KINDS)
def test_trains_as_the_layers_do_step_by_step(name, shapes):
    """With the same dropped elements. A ReLU or a max-pool near a tie turns a rounding into another
    path, sooner or later by processor, so the bound is what other dropped elements make of the same
    training, on average over the steps.
    """
    layers = losses_of(name, shapes, fused=False, dropout_seed=0)
    fused = losses_of(name, shapes, fused=True, dropout_seed=0)
    others = [losses_of(name, shapes, fused=False, dropout_seed=seed) for seed in (1, 2, 3)]
    torch.testing.assert_close(fused[:2], layers[:2], rtol=5e-4, atol=0)
    spread = torch.stack([(other - layers).abs().mean() for other in others]).median()
    assert (fused - layers).abs().mean() < spread
    assert fused[-1] < fused[0]
