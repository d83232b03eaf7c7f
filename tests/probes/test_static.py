"""What is measured on the maps of one layer, against constructed cases and the naive way."""

import math
from functools import partial

import pytest
import torch

from normscope.probes.affine_gap import affine_gap
from normscope.probes.redundancy import correlations_of, pooled_correlations_of, redundancy_of
from normscope.probes.sums import Sums
from normscope.probes.variance import (
    shares_of_log_deviations,
    shares_of_means,
    variance_shares_of,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uncorrelated(channels, samples=64, side=8):
    """Maps whose channels have mean 0, variance 1 and no correlation at all."""
    rows = normal(samples * side * side, channels)
    rows, _ = torch.linalg.qr(rows - rows.mean(0))
    rows = rows * math.sqrt(len(rows))
    return rows.view(samples, side, side, channels).permute(0, 3, 1, 2)


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_sums_are_those_of_the_naive_way(mean):
    x = normal(5, 4, 3, 7) + mean
    sums = Sums.of(x.float())
    x = x.float().double()
    rows = x.permute(0, 2, 3, 1).reshape(-1, 4)
    close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-5)  # sums of some 21 values
    close(sums.total, x.sum((2, 3)))
    close(sums.squares, x.square().sum((2, 3)))
    close(sums.products, rows.T @ rows)
    correlations = correlations_of(sums)
    torch.testing.assert_close(correlations, torch.corrcoef(rows.T), rtol=0, atol=1e-6)
    pooled = torch.corrcoef(x.mean((2, 3)).T)
    torch.testing.assert_close(pooled_correlations_of(sums), pooled, rtol=0, atol=1e-6)


# -- redundancy ------------------------------------------------------------------------------------


def test_equal_channels_are_one():
    x = normal(9, 1, 4, 4).expand(9, 16, 4, 4) * torch.arange(1, 17).view(16, 1, 1) + 3
    found = redundancy_of(correlations_of(Sums.of(x)))
    assert found.live == 16
    values = found.mean_abs_r, found.best_r2, found.effective_rank, found.sameness
    assert values == pytest.approx((1, 1, 1, 1), abs=1e-6)
    assert found.r2_from_others == pytest.approx(1, abs=1e-5)


def test_uncorrelated_channels_are_many():
    found = redundancy_of(correlations_of(Sums.of(uncorrelated(16))))
    values = found.mean_abs_r, found.best_r2, found.sameness, found.r2_from_others
    assert values == pytest.approx((0, 0, 0, 0), abs=1e-5)
    assert found.effective_rank == pytest.approx(16)


def test_two_blocks_of_eight_equal_channels():
    x = uncorrelated(2).repeat_interleave(8, dim=1)
    found = redundancy_of(correlations_of(Sums.of(x)))
    assert found.mean_abs_r == pytest.approx(7 / 15, abs=1e-9)
    assert found.effective_rank == pytest.approx(2, abs=1e-6)


def test_one_factor_behind_sixteen_channels():
    """Equicorrelated 0.5: all others predict 0.469 of a channel, by Sherman and Morrison."""
    one, *_ = own = uncorrelated(17).unbind(1)
    x = torch.stack([(one + each) / math.sqrt(2) for each in own[1:]], dim=1)
    found = redundancy_of(correlations_of(Sums.of(x)))
    assert found.mean_abs_r == pytest.approx(0.5)
    assert found.r2_from_others == pytest.approx(0.469, abs=5e-4)


def test_a_dead_channel_is_left_out_and_one_alone_resembles_nothing():
    x = uncorrelated(3).clone()
    x[:, 1] = 7.0
    assert redundancy_of(correlations_of(Sums.of(x))).live == 2
    x[:, 2] = 0.0
    alone = redundancy_of(correlations_of(Sums.of(x)))
    assert alone.live == 1
    assert math.isnan(alone.sameness)


# -- variance --------------------------------------------------------------------------------------


def contrast(count):
    """-1 and 1 in turn, so that its mean is 0 and its variance 1."""
    return (torch.arange(count) % 2 * 2 - 1).double()


def test_the_four_shares_of_a_constructed_variance():
    sample, channel, pixel = contrast(6), contrast(4), contrast(8)
    x = (
        math.sqrt(0.4) * channel.view(1, 4, 1)
        + math.sqrt(0.3) * sample.view(6, 1, 1)
        + math.sqrt(0.2) * (sample.view(6, 1) * channel).view(6, 4, 1)
        + math.sqrt(0.1) * pixel.view(1, 1, 8)
    )
    found = variance_shares_of(Sums.of(5 + 3 * x.view(6, 4, 2, 4)))
    shares = found.channel, found.sample, found.interaction, found.spatial
    assert shares == pytest.approx((0.4, 0.3, 0.2, 0.1), abs=1e-9)


def test_the_means_of_the_norms_remove_the_shares_that_they_are_said_to():
    x = normal(6, 4, 5, 5) + 2 * normal(6, 4, 1, 1, seed=1) + 3 * normal(1, 4, 1, 1, seed=2)
    without_ln = variance_shares_of(Sums.of(x - x.mean((1, 2, 3), keepdim=True)))
    without_in = variance_shares_of(Sums.of(x - x.mean((2, 3), keepdim=True)))
    without_bn = variance_shares_of(Sums.of(x - x.mean((0, 2, 3), keepdim=True)))
    assert without_ln.sample == pytest.approx(0, abs=1e-9)
    assert without_ln.interaction > 0.1
    assert (without_in.sample, without_in.interaction) == pytest.approx((0, 0), abs=1e-9)
    assert without_bn.channel == pytest.approx(0, abs=1e-9)
    assert without_bn.sample > 0.01


def test_statistics_that_belong_to_the_channel():
    scale, mean = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 5.0, -3.0])
    pixels = contrast(16).view(4, 4)
    x = pixels.expand(5, 3, 4, 4) * scale.view(3, 1, 1) + mean.view(3, 1, 1)
    assert shares_of_log_deviations(Sums.of(x)).channel == pytest.approx(1)
    assert shares_of_means(Sums.of(x)).channel == pytest.approx(1)
    by_image = pixels.expand(3, 5, 4, 4) * scale.view(3, 1, 1, 1) + mean.view(3, 1, 1, 1)
    assert shares_of_log_deviations(Sums.of(by_image)).image == pytest.approx(1)
    assert shares_of_means(Sums.of(by_image)).image == pytest.approx(1)


def test_constant_maps_have_no_shares():
    sums = Sums.of(torch.ones(3, 2, 4, 4))
    assert math.isnan(variance_shares_of(sums).channel)
    assert math.isnan(shares_of_log_deviations(sums).channel)


# -- affine gap ------------------------------------------------------------------------------------


def test_a_fixed_affine_map_has_no_gap():
    x = normal(6, 4, 5, 5)
    y = x * torch.tensor([1.0, -2.0, 3.0, 0.5]).view(4, 1, 1) + 7
    assert affine_gap(x, y) == pytest.approx(0, abs=1e-12)


def test_a_scale_that_differs_by_sample():
    """Halves of the samples at 1 and at 3: 1 - 2^2 / 5."""
    pixels = contrast(16).view(1, 1, 4, 4).expand(6, 3, 4, 4)
    scales = torch.tensor([1.0, 3.0]).repeat(3).view(6, 1, 1, 1)
    assert affine_gap(pixels, pixels * scales) == pytest.approx(1 - 4 / 5)


def test_a_channel_that_the_norm_erases_has_lost_everything():
    x = normal(6, 2, 4, 4)
    y = torch.stack([x[:, 0], torch.zeros_like(x[:, 1])], dim=1)
    assert affine_gap(x, y) == pytest.approx(0.5)
    assert math.isnan(affine_gap(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)))
