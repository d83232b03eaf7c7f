"""Every norm against its paper's formula, written out in numpy in float64, and its gradient."""

import copy
from math import erf

import numpy as np
import pytest
import torch
from torch import nn

from normscope.norms import NORMS, PACKAGED_NORMS, asked
from normscope.norms.batch import BatchRenorm, newton_lambda
from normscope.norms.weight import GAMMA_RELU, ScaledConv2d, StandardizedConv2d

N, C, H, W = 5, 8, 6, 7
CHANNEL = (1, C, 1, 1)  # of x (N, C, H, W)


@pytest.fixture
def x():
    rng = np.random.default_rng(1)
    return rng.normal(1.0, 3.0, (N, C, H, W)) * rng.uniform(0.5, 2.0, CHANNEL)


def made(name, dtype=torch.float64):
    """A layer of 8 channels with parameters that none has at the start."""
    layer = asked(name)(C)
    layer.to(dtype)
    layer(torch.zeros(2, C, H, W, dtype=dtype)) if name == "ln-full" else None
    rng = np.random.default_rng(2)
    for key, parameter in layer.named_parameters():
        low, high = {"rho": (0.1, 0.9), "alpha": (0.3, 0.7)}.get(key, (-1.5, 1.5))
        drawn = rng.uniform(low, high, tuple(parameter.shape))
        parameter.data = torch.from_numpy(drawn).to(dtype)
    if hasattr(layer, "generator"):
        layer.generator = torch.Generator().manual_seed(3)
    return layer


def values(layer, name, shape=CHANNEL):
    return getattr(layer, name).detach().numpy().reshape(shape)


def run(layer, x, memory_format=torch.contiguous_format):
    return layer(torch.from_numpy(x).to(memory_format=memory_format)).detach().numpy()


# -- the formulas: of the layer's parameters, x, and whether it is trained -------------------------


def standard(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def in_groups(x, groups, eps):
    grouped = x.reshape(len(x), groups, C // groups, *x.shape[2:])
    return standard(grouped, (2, 3, 4), eps).reshape(x.shape)


def gamma_beta(layer, y):
    return values(layer, "weight") * y + values(layer, "bias")


def ghost(layer, x):
    parts = [x[i : i + layer.size] for i in range(0, len(x), layer.size)]
    return np.concatenate([standard(part, (0, 2, 3), 1e-5) for part in parts])


def evo_s0(layer, x):
    spread = np.sqrt(x.reshape(len(x), 4, -1).var(2) + 1e-5).repeat(C // 4, 1)[..., None, None]
    return x / (1 + np.exp(-values(layer, "v") * x)) / spread


def evo_b0(layer, x):
    of_batch = np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    of_instance = np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    return x / np.maximum(of_batch, values(layer, "v") * x + of_instance)


def switch(layer, x):
    axes = ((2, 3), (1, 2, 3), (0, 2, 3))
    shares = [np.exp(values(layer, key, 3)) for key in ("mean_weight", "var_weight")]
    mean = sum(s * x.mean(a, keepdims=True) for s, a in zip(shares[0], axes, strict=True))
    var = sum(s * x.var(a, keepdims=True) for s, a in zip(shares[1], axes, strict=True))
    return (x - mean / shares[0].sum()) / np.sqrt(var / shares[1].sum() + 1e-5)


def whitened(x):
    """By eigenvalues, to which the Newton iterations of the layer converge."""
    flat = x.transpose(1, 0, 2, 3).reshape(C, -1)
    centred = flat - flat.mean(1, keepdims=True)
    eigenvalues, vectors = np.linalg.eigh(centred @ centred.T / centred.shape[1] + 1e-5 * np.eye(C))
    white = vectors @ np.diag(eigenvalues**-0.5) @ vectors.T @ centred
    return white.reshape(C, len(x), *x.shape[2:]).transpose(1, 0, 2, 3)


def responses(layer, x):
    g = np.sqrt((x**2).sum((2, 3), keepdims=True))
    weight, bias = values(layer, "weight"), values(layer, "bias")
    return x + weight * x * g / (g.mean(1, keepdims=True) + 1e-6) + bias


def neighbours(x):
    padded = np.pad(x**2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    sums = sum(padded[:, i : i + C] for i in range(5))
    return x / (1 + 1e-4 / 5 * sums) ** 0.75


def bent(layer, x):
    z = values(layer, "alpha", 1) * x + (0 if layer.s is None else values(layer, "s", 1))
    return {
        "tanh": np.tanh,
        "erf": np.vectorize(erf),
        "isru": lambda z: z / np.sqrt(z**2 + 1),
        "arctan": lambda z: 2 / np.pi * np.arctan(z),
        "satursin": lambda z: np.sin(np.clip(z, -np.pi / 2, np.pi / 2)),
        "expsign": lambda z: np.sign(z) * (1 - np.exp(-np.abs(z))),
    }[layer.bend](z)


def yeo_johnson(z, power):
    """Case by case, as Yeo and Johnson have it."""
    with np.errstate(invalid="ignore"):
        above = ((z + 1) ** power - 1) / power
        below = -((1 - z) ** (2 - power) - 1) / (2 - power)
    return np.where(z >= 0, above, below)


def normality(layer, x):
    z = standard(x, (0, 2, 3), 1e-5)
    power = newton_lambda(torch.from_numpy(z), 1e-5**0.5).numpy().reshape(CHANNEL)
    h = yeo_johnson(z, power)
    spread = np.abs(h - h.mean((0, 2, 3), keepdims=True)).mean((0, 2, 3), keepdims=True)
    drawn_NHWC = torch.empty(x.transpose(0, 2, 3, 1).shape, dtype=torch.float64)
    drawn_NHWC.normal_(generator=torch.Generator().manual_seed(3))
    return h + 0.4 * spread * drawn_NHWC.numpy().transpose(0, 3, 1, 2)


def mixed(layer, x):
    rho = values(layer, "rho")
    return rho * standard(x, (0, 2, 3), 1e-5) + (1 - rho) * standard(x, (2, 3), 1e-5)


FORMULAS = {
    "bn": lambda layer, x: gamma_beta(layer, standard(x, (0, 2, 3), 1e-5)),
    "gn": lambda layer, x: gamma_beta(layer, in_groups(x, 4, 1e-5)),
    "gn:groups=2": lambda layer, x: gamma_beta(layer, in_groups(x, 2, 1e-5)),
    "gn:size=2": lambda layer, x: gamma_beta(layer, in_groups(x, 4, 1e-5)),
    "gn-ws": lambda layer, x: gamma_beta(layer, in_groups(x, 4, 1e-5)),
    "ln": lambda layer, x: gamma_beta(layer, standard(x, (1, 2, 3), 1e-5)),
    "ln-channel": lambda layer, x: gamma_beta(layer, standard(x, (1,), 1e-6)),
    "ln-full": lambda layer, x: (
        values(layer, "weight", (1, C, H, W)) * standard(x, (1, 2, 3), 1e-5)
        + values(layer, "bias", (1, C, H, W))
    ),
    "in": lambda layer, x: gamma_beta(layer, standard(x, (2, 3), 1e-5)),
    "rms": lambda layer, x: (
        values(layer, "weight") * x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6)
    ),
    "ghost-bn": lambda layer, x: gamma_beta(layer, ghost(layer, x)),
    "ghost-bn:size=2": lambda layer, x: gamma_beta(layer, ghost(layer, x)),
    "brn": lambda layer, x: gamma_beta(layer, standard(x, (0, 2, 3), 1e-3)),  # at the first step
    "bn-center": lambda layer, x: gamma_beta(layer, x - x.mean((0, 2, 3), keepdims=True)),
    "bn-scale": lambda layer, x: gamma_beta(
        layer, x / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    ),
    "frn": lambda layer, x: np.maximum(
        gamma_beta(layer, x / np.sqrt((x**2).mean((2, 3), keepdims=True) + 1e-6)),
        values(layer, "tau"),
    ),
    "evo-s0": lambda layer, x: gamma_beta(layer, evo_s0(layer, x)),
    "evo-b0": lambda layer, x: gamma_beta(layer, evo_b0(layer, x)),
    "switch": lambda layer, x: gamma_beta(layer, switch(layer, x)),
    "iternorm:steps=15": lambda layer, x: gamma_beta(layer, whitened(x)),
    "grn": responses,
    "bnn": lambda layer, x: gamma_beta(layer, normality(layer, x)),
    "bin": lambda layer, x: gamma_beta(layer, mixed(layer, x)),
    "lrn": lambda layer, x: neighbours(x),
    "none": lambda layer, x: x,
    "nf-ws": lambda layer, x: x,
    **{
        name: lambda layer, x: gamma_beta(layer, bent(layer, x))
        for name in ("dyt", "derf", "isru", "arctan", "satursin", "expsign")
    },
}


def test_every_norm_has_its_formula():
    assert {name.split(":")[0] for name in FORMULAS} == set(PACKAGED_NORMS)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("name", FORMULAS)
def test_the_output_in_training_follows_the_formula(name, x, memory_format):
    layer = made(name)
    expected = FORMULAS[name](layer, x)
    atol = 1e-6 if name.startswith("iternorm") else 1e-9  # its iterations converge
    np.testing.assert_allclose(run(layer, x, memory_format), expected, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_gradient_is_that_of_finite_differences(name):
    """In training, from the same buffers and random numbers each time."""
    # The noise of bnn is scaled without a gradient; ever more iterations amplify rounding.
    layer = made({"bnn": "bnn:noise=0", "iternorm:steps=15": "iternorm"}.get(name, name))
    x = torch.randn(3, C, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def function(x, *parameters):
        names = [key for key, _ in layer.named_parameters()]
        own = copy.deepcopy(layer)
        return torch.func.functional_call(own, dict(zip(names, parameters, strict=True)), (x,))

    inputs = (x[:, :, :2, :3].clone() if name != "ln-full" else x, *layer.parameters())
    assert torch.autograd.gradcheck(function, [i.requires_grad_() for i in inputs])


# -- evaluation ------------------------------------------------------------------------------------


SAME = [name for name in FORMULAS
        if PACKAGED_NORMS[name.split(":")[0]].evaluation == "the same as in training"]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_norms_without_running_statistics_evaluate_as_they_train(name, x):
    layer = made(name)
    assert not list(layer.buffers())
    np.testing.assert_array_equal(run(layer, x), run(layer.eval(), x))
    np.testing.assert_allclose(run(layer, x)[:1], run(layer, x[:1]), rtol=1e-9, atol=1e-12)


def moved(x, momentum, start_mean=0.0, start_var=1.0):
    """Running mean and unbiased variance after one step."""
    axes = (0, 2, 3)
    mean = x.mean(axes, keepdims=True)
    var = x.var(axes, keepdims=True, ddof=1)
    return (
        (1 - momentum) * start_mean + momentum * mean,
        (1 - momentum) * start_var + momentum * var,
    )


def by_running(layer, x, mean, var):
    return gamma_beta(layer, (x - mean) / np.sqrt(var + 1e-5))


@pytest.mark.parametrize("name", ["bn", "ghost-bn:size=5"])
def test_they_evaluate_with_running_mean_and_unbiased_variance(name, x):
    layer = made(name)
    run(layer, x)
    expected = by_running(layer, x, *moved(x, 0.1))
    np.testing.assert_allclose(run(layer.eval(), x), expected, rtol=1e-6)
    assert layer.num_batches_tracked == 1


def test_the_running_values_of_ghost_bn_move_with_every_sub_batch(x):
    layer = made("ghost-bn:size=2")
    run(layer, x)
    mean, var = 0.0, 1.0
    for part in (x[:2], x[2:4], x[4:]):
        mean, var = moved(part, 0.1, mean, var)
    np.testing.assert_allclose(run(layer.eval(), x), by_running(layer, x, mean, var), rtol=1e-6)
    assert layer.num_batches_tracked == 3


def test_bn_center_and_bn_scale_evaluate_with_their_part(x):
    mean, var = moved(x, 0.1)
    for name, y in (("bn-center", x - mean), ("bn-scale", x / np.sqrt(var + 1e-5))):
        layer = made(name)
        run(layer, x)
        np.testing.assert_allclose(run(layer.eval(), x), gamma_beta(layer, y), rtol=1e-6)


def test_switch_and_bin_evaluate_with_running_values_for_the_batch(x):
    mean, var = moved(x, 0.1)
    layer = made("bin")
    run(layer, x)
    rho = values(layer, "rho")
    y = rho * (x - mean) / np.sqrt(var + 1e-5) + (1 - rho) * standard(x, (2, 3), 1e-5)
    np.testing.assert_allclose(run(layer.eval(), x), gamma_beta(layer, y), rtol=1e-6)

    layer = made("switch")
    run(layer, x)
    shares = [np.exp(values(layer, key, 3)) for key in ("mean_weight", "var_weight")]
    means = x.mean((2, 3), keepdims=True), x.mean((1, 2, 3), keepdims=True), mean
    variances = x.var((2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True), var
    a, b = (
        sum(s * m for s, m in zip(share / share.sum(), of, strict=True))
        for share, of in zip(shares, (means, variances), strict=True)
    )
    expected = gamma_beta(layer, (x - a) / np.sqrt(b + 1e-5))
    np.testing.assert_allclose(run(layer.eval(), x), expected, rtol=1e-6)


def test_bin_puts_its_shares_back_between_0_and_1(x):
    layer = made("bin")
    layer.rho.data = torch.linspace(-0.5, 1.5, C, dtype=torch.float64)
    run(layer, x)
    rho = layer.rho.detach()
    assert (float(rho.min()), float(rho.max())) == (0.0, 1.0)


def test_evo_b0_evaluates_with_the_running_variance(x):
    layer = made("evo-b0")
    run(layer, x)
    _, var = moved(x, 0.1)
    of_instance = np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    divisor = np.maximum(np.sqrt(var + 1e-5), values(layer, "v") * x + of_instance)
    np.testing.assert_allclose(run(layer.eval(), x), gamma_beta(layer, x / divisor), rtol=1e-6)


def test_iternorm_evaluates_with_running_mean_and_matrix(x):
    layer = made("iternorm:steps=15:momentum=1.0")
    trained = run(layer, x)
    np.testing.assert_allclose(run(layer.eval(), x), trained, rtol=1e-6, atol=1e-9)
    layer = made("iternorm")
    run(layer, x)
    mean = 0.1 * x.mean((0, 2, 3))
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-6)
    assert layer.running_whitening[0].diag().mean() > 0.9  # from the identity, by a tenth


def test_iternorm_whitens_by_groups(x):
    layer = asked("iternorm:size=4:steps=15")(C).double()
    y = run(layer, x).transpose(1, 0, 2, 3).reshape(C, -1)
    correlation = y @ y.T / y.shape[1]
    np.testing.assert_allclose(correlation[:4, :4], np.eye(4), atol=1e-3)
    np.testing.assert_allclose(correlation[4:, 4:], np.eye(4), atol=1e-3)


# -- batch renormalization -------------------------------------------------------------------------


def test_brn_evaluates_with_running_mean_and_standard_deviation(x):
    layer = made("brn")
    run(layer, x)
    mean = 0.01 * x.mean((0, 2, 3), keepdims=True)
    std = 0.99 + 0.01 * np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-3)
    np.testing.assert_allclose(run(layer.eval(), x), gamma_beta(layer, (x - mean) / std), rtol=1e-6)


@pytest.mark.parametrize(
    ("step", "r_max", "d_max"),
    [(0, 1, 0), (50, 1, 0), (150, 1 + 2 * 10 / 35, 2.5), (250, 1 + 2 * 20 / 35, 5), (400, 3, 5),
     (1300, 3, 5)],
)  # fmt: skip
def test_the_limits_of_brn_are_relaxed_over_the_shares_of_the_paper(step, r_max, d_max):
    """Of its 130,000 steps to 1,300 of ours."""
    layer = BatchRenorm(C)
    layer.run_steps = 1300
    layer.num_batches_tracked.fill_(step)
    assert [float(limit) for limit in layer.limits()] == pytest.approx([r_max, d_max])


def test_brn_corrects_within_its_limits(x):
    layer = made("brn")
    layer.run_steps, moving = 1300, x.mean((0, 2, 3)) - 1.0
    layer.num_batches_tracked.fill_(150)
    layer.running_mean.data = torch.from_numpy(moving)
    layer.running_std.fill_(2.0)
    mean = x.mean((0, 2, 3), keepdims=True)
    sigma = np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-3)
    limit = 1 + 2 * 10 / 35
    r = np.clip(sigma / 2.0, 1 / limit, limit)
    d = np.clip((mean - moving.reshape(CHANNEL)) / 2.0, -2.5, 2.5)
    assert (r == limit).any()  # a limit is met
    np.testing.assert_allclose(d, 0.5)
    expected = gamma_beta(layer, (x - mean) / sigma * r + d)
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-6)


# -- batch normality -------------------------------------------------------------------------------


def test_the_newton_step_follows_the_likelihood():
    """Slope and curvature at 1 of the profile likelihood, by finite differences."""
    rng = np.random.default_rng(4)
    z = rng.exponential(1.0, 4000)
    z = (z - z.mean()) / z.std()

    def loss(power):
        h = yeo_johnson(z, power)
        return 0.5 * np.log(h.var()) - (power - 1) * (np.sign(z) * np.log1p(np.abs(z))).mean()

    step = 1e-4
    slope = (loss(1 + step) - loss(1 - step)) / (2 * step)
    bend = (loss(1 + step) - 2 * loss(1) + loss(1 - step)) / step**2
    found = newton_lambda(torch.from_numpy(z).view(-1, 1, 1, 1), 0.0)
    assert float(found) == pytest.approx(1 - slope / bend, rel=1e-4)
    assert found < 1  # long to the right, so it is bent down


def test_bnn_is_tested_without_noise_and_with_its_running_lambda(x):
    layer = made("bnn")
    run(layer, x)
    power = newton_lambda(torch.from_numpy(standard(x, (0, 2, 3), 1e-5)), 1e-5**0.5).numpy()
    np.testing.assert_allclose(layer.running_lambda.numpy(), 0.9 + 0.1 * power, rtol=1e-6)
    mean, var = moved(x, 0.1)
    h = yeo_johnson((x - mean) / np.sqrt(var + 1e-5), (0.9 + 0.1 * power).reshape(CHANNEL))
    np.testing.assert_allclose(run(layer.eval(), x), gamma_beta(layer, h), rtol=1e-5)
    assert np.array_equal(run(layer, x), run(layer, x))


def test_the_noise_of_bnn_comes_from_its_generator(x):
    def output(seed, global_seed):
        layer = made("bnn")
        layer.generator.manual_seed(seed)
        torch.manual_seed(global_seed)
        return run(layer, x)

    assert np.array_equal(output(1, 1), output(1, 2))
    assert not np.array_equal(output(1, 1), output(2, 1))


# -- weights that are standardized -----------------------------------------------------------------


def weights_seen(layer):
    """What a 1x1 image of ones through each input channel shows of the weights."""
    eye = torch.eye(layer.in_channels).view(layer.in_channels, layer.in_channels, 1, 1)
    return layer(eye).detach()[:, :, 0, 0].T  # C_out, C_in


def test_standardized_convolutions():
    torch.manual_seed(0)
    plain = StandardizedConv2d(6, 4, 1, bias=False)
    w = plain.weight.detach()[:, :, 0, 0].numpy()
    expected = (w - w.mean(1, keepdims=True)) / np.sqrt(w.var(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(weights_seen(plain).numpy(), expected, rtol=1e-5)

    scaled = ScaledConv2d(6, 4, 1, bias=False)
    scaled.weight.data = plain.weight.data
    scaled.gain.data = torch.tensor([1.0, 2.0, 3.0, 4.0])
    expected = expected * np.array([[1.0], [2], [3], [4]]) / np.sqrt(6)
    np.testing.assert_allclose(weights_seen(scaled).numpy(), expected, rtol=1e-5)
    scaled.after_relu = True
    np.testing.assert_allclose(weights_seen(scaled).numpy(), expected * GAMMA_RELU, rtol=1e-5)


def test_gamma_relu_keeps_the_variance_at_1():
    z = np.random.default_rng(0).normal(size=10**6)
    assert np.var(GAMMA_RELU * np.maximum(z, 0)) == pytest.approx(1, abs=0.005)


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gn", r"4 groups do not divide 18 channels; possible: \[1, 2, 3, 6, 9, 18\]"),
        ("gn:size=5", r"5 channels per group do not divide 18.*\[1, 2, 3, 6, 9, 18\]"),
        ("gn:groups=2:size=3", "groups or the size of a group, not both"),
        ("evo-s0", "4 groups do not divide 18"),
        ("iternorm:size=4", "4 channels per group do not divide 18"),
        ("ghost-bn:size=0", "1 image or more, not 0"),
    ],
)
def test_options_that_cannot_be_for_a_width(name, message):
    with pytest.raises(ValueError, match=message):
        asked(name)(18)


@pytest.mark.parametrize(
    "name",
    [
        "bn",
        "brn",
        "bn-center",
        "bn-scale",
        "switch",
        "bin",
        "evo-b0",
        "bnn",
        "iternorm",
        "ghost-bn",
    ],
)
def test_one_value_per_channel_is_nothing_to_train_on(name):
    layer = NORMS[name](8)
    with pytest.raises(ValueError, match="value"):  # torch's own says "values"
        layer(torch.randn(1, 8, 1, 1))
    assert layer.eval()(torch.randn(1, 8, 1, 1)).isfinite().all()


def test_a_last_sub_batch_of_one_value_is_nothing_to_train_on():
    with pytest.raises(ValueError, match="one value per channel"):
        asked("ghost-bn:size=2")(8)(torch.randn(5, 8, 1, 1))


def test_a_dead_channel_has_a_gradient():
    x = torch.randn(2, 8, 3, 3)
    x[:, 3] = 0
    layer = NORMS["grn"](8)
    nn.init.ones_(layer.weight)
    layer(x.requires_grad_()).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("norm", ["grn", "frn", "bn-scale", "evo-b0", "gn"])
def test_a_map_of_zeros_beside_others_is_a_number(norm):
    """Its sum of squares, taken around the mean of the channel, may come out below 0."""
    x = 0.1 + torch.rand(64, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    x[:40] = 0.0
    layer, x = asked(norm)(8), x.requires_grad_()
    y = layer(x)
    assert torch.isfinite(y).all()
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert torch.isfinite(gradient).all()


LEARNED = [name for name in NORMS if list(asked(name)(C).parameters()) and name != "bnn"]  # noise


@pytest.mark.parametrize("name", LEARNED)
def test_gradients_of_parameters_are_not_rounded_away_in_bfloat16(name):
    """Of many pixels: beyond 256 a sum in bfloat16 takes no number of the size of 1 any more."""
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(64, C, 16, 16, generator=stream).bfloat16()
    g = (torch.randn(x.shape, generator=stream) + 0.2).bfloat16()

    def gradients(norm, x):
        with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype == torch.bfloat16):
            y = norm(x)
        return torch.autograd.grad(y, [*norm.parameters()], g.to(y.dtype))

    found, expected = gradients(asked(name)(C), x), gradients(asked(name)(C).double(), x.double())
    for own, right in zip(found, expected, strict=True):
        assert (own - right).abs().max() < 0.05 * right.abs().max()
