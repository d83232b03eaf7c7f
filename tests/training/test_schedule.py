"""Optimizers and schedules of recipes against torch's own, step by step."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from normscope.experiment import Recipe
from normscope.models import MODELS
from normscope.norms import NORMS
from normscope.training.schedule import COURSES, optimizer_of, rates_and_momenta, steps_of
from normscope.training.seeds import generator

RECIPE = Recipe(name="test", epochs=4, batch_size=10, max_lr=0.3)
IMAGES, STEPS = 95, 40
WARMUP = 0.2, 8

TORCHS = {
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "linear": lambda optimizer, steps: LinearLR(optimizer, 1, 0, total_iters=steps),
    "constant": lambda optimizer, steps: ConstantLR(optimizer, 1, total_iters=steps),
    "step": lambda optimizer, steps: MultiStepLR(optimizer, [steps // 2, 3 * steps // 4], 0.1),
}


def changed(**changes):
    return Recipe(**{**dict(RECIPE), **changes})


def followed(optimizer, schedule):
    """Learning rate and momentum of every step."""
    rates, momenta = [], []
    for step in range(STEPS):
        (group,) = optimizer.param_groups
        rates.append(group["lr"])
        momenta.append(group["momentum"] if "momentum" in group else group["betas"][0])
        optimizer.step()
        if step < STEPS - 1:
            schedule.step()
    return rates, momenta


def plain_sgd(**options):
    return torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=0.3, momentum=0.9, **options)


def test_every_schedule_but_one_cycle_is_here():
    assert set(TORCHS) == set(COURSES)


@pytest.mark.parametrize("name", TORCHS)
def test_schedules_are_torchs(name):
    rates, momenta = rates_and_momenta(changed(schedule=name, max_momentum=0.9), IMAGES)
    optimizer = plain_sgd()
    expected, _ = followed(optimizer, TORCHS[name](optimizer, STEPS))
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[0] == 0.3
    assert momenta == [0.9] * STEPS


@pytest.mark.parametrize("name", TORCHS)
def test_a_warm_up_comes_before_the_schedule(name):
    share, steps = WARMUP
    rates, _ = rates_and_momenta(changed(schedule=name, warmup=share), IMAGES)
    optimizer = plain_sgd()
    warmup = LinearLR(optimizer, 1 / (steps + 1), 1, total_iters=steps)
    rest = TORCHS[name](optimizer, STEPS - steps)
    expected, _ = followed(optimizer, SequentialLR(optimizer, [warmup, rest], [steps]))
    assert rates == pytest.approx(expected, rel=1e-9)
    assert (rates[0], rates[steps]) == pytest.approx((0.3 / 9, 0.3))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_cycle_is_torchs_and_moves_beta1_of_adamw(optimizer):
    found = rates_and_momenta(changed(optimizer=optimizer, min_momentum=0.7), IMAGES)
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    plain = kind(
        [nn.Parameter(torch.zeros(()))], **({"momentum": 0.9} if kind is torch.optim.SGD else {})
    )
    schedule = OneCycleLR(plain, max_lr=0.3, epochs=4, steps_per_epoch=10, base_momentum=0.7)
    assert found == followed(plain, schedule)
    assert min(found[1]) == pytest.approx(0.7, abs=0.01)


def test_a_schedule_spans_all_steps():
    assert steps_of(RECIPE, IMAGES) == STEPS
    rates, _ = rates_and_momenta(changed(schedule="linear"), IMAGES)
    assert rates[-1] == pytest.approx(0.3 / STEPS)


# -- what is decayed -----------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_weights_are_all_but_norms_and_biases(norm):
    """The convolutions of S8 have 30,856 parameters; all others are in norms."""
    model = MODELS["s8"](NORMS[norm], 10, generator(0, "init"), generator(0, "dropout"))
    model.eval()(torch.zeros(1, 3, 32, 32))  # a norm may take its size from its first input
    recipe = changed(weight_decay=0.1, weight_decay_on="weights")
    optimizer, _ = optimizer_of(model.parameters(), recipe, IMAGES)
    sizes = {g["weight_decay"]: sum(p.numel() for p in g["params"]) for g in optimizer.param_groups}
    assert sizes[0.1] == 30_856
    assert sizes.get(0.0, 0) == sum(p.numel() for p in model.parameters()) - 30_856
    everything, _ = optimizer_of(model.parameters(), changed(weight_decay=0.1), IMAGES)
    (group,) = everything.param_groups
    assert (group["weight_decay"], len(group["params"])) == (0.1, len([*model.parameters()]))


@pytest.mark.parametrize(("on", "left"), [("all", 0.985), ("weights", 1.0)])
def test_a_bias_decays_if_all_do(on, left):
    """A step at rate 0.3 with decay 0.05 and no gradient takes 1.5 % away."""
    layer = nn.utils.skip_init(nn.Linear, 3, 2)
    recipe = changed(schedule="constant", weight_decay=0.05, weight_decay_on=on)
    optimizer, _ = optimizer_of(layer.parameters(), recipe, IMAGES)
    for parameter in layer.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert layer.weight.detach().flatten().tolist() == pytest.approx([0.985] * 6)
    assert layer.bias.tolist() == pytest.approx([left] * 2)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0.8, "nesterov": False}),
        ("sgd-nesterov", torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
        ("adamw", torch.optim.AdamW, {"betas": (0.8, 0.999), "eps": 1e-8}),
    ],
)
def test_optimizers_are_torchs(name, kind, options):
    recipe = changed(optimizer=name, schedule="constant", max_momentum=0.8, weight_decay=0.02)
    optimizer, _ = optimizer_of([nn.Parameter(torch.zeros(2, 2))], recipe, IMAGES)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    expected = {"lr": 0.3, "weight_decay": 0.02, **options}
    assert {key: group[key] for key in expected} == expected
