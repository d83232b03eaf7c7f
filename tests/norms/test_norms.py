"""Every norm against its paper's formula, written out in numpy in float64."""

import numpy as np
import pytest
import torch

from normscope.norms import NORMS

N, C, H, W = 5, 8, 6, 7
EPS = 1e-5


@pytest.fixture
def x():
    rng = np.random.default_rng(1)
    return rng.normal(2.0, 3.0, (N, C, H, W)) * rng.uniform(0.5, 2.0, (1, C, 1, 1))


def normalized(x, axes):
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(var + EPS)


def by_formula(name, x, gamma, beta):
    if name == "bn":
        y = normalized(x, (0, 2, 3))
    else:
        groups = {"gn": 4, "ln": 1}[name]
        y = normalized(x.reshape(N, groups, C // groups, H, W), (2, 3, 4)).reshape(x.shape)
    return gamma[None, :, None, None] * y + beta[None, :, None, None]


def run(layer, x, memory_format=torch.contiguous_format):
    tensor = torch.from_numpy(x).to(memory_format=memory_format)
    return layer.double()(tensor).detach().numpy()


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_training_output_follows_the_formula(name, x, memory_format):
    layer = NORMS[name](C)
    rng = np.random.default_rng(2)
    gamma, beta = rng.normal(size=C), rng.normal(size=C)
    layer.double()
    layer.weight.data, layer.bias.data = torch.from_numpy(gamma), torch.from_numpy(beta)
    expected = by_formula(name, x, gamma, beta)
    np.testing.assert_allclose(run(layer, x, memory_format), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NORMS)
def test_one_scale_and_one_shift_per_channel(name):
    shapes = [tuple(p.shape) for p in NORMS[name](C).parameters()]
    assert shapes == [(C,), (C,)]


def test_bn_evaluates_with_running_mean_and_unbiased_variance(x):
    layer = NORMS["bn"](C).double()
    run(layer, x)
    batch_var = x.var(axis=(0, 2, 3), ddof=1)
    running_mean, running_var = 0.1 * x.mean(axis=(0, 2, 3)), 0.9 + 0.1 * batch_var
    expected = (x - running_mean[None, :, None, None]) / np.sqrt(
        running_var[None, :, None, None] + EPS
    )
    np.testing.assert_allclose(run(layer.eval(), x), expected, rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in NORMS if name != "bn"])
def test_per_sample_norms_do_not_look_at_other_samples(name, x):
    layer = NORMS[name](C)
    np.testing.assert_allclose(run(layer, x)[:1], run(layer, x[:1]), rtol=1e-12)


def test_gn_lists_the_group_counts_that_divide():
    with pytest.raises(ValueError, match=r"4 groups do not divide 18.*\[1, 2, 3, 6, 9, 18\]"):
        NORMS["gn"](18)
