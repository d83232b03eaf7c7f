"""What is refused before any training: a norm that cannot be used in a network."""

import pytest
import torch
from torch import nn

from normscope.errors import UsageError
from normscope.models import MODELS
from normscope.models.fit import check_fit
from normscope.norms import NORMS, PACKAGED_NORMS

IMAGE = (32, 32, 3)


class Small(nn.Module):
    """Its second norm has a map of a single pixel."""

    def __init__(self, make_norm, num_classes, init, dropout):
        super().__init__()
        self.wide = make_norm(3)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 8, 1), make_norm(8))

    def forward(self, x):
        return self.head(self.wide(x)).flatten(1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(MODELS, "small", Small)


def fit(norm, model="small", least_batch=16, dropout=None):
    return check_fit(model, norm, 8, IMAGE, least_batch, dropout)


@pytest.mark.parametrize("norm", PACKAGED_NORMS)
def test_every_norm_fits_into_s8(norm):
    made = fit(norm, "s8", least_batch=1)
    layers = set(made.network.modules())
    assert len(made.norms) == 8  # one behind each 3x3 convolution
    assert layers.issuperset(made.norms)


def test_a_dropout_that_has_nothing_to_change_is_refused():
    fit("bn", "s8", dropout=0.0)
    with pytest.raises(UsageError, match=r"small has no dropout layer, .* with dropout=0\.1"):
        fit("bn", dropout=0.1)


def test_a_statistic_over_a_single_value_is_refused_by_name():
    fit("gn:groups=1")
    for norm in ("in", "frn"):
        message = rf"{norm} does not fit into small: at head\.2 a statistic would be taken over a "
        with pytest.raises(UsageError, match=message + r"single value.*8 channels of 1x1"):
            fit(norm)
    fit("bn", least_batch=2)
    for norm in ("bn", "brn", "evo-b0", "ghost-bn:size=1", "iternorm:size=1"):
        with pytest.raises(UsageError, match=r"[12] images in the smallest batch"):
            fit(norm, least_batch=2 if norm == "ghost-bn:size=1" else 1)


def test_as_many_groups_as_channels_erase_a_single_pixel(monkeypatch):
    class One(Small):
        def __init__(self, make_norm, *arguments):
            nn.Module.__init__(self)
            self.wide = nn.Identity()
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 8, 1), make_norm(8))

    monkeypatch.setitem(MODELS, "one", One)
    fit("gn:groups=4", "one")
    with pytest.raises(UsageError, match=r"gn:groups=8 does not fit into one: at head\.2"):
        fit("gn:groups=8", "one")


def test_widths_that_groups_do_not_divide_are_refused_with_those_that_would_do():
    with pytest.raises(UsageError, match=r"gn:groups=3 cannot be put into s8: .*16.*\[1, 2, 4, 8"):
        fit("gn:groups=3", "s8")


class Mine(nn.Module):
    def __init__(self, channels, outcome):
        super().__init__()
        self.outcome = outcome

    def forward(self, x):
        return self.outcome(x)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (lambda x: x.mean(1, keepdim=True), r"turns \(1, 3, 32, 32\).* into \(1, 1, 32, 32\)"),
        (lambda x: x.double(), r"torch\.float32 into .*torch\.float64; a norm must keep both"),
        (lambda x: (x, x), "it returns a tuple, and not a tensor"),
        (lambda x: x[9], "mine cannot be used in small: IndexError: index 9"),
    ],
)
def test_norms_of_a_user_are_tried(outcome, message, monkeypatch):
    monkeypatch.setitem(NORMS, "mine", lambda channels: Mine(channels, outcome))
    with pytest.raises(UsageError, match=message):
        fit("mine")
    monkeypatch.setitem(NORMS, "mine", lambda channels: Mine(channels, torch.relu))
    fit("mine")


def test_what_makes_no_layer_is_refused(monkeypatch):
    monkeypatch.setitem(NORMS, "mine", lambda channels: channels)
    with pytest.raises(UsageError, match="mine cannot be put into small: TypeError: it returns a"):
        fit("mine")


def test_a_norm_with_its_own_activation_is_not_put_before_one(monkeypatch):
    def with_activation(channels):
        layer = Mine(channels, torch.relu)
        layer.replaces_activation = True
        return layer

    monkeypatch.setitem(NORMS, "mine", with_activation)
    with pytest.raises(UsageError, match=r"mine:pre: it replaces the activation.*write mine:post"):
        fit("mine:pre", "s8")
    fit("mine", "s8")
