"""Steps that live on the device against torch's own optimizer and schedule; graphs on CUDA."""

import copy
import weakref

import pytest
import torch
from small_trials import SOME_NORMS
from torch import nn

from normscope.experiment import Recipe
from normscope.models import MODELS
from normscope.norms import asked as asked_for
from normscope.training import Split, fold
from normscope.training.graph import WARM_UP, Graphed, GraphRoom
from normscope.training.moving import generators_of
from normscope.training.seeds import generator
from normscope.training.steps import DeviceSteps, EagerSteps, rates_and_momenta

CPU = torch.device("cpu")
RECIPE = Recipe(name="test", epochs=3, batch_size=40, max_lr=0.05)
CHANGES = [
    {"weight_decay": 0.01, "label_smoothing": 0.2, "min_momentum": 0.0, "max_momentum": 0.9},
    {"weight_decay": 0.01, "weight_decay_on": "weights", "l1": 0.001},
    {"optimizer": "sgd-nesterov", "weight_decay": 0.01, "schedule": "step", "warmup": 0.3},
    {"optimizer": "adamw", "weight_decay": 0.1, "max_lr": 0.01, "l1": 0.001},
    {"optimizer": "adamw", "weight_decay": 0.1, "weight_decay_on": "weights", "max_lr": 0.01,
     "schedule": "cosine"},
    {"augmentation": ("flip", "crop", "cutout"), "ema": 0.8},
]  # fmt: skip
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def network(norm, members, device=CPU, dtype=torch.float64):
    made = [
        MODELS["s8"](asked_for(norm), 10, generator(s, "init"), generator(s, "dropout", device))
        for s in range(members)
    ]
    layers = [model.to(device, dtype, memory_format=torch.channels_last).layers for model in made]
    return layers[0] if members == 1 else fold(layers)


def batches(members, images=100):
    """Two epochs of batches, the last of each smaller."""
    orders = [generator(seed, "order") for seed in range(members)]
    for _ in range(2):
        order = torch.stack([torch.randperm(images, generator=o) for o in orders])
        yield order.split(RECIPE.batch_size, dim=1)


def train_split(shapes, device=CPU):
    arrays = shapes.train_images[:100], shapes.train_labels[:100]
    return Split.from_numpy(*arrays, shapes.mean, shapes.std, device)


def augments(members, device=CPU):
    return [generator(seed, "augment", device) for seed in range(members)]


class InFloat64(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.double())


CASES = [(norm, members, RECIPE) for norm in SOME_NORMS for members in (1, 3)]
CASES += [("bn", 2, Recipe(**{**dict(RECIPE), **changes})) for changes in CHANGES]


@pytest.mark.parametrize(("norm", "members", "recipe"), CASES)
def test_steps_on_the_device_are_those_of_torchs_optimizer(norm, members, recipe, shapes):
    """Same parameters, buffers, sums and learning rates after each of two epochs; in float64."""
    train = train_split(shapes)
    models = [network(norm, members) for _ in range(2)]
    eager, device = (
        kind(InFloat64(model), train, recipe, members, augments(members))
        for kind, model in zip((EagerSteps, DeviceSteps), models, strict=True)
    )
    for epoch in batches(members):
        for index in epoch:
            eager(index)
            device(index)
            assert device.learning_rate == eager.learning_rate
        for found, expected in zip(device.totals(), eager.totals(), strict=True):
            assert found == pytest.approx(expected, rel=1e-5)
        agree(models)
        with eager.as_tested(), device.as_tested():
            agree(models)


def agree(models):
    """Batch norm, which takes the scale of a convolution away, amplifies the last bits."""
    expected = models[0].state_dict()
    for name, value in models[1].state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-11, msg=name)


def test_frozen_parameters_stay_and_the_others_are_trained(shapes):
    train, models = train_split(shapes), [network("bn", 1) for _ in range(2)]
    for model in models:
        model[0].weight.requires_grad_(False)
    eager, device = (
        kind(InFloat64(model), train, RECIPE, 1)
        for kind, model in zip((EagerSteps, DeviceSteps), models, strict=True)
    )
    before = models[1][0].weight.clone()
    for epoch in batches(1):
        for index in epoch:
            eager(index)
            device(index)
    assert torch.equal(models[1][0].weight, before)
    for value, expected in zip(models[1].parameters(), models[0].parameters(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)


def test_steps_that_are_closed_are_freed(shapes):
    """A cycle would keep the graphs of a GPU, and all their memory, until the next collection."""
    steps = DeviceSteps(network("bn", 1), train_split(shapes), RECIPE, 1)
    steps._by_size[5] = torch.arange(5), steps._graphed(torch.arange(5))
    watched = weakref.ref(steps)
    steps.close()
    del steps
    assert watched() is None


def test_one_cycle_rises_and_falls_while_momentum_falls_and_rises():
    rates, momenta = rates_and_momenta(RECIPE, 100)
    assert len(rates) == len(momenta) == 9
    peak = rates.index(max(rates))
    assert (rates[0], rates[peak]) == pytest.approx((0.05 / 25, 0.05), rel=0.02)
    assert rates[-1] == pytest.approx(0.05 / 250000)
    assert (momenta[0], momenta[peak], momenta[-1]) == pytest.approx((0.95, 0.85, 0.95), rel=0.02)


def test_l1_is_in_the_gradient_and_not_in_the_loss(shapes):
    """A step at rate 0.5 without momentum moves each weight by 0.5 * 0.01 towards 0."""
    recipe = Recipe(**{**dict(RECIPE), "schedule": "constant", "max_lr": 0.5, "max_momentum": 0.0})
    penalized = recipe.model_copy(update={"l1": 0.01, "weight_decay_on": "weights"})
    found = []
    for each in (recipe, penalized):
        model = network("gn", 1)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        steps = EagerSteps(InFloat64(model), train_split(shapes), each, 1)
        steps(torch.arange(50)[None])
        found.append((steps.totals(), [*model.parameters()]))
    (sums, plain), (penalized_sums, pulled) = found
    assert sums == penalized_sums
    for start, expected, value in zip(before, plain, pulled, strict=True):
        pull = 0.5 * 0.01 * start.sign() * (start.dim() > 1)
        torch.testing.assert_close(value, expected - pull, rtol=1e-9, atol=1e-12)


def test_totals_start_again(shapes):
    model = network("bn", 1, dtype=torch.float32)
    steps = EagerSteps(model, train_split(shapes), RECIPE, 1)
    steps(torch.arange(50)[None])
    assert steps.totals()[0][0] > 0
    assert steps.totals() == ([0.0], [0])


def test_generators_of_a_model_and_of_a_fleet():
    assert len(generators_of(network("bn", 1))) == 1  # all layers draw from the same one
    assert len(generators_of(network("bn", 3))) == 3


def test_without_cuda_every_call_runs_the_function():
    calls = []
    graphed = Graphed(lambda: calls.append(1), GraphRoom(CPU), [])
    for _ in range(WARM_UP + 2):
        graphed()
    assert len(calls) == WARM_UP + 2


@needs_cuda
def test_a_graph_is_replayed_and_draws_on():
    cuda = torch.device("cuda")
    stream, alone = generator(0, "dropout", cuda), generator(0, "dropout", cuda)
    x, calls, seen = torch.zeros(1000, device=cuda), [], []

    def draw():
        calls.append(1)
        x.uniform_(generator=stream)

    graphed = Graphed(draw, GraphRoom(cuda), [stream])
    for _ in range(WARM_UP + 4):
        graphed()
        seen.append(x.clone())
    assert len(calls) == WARM_UP + 1  # warm-up and capture
    for found in seen:
        assert torch.equal(found, torch.empty_like(x).uniform_(generator=alone))


@needs_cuda
@pytest.mark.parametrize(("norm", "members", "recipe"), CASES)
def test_graphs_train_as_eager_steps_do(norm, members, recipe, shapes):
    """What is drawn included: a replayed graph draws the masks that the eager step draws."""
    cuda = torch.device("cuda")
    train = train_split(shapes, cuda)
    models = [network(norm, members, cuda) for _ in range(2)]
    eager, graphs = (
        kind(InFloat64(model), train, recipe, members, augments(members, cuda))
        for kind, model in zip((EagerSteps, DeviceSteps), models, strict=True)
    )
    small = torch.arange(20, device=cuda).expand(members, -1)
    for _ in range(WARM_UP + 4):
        eager(small)
        graphs(small)
    assert graphs.totals()[0] == pytest.approx(eager.totals()[0], rel=1e-4)
    before = copy.deepcopy(models[0].state_dict())
    for name, value in models[1].state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-3, atol=1e-5, msg=name)
