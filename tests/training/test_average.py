"""The moving average of a network against torch's."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from normscope.training.average import Average
from normscope.training.seeds import generator


def network():
    layers = nn.Sequential(nn.utils.skip_init(nn.Conv2d, 2, 3, 1), nn.BatchNorm2d(3))
    change(layers, 0)
    return layers


def change(model, seed):
    stream = generator(seed, "values")
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            value.data.uniform_(generator=stream)
        else:
            value += 1


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_torchs_and_counts_stay_the_networks(decay):
    model = network()
    multi = get_ema_multi_avg_fn(decay)
    average, torchs = (
        Average(model, decay),
        AveragedModel(model, multi_avg_fn=multi, use_buffers=True),
    )
    for seed in range(1, 6):
        change(model, seed)
        average.update()
        torchs.update_parameters(model)
    trained = copy.deepcopy(model.state_dict())
    with average.in_place():
        for name, value in torchs.module.state_dict().items():
            if value.is_floating_point():
                torch.testing.assert_close(model.state_dict()[name], value)
                assert not torch.equal(value, trained[name])
        assert model[1].num_batches_tracked == 6
    for name, value in trained.items():
        assert torch.equal(model.state_dict()[name], value)
    average.put_in_place()
    torch.testing.assert_close(model[0].weight, torchs.module[0].weight)


def test_values_are_changed_where_they_are():
    """A CUDA graph knows their places, and the members of a fleet share them."""
    model = network()
    places = [value.data_ptr() for value in (*model.parameters(), *model.buffers())]
    average = Average(model, 0.9)
    average.update()
    with average.in_place():
        pass
    average.put_in_place()
    assert places == [value.data_ptr() for value in (*model.parameters(), *model.buffers())]
