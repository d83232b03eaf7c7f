"""Channels grouped anew: the same network, but for who shares a norm."""

import numpy as np
import pytest
import torch
from torch import nn

from normscope.data import load_dataset
from normscope.errors import UsageError
from normscope.experiment import Experiment
from normscope.experiment.plan import plan
from normscope.models import MODELS
from normscope.models.relabel import relabel
from normscope.norms import GIVEN, ORDERS, asked, canonical, in_given_order, title_of
from normscope.training.probing import Built
from normscope.training.regroup import orders_of, regrouped
from normscope.training.split import Splits
from normscope.training.trial import build, run_fleet, run_trial

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def few():
    return load_dataset("shapes", train_limit=64, test_limit=40)


def trial_of(norm, seed=0, **recipe):
    recipe = {"base": "quick", "epochs": 1, "batch_size": 16, **recipe}
    experiment = Experiment(
        norms=(norm,), seeds=(seed,), train_limit=64, test_limit=40, recipe=recipe
    )
    return plan(experiment)[0]


def random_orders(norms, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {norm: torch.randperm(len(norm.weight), generator=g) for norm in norms}


@pytest.mark.parametrize("norm", ["bn", "ln", "in", "gn"])
def test_a_relabelled_network_computes_the_same_unless_groups_matter(norm, few):
    splits = Splits.of(few, CPU)
    x, _ = splits.train.batch(torch.arange(16))
    built = build(trial_of(norm), splits.train, 10)
    with torch.no_grad():
        for layer in built.norms:  # so that the norms' own parameters count
            layer.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
            layer.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
        model = built.model.double().train()
        for layer in model.modules():
            if hasattr(layer, "p"):
                layer.p = 0.0
        before = model(x.double())
        first = model[0][0].weight.clone()
        relabel(model, random_orders(built.norms))
        change = float((model(x.double()) - before).abs().max())
    assert (change < 1e-6) == (norm != "gn")
    assert not first.equal(model[0][0].weight)


def test_what_is_no_chain_is_refused():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.GroupNorm(2, 4)
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return x + self.norm(self.conv(x))

    network = Residual()
    with pytest.raises(UsageError, match="does not lie between two convolutions in a chain"):
        relabel(network, {network.norm: torch.arange(4)})
    norm = nn.GroupNorm(2, 4)
    chain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), norm, nn.Conv2d(4, 4, 1))
    with pytest.raises(UsageError, match="does not lie between"):
        relabel(chain, {norm: torch.arange(4)})


def test_orders_are_those_of_the_scales_at_each_norm(few):
    splits = Splits.of(few, CPU)
    built = build(trial_of("gn"), splits.train, 10)
    x, _ = splits.train.batch(torch.arange(64))
    first = torch.relu(built.model[0][0](x)).std(dim=(0, 2, 3)).detach().numpy()
    found = orders_of("similar-scale-initial", built, splits.train, torch.Generator())
    np.testing.assert_array_equal(found[0].numpy(), np.argsort(first, kind="stable"))
    assert [len(each) for each in found] == [16, 20, 20, 24, 28, 20, 24, 28]
    apart = orders_of("dissimilar-scale-initial", built, splits.train, torch.Generator())
    np.testing.assert_array_equal(
        apart[0].numpy(), np.argsort(first, kind="stable").reshape(4, 4).T.ravel()
    )
    assert built.model.training


def test_correlated_channels_come_together(few):
    splits = Splits.of(few, CPU)
    built = build(trial_of("gn"), splits.train, 10)
    x, _ = splits.train.batch(torch.arange(64))
    r = torch.corrcoef(torch.relu(built.model[0][0](x)).detach().transpose(0, 1).flatten(1)).numpy()

    def within(order):
        return sum(np.square(r[np.ix_(part, part)]).sum() for part in np.split(order, 4))

    orders = {
        name: orders_of(name, built, splits.train, torch.Generator().manual_seed(0))[0].numpy()
        for name in ("random", "similar-correlation-initial", "dissimilar-correlation-initial")
    }
    random, similar, dissimilar = (within(order) for order in orders.values())
    assert dissimilar < random < similar


def test_by_what_the_twin_became(few):
    """The twin is trained as the trial in the given order is, and its scales say the groups."""
    splits = Splits.of(few, CPU)
    trial = trial_of("gn:order=similar-scale-trained")
    twin = run_trial(trial_of("gn"), few, CPU)
    made = []

    def make(trials, train):
        made.append((trials[0].norm, train))
        built = build(trials[0], splits.train, 10)
        if train:
            built.model.load_state_dict({k: torch.from_numpy(v) for k, v in twin.weights.items()})
        return [built]

    (network,) = regrouped([trial], splits.train, make)
    assert made == [("gn", False), ("gn", True)]
    trained = make([trial_of("gn")], True)[0]
    orders = orders_of("similar-scale-trained", trained, splits.train, torch.Generator())
    plain = build(trial_of("gn"), splits.train, 10)
    relabel(plain.model, dict(zip(plain.norms, orders, strict=True)))
    for name, value in plain.model.state_dict().items():
        assert value.equal(network.model.state_dict()[name]), name


def test_a_trial_trains_its_twin_by_itself(few, monkeypatch):
    """With the scales of the twin's stored weights: equal to training what they say."""
    result = run_trial(trial_of("gn:order=similar-scale-trained"), few, CPU)
    assert result.status == "finished", result.error
    twin = run_trial(trial_of("gn"), few, CPU)
    splits = Splits.of(few, CPU)
    trained = build(trial_of("gn"), splits.train, 10)
    trained.model.load_state_dict({k: torch.from_numpy(v) for k, v in twin.weights.items()})
    orders = orders_of("similar-scale-trained", trained, splits.train, torch.Generator())

    def relabelled(trial, train, num_classes):
        built = build(trial, train, num_classes)
        relabel(built.model, dict(zip(built.norms, orders, strict=True)))
        return built

    monkeypatch.setattr("normscope.training.trial.build", relabelled)
    again = run_trial(trial_of("gn"), few, CPU)
    for name, value in result.weights.items():
        np.testing.assert_array_equal(value, again.weights[name])
    assert len(result.history) == 1


def test_a_twin_that_diverged_orders_nothing(few):
    result = run_trial(trial_of("gn:order=similar-scale-trained", max_lr=1e30), few, CPU)
    assert result.status == "failed"
    assert "the twin gn-seed0" in result.error


def test_a_fleet_is_regrouped_member_by_member(few):
    norm = "gn:order=dissimilar-scale-trained"
    members = run_fleet([trial_of(norm, seed) for seed in (0, 1)], few, CPU)
    assert [member.status for member in members] == ["finished"] * 2
    assert members[0].history[0].train_loss_nats != members[1].history[0].train_loss_nats


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_trains(order, few):
    result = run_trial(trial_of(f"gn:order={order}"), few, CPU)
    assert result.status == "finished", result.error


def test_an_order_is_part_of_the_norms_name():
    assert canonical("GroupNorm:order=random") == "gn:order=random"
    assert canonical("gn:order=given") == "gn"
    assert asked("gn:order=random").order == "random"
    assert asked("gn").order == asked("bn").order == GIVEN
    assert in_given_order("gn:groups=2:order=random:pre") == "gn:groups=2:pre"
    assert title_of("gn:order=random") == "GroupNorm (order random)"
    assert isinstance(asked("gn:order=random")(8), nn.GroupNorm)
    assert trial_of("gn:order=random").id.startswith("gn-order=random-seed0-")


@pytest.mark.parametrize("norm", ["gn:order=big", "bn:order=random", "ln:order=random"])
def test_other_orders_are_refused(norm):
    with pytest.raises(UsageError, match=r"order is one of given, random|has no option 'order'"):
        canonical(norm)


def test_a_first_network_is_the_same_in_every_order():
    """What is built before it is relabelled: another order is no other initialization."""
    g = torch.Generator
    networks = [
        MODELS["s8"](asked(norm), 10, g().manual_seed(0), g()) for norm in ("gn", "gn:order=random")
    ]
    for one, other in zip(*(n.parameters() for n in networks), strict=True):
        assert one.equal(other)
    assert isinstance(Built(networks[0], []).model, nn.Module)
