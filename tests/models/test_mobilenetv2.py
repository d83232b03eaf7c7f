"""MobileNetV2 against the paper's table and published counts, and the network by hand."""

import pytest
import torch
from small_trials import CPU, trial
from torch import nn
from torch.nn import functional as F

from normscope.data import load_dataset
from normscope.errors import UsageError
from normscope.models import MODELS
from normscope.models.fit import check_fit
from normscope.models.layers import Residual, set_dropout
from normscope.models.summary import summarize
from normscope.norms import NORMS, asked
from normscope.training import SideBySide, join
from normscope.training.fused import Fused
from normscope.training.seeds import generator
from normscope.training.trial import run_trial

# Table 2 of the paper, t, c, n and s, with 1 in place of 2 as the stride of the second line.
TABLE = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
         (6, 160, 3, 2), (6, 320, 1, 1)]  # fmt: skip

# iternorm whitens 64 channels at a time, and 64 does not divide 96.
FITTING = [norm for norm in NORMS if norm != "iternorm"] + ["iternorm:size=8", "gn:groups=2"]


def build(norm="bn", seed=0, dropout_seed=0):
    streams = generator(seed, "init"), generator(dropout_seed, "dropout")
    return MODELS["mobilenetv2"](asked(norm), 10, *streams)


def images(*shape):
    return torch.randn(*shape, generator=generator(0, "images"))


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


# A block from c to d channels has 6c (c + 9 + d) weights: by stage, with the pixels of its maps.
IN_STEM = 27 * 32
IN_STAGES = {
    16: 32 * (9 + 16),  # the first block does not widen
    24: 96 * (16 + 9 + 24) + 144 * (24 + 9 + 24),
    32: 144 * (24 + 9 + 32) + 2 * 192 * (32 + 9 + 32),
    64: 192 * (32 + 9 + 64) + 3 * 384 * (64 + 9 + 64),
    96: 384 * (64 + 9 + 96) + 2 * 576 * (96 + 9 + 96),
    160: 576 * (96 + 9 + 160) + 2 * 960 * (160 + 9 + 160),
    320: 960 * (160 + 9 + 320),
}
IN_LAST = 320 * 1280
# The channels with a norm: twice 6c and d in a block from c to d.
NORMED = 32 + (32 + 16) + (2 * 96 + 24 + 2 * 144 + 24) + (2 * 144 + 32 + 2 * (2 * 192 + 32))
NORMED += (2 * 192 + 64 + 3 * (2 * 384 + 64)) + (2 * 384 + 96 + 2 * (2 * 576 + 96))
NORMED += (2 * 576 + 160 + 2 * (2 * 960 + 160)) + (2 * 960 + 320) + 1280


def test_parameters_by_hand_and_the_published_count():
    """Strides have no part in it; torchvision documents 3,504,872 for 1000 classes."""
    in_convolutions = IN_STEM + sum(IN_STAGES.values()) + IN_LAST
    assert (in_convolutions, NORMED) == (2_189_760, 17_056)
    by_hand = in_convolutions + 2 * NORMED + 1280 * 10 + 10
    assert summarize("mobilenetv2", "bn").parameters == by_hand == 2_236_682
    assert summarize("mobilenetv2", "none").parameters == by_hand - 2 * NORMED
    assert summarize("mobilenetv2", "gn", num_classes=1000).parameters == 3_504_872


def test_multiply_adds_by_hand():
    """A stage's first block widens on the map before, which is larger where it strides."""
    by_hand = 32**2 * (IN_STEM + IN_STAGES[16] + IN_STAGES[24])
    by_hand += 16**2 * IN_STAGES[32] + 8**2 * (IN_STAGES[64] + IN_STAGES[96])
    by_hand += 4**2 * (IN_STAGES[160] + IN_STAGES[320] + IN_LAST)
    by_hand += (32**2 - 16**2) * 144 * 24 + (16**2 - 8**2) * 192 * 32 + (8**2 - 4**2) * 576 * 96
    assert summarize("mobilenetv2", "bn").multiply_adds == by_hand == 87_963_648


def test_what_each_value_sees_by_hand():
    """3x3 convolutions add twice the step between values, which doubles at each stride."""
    rows = [row for row in summarize("mobilenetv2", "bn").layers if row.type == "Conv2d"]
    filters = [rows[0], *rows[1:3:2], *rows[4::3]]
    assert [row.receptive_field for row in filters] == [
        3, 5, 7, 9, 11, 15, 19, 23, 31, 39, 47, 55, 63, 71, 79, 95, 111, 127
    ]  # fmt: skip
    maps = [32] * 4 + [16] * 3 + [8] * 7 + [4] * 4
    assert [row.output_shape[1] for row in filters] == maps
    assert summarize("mobilenetv2", "bn").layers[-1].receptive_field == 127 + 3 * 8


def test_the_network_by_hand():
    network, x = build("gn").eval(), images(2, 3, 32, 32)
    found = network(x)
    weights = iter([layer.weight for layer in convolutions(network)])
    head, bias = (network.get_parameter(f"head.3.{name}") for name in ("weight", "bias"))

    def normed(x, **shape):
        weight = next(weights)
        return F.group_norm(F.conv2d(x, weight, padding=weight.shape[-1] // 2, **shape), 4)

    x = F.relu6(normed(x))
    for expansion, channels, blocks, stride in TABLE:
        for place in range(blocks):
            y = F.relu6(normed(x)) if expansion > 1 else x
            y = F.relu6(normed(y, stride=1 if place else stride, groups=y.shape[1]))
            y = normed(y)
            assert y.shape[1] == channels
            x = x + y if x.shape == y.shape else y
    x = F.relu6(normed(x)).mean((2, 3))
    torch.testing.assert_close(found, x @ head.T + bias)


def test_inputs_are_added_where_the_paper_adds_them():
    """Once for each block but the first of a stage: n - 1 of the table."""
    found = sum(isinstance(layer, Residual) for layer in build().modules())
    assert found == sum(blocks - 1 for _, _, blocks, _ in TABLE) == 10


def test_weights_start_with_the_variance_that_keeps_a_signal():
    """2 / fan_in behind a ReLU6, and 1 / fan_in behind what is linear."""
    widening, filtering, narrowing, last = convolutions(build())[-4:]
    for layer, variance in [(widening, 1 / 160), (filtering, 2 / 9), (narrowing, 2 / 960),
                            (last, 1 / 320)]:  # fmt: skip
        assert layer.weight.var().item() == pytest.approx(variance, rel=0.05)
    with torch.inference_mode():
        assert 0.1 < build("none").eval()(images(8, 3, 32, 32)).std() < 10


@pytest.mark.parametrize("norm", FITTING)
def test_every_norm_fits_and_has_a_gradient_everywhere(norm):
    check_fit("mobilenetv2", norm, 10, (32, 32, 3), least_batch=4)
    network = build(norm)
    network(images(4, 3, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("norm", "channels"), [("iternorm", "64 .* 96"), ("gn:groups=32", "32 .* 16")]
)
def test_groups_that_do_not_divide_its_widths_are_refused(norm, channels):
    with pytest.raises(UsageError, match=f"{norm} cannot be put into mobilenetv2: .*{channels}"):
        check_fit("mobilenetv2", norm, 10, (32, 32, 3), least_batch=4)


def test_another_place_and_maps_of_one_pixel_are_refused():
    with pytest.raises(UsageError, match="norms of a mobilenetv2 are before the activation; leave"):
        check_fit("mobilenetv2", "bn:pre", 10, (32, 32, 3), least_batch=4)
    with pytest.raises(UsageError, match=r"in does not fit .* single value, .* of 1x1"):
        check_fit("mobilenetv2", "in", 10, (8, 8, 3), least_batch=4)


def test_a_norm_that_replaces_the_activation_leaves_none():
    assert not any(isinstance(layer, nn.ReLU6) for layer in build("frn").modules())
    assert sum(isinstance(layer, nn.ReLU6) for layer in build().modules()) == 1 + 1 + 16 * 2 + 1


def test_dropout_draws_from_its_own_generator_and_may_be_switched_off():
    x = images(8, 3, 16, 16)
    first, again, other = (build("gn", dropout_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first(x), again(x))
    assert not torch.equal(build("gn")(x), other(x))
    seen = []
    layer = first.get_submodule("head.2")
    layer.register_forward_hook(lambda layer, inputs, y: seen.append(y[inputs[0] > 0] == 0))
    first(x)
    assert seen[0].double().mean().item() == pytest.approx(0.2, abs=0.02)  # of about 8000
    set_dropout(first, 0)
    assert torch.equal(first(x), first.eval()(x))


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_every_norm_layer_is_fused_alone(norm, monkeypatch):
    """Since ReLU6 is not known to the fused passes."""
    network, x = build(norm).eval(), images(2, 3, 16, 16)
    expected = network(x)
    kind = type(asked(norm)(16))
    monkeypatch.setattr(kind, "forward", lambda self, x: pytest.fail("was called"))
    torch.testing.assert_close(Fused(network)(x), expected, rtol=1e-4, atol=1e-5)


def test_members_of_a_fleet_go_side_by_side():
    members = [build("gn", seed).eval() for seed in (0, 1)]
    x = images(2, 3, 16, 16)
    alone = torch.cat([member(x) for member in members], dim=1)
    joined = join(members)
    assert isinstance(joined, SideBySide)
    torch.testing.assert_close(joined(torch.cat([x, x], dim=1)), alone)


def test_it_trains():
    shapes = load_dataset("shapes", train_limit=32, test_limit=10)
    short = trial("bn", epochs=2, batch_size=16, max_lr=0.02)
    result = run_trial(short.model_copy(update={"model": "mobilenetv2"}), shapes, CPU)
    assert result.status == "finished"
    assert result.history[1].train_loss_nats < result.history[0].train_loss_nats < 5
