"""Every norm against its paper's formula, written out in numpy in float64."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from normscope.norms import NORMS, PACKAGED_NORMS, title_of
from normscope.norms.by_layer import coefficients_of, norm_layers
from normscope.norms.group import group_norm

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


# -- the table -----------------------------------------------------------------------------------


def test_names_and_titles_are_there_without_torch():
    code = (
        "import sys, normscope.norms as n, normscope.models as m\n"
        "print([n.title_of(name) for name in n.NORMS], list(m.MODELS), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    titles = ["BatchNorm", "GroupNorm (4 groups)", "LayerNorm (over C, H, W)"]
    assert done.stdout.strip() == f"{titles} ['s8', 's8-gap'] False"


def test_a_norm_of_a_script_has_its_name_for_a_title(monkeypatch):
    monkeypatch.setitem(NORMS, "mine", nn.InstanceNorm2d)
    assert NORMS["mine"](8).num_features == 8
    assert title_of("mine") == "mine"


def test_a_norm_takes_the_options_of_its_function():
    assert NORMS["gn"](8, num_groups=2).num_groups == 2
    assert NORMS["bn"](8, eps=1e-3, momentum=0.5).momentum == 0.5


@pytest.mark.parametrize("name", PACKAGED_NORMS)
def test_what_a_file_knows_of_its_layers_holds_for_those_it_makes(name):
    layer = NORMS[name](C)
    known = norm_layers()[type(layer)]
    assert known.is_usual(layer)
    assert coefficients_of(layer) is known.coefficients
    wide = known.widened(layer, 3)
    assert type(wide) is type(layer)
    for own, value in zip(layer.state_dict().values(), wide.state_dict().values(), strict=True):
        assert value.shape == ((3 * len(own),) if own.dim() else ())


def test_layers_are_known_by_their_type_and_not_by_their_name():
    assert coefficients_of(partial(group_norm, num_groups=2)(8)) is coefficients_of(NORMS["gn"](8))

    class Other(nn.GroupNorm):
        def forward(self, x):
            return 2 * super().forward(x)

    assert coefficients_of(Other(2, 8)) is None
