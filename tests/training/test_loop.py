"""The training loop against the plain one that everybody writes."""

import copy
import math

import numpy as np
import pytest
import torch
from small_trials import SOME_NORMS
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from normscope.experiment import Recipe
from normscope.models import MODELS
from normscope.models.layers import Dropout
from normscope.norms import asked as asked_for
from normscope.training import Diverged, Splits, evaluate, fit
from normscope.training.seeds import generator

RECIPE = Recipe(name="test", epochs=2, batch_size=100, max_lr=0.05)
OTHER = RECIPE.model_copy(
    update={
        "min_momentum": 0.5,
        "max_momentum": 0.9,
        "weight_decay": 0.01,
        "label_smoothing": 0.2,
    }
)


@pytest.fixture
def splits(shapes):
    return Splits.of(shapes, torch.device("cpu"))


@pytest.fixture
def test(splits):
    return splits.test


def network(norm, dropout=True):
    model = MODELS["s8"](asked_for(norm), 10, generator(0, "init"), generator(0, "dropout"))
    if not dropout:
        for i, layer in enumerate(model.layers):
            model.layers[i] = nn.Identity() if isinstance(layer, Dropout) else layer
    return model.to(memory_format=torch.channels_last)


def is_weight(model, name):
    """Whether a parameter is a weight of a convolution, by the type of its layer."""
    return isinstance(model.get_submodule(name.rpartition(".")[0]), nn.Conv2d)


def plain_sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **options)


def groups(model, decay):
    named = [(name, p) for name, p in model.named_parameters()]
    return [
        {"params": [p for name, p in named if is_weight(model, name)], "weight_decay": decay},
        {"params": [p for name, p in named if not is_weight(model, name)], "weight_decay": 0},
    ]


def plain_training(model, dataset, order, **options):
    """Images as everybody prepares them, NCHW, `.item()` every step, in float64 where it counts.

    `options`: label_smoothing, l1, the optimizer made for a model, an average that is told of every
    step, and momenta of the schedule, if not torch's defaults.
    """
    smoothing, l1 = options.pop("label_smoothing", 0.0), options.pop("l1", 0.0)
    make_optimizer, average = options.pop("optimizer", plain_sgd), options.pop("average", None)
    scale = np.array(dataset.mean, np.float32), np.array(dataset.std, np.float32)
    images = (dataset.train_images.astype(np.float32) / 255 - scale[0]) / scale[1]
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(dataset.train_labels)
    steps = math.ceil(len(x) / RECIPE.batch_size)
    optimizer = make_optimizer(model)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=RECIPE.max_lr, epochs=RECIPE.epochs, steps_per_epoch=steps, **options
    )
    rows = []
    for _ in range(RECIPE.epochs):
        order_of_epoch = torch.randperm(len(x), generator=order)
        losses, correct = 0.0, 0
        for start in range(0, len(x), RECIPE.batch_size):
            index = order_of_epoch[start : start + RECIPE.batch_size]
            logits = model(x[index])
            loss = cross_entropy(logits, y[index], label_smoothing=smoothing)
            weights = [p for name, p in model.named_parameters() if is_weight(model, name)]
            optimizer.zero_grad()
            (loss + l1 * sum(weight.abs().sum() for weight in weights)).backward()
            rate = optimizer.param_groups[0]["lr"]
            optimizer.step()
            schedule.step()
            if average is not None:
                average.update_parameters(model)
            losses += loss.item() * len(index)
            correct += int((logits.argmax(1) == y[index]).sum())
        rows.append((losses / len(x), 100 * correct / len(x), rate))
    return rows


def agrees(norm, recipe, shapes, splits, **options):
    # In float32 a ReLU or a max-pool near a tie amplifies the rounding of another memory layout.
    model = network(norm, dropout=False).double()
    model.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format).train()
    records = []
    logits = fit(model, splits, recipe, generator(0, "order"), records.append)
    expected = plain_training(plain, shapes, generator(0, "order"), **options)
    found = [(r.train_loss_nats, r.train_accuracy_percent, r.learning_rate) for r in records]
    assert [row[0] for row in found] == pytest.approx([row[0] for row in expected], rel=1e-4)
    assert [row[1] for row in found] == pytest.approx([row[1] for row in expected], abs=0.5)
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], rel=1e-12)
    for value, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-3, atol=1e-4)
    loss = cross_entropy(logits, splits.test.labels)  # nothing is smoothed in the test
    assert records[-1].test_loss_nats == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize("norm", SOME_NORMS)
def test_agrees_with_the_plain_loop(norm, shapes, splits):
    agrees(norm, RECIPE, shapes, splits)


def test_every_number_of_a_recipe_is_used(shapes, splits):
    agrees(
        "gn", OTHER, shapes, splits, optimizer=lambda model: plain_sgd(model, weight_decay=0.01),
        label_smoothing=0.2, base_momentum=0.5, max_momentum=0.9,
    )  # fmt: skip


def changed(**changes):
    return Recipe(**{**dict(RECIPE), **changes})


def test_nesterov_and_penalties_on_weights_are_those_of_torch(shapes, splits):
    recipe = changed(
        optimizer="sgd-nesterov", weight_decay=0.02, weight_decay_on="weights", l1=0.0005
    )
    agrees(
        "gn", recipe, shapes, splits, l1=0.0005,
        optimizer=lambda m: torch.optim.SGD(groups(m, 0.02), lr=1, momentum=0.9, nesterov=True),
    )  # fmt: skip


def test_adamw_is_torchs(shapes, splits):
    recipe = changed(optimizer="adamw", weight_decay=0.5, weight_decay_on="weights")
    agrees("gn", recipe, shapes, splits, optimizer=lambda m: torch.optim.AdamW(groups(m, 0.5)))


def test_what_is_tested_and_kept_is_the_average(shapes, splits):
    recipe = changed(ema=0.7)
    model = network("bn", dropout=False).double()
    model.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format).train()
    average = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(0.7), use_buffers=True)
    records = []
    logits = fit(model, splits, recipe, generator(0, "order"), records.append)
    rows = plain_training(plain, shapes, generator(0, "order"), average=average)
    # The training is that without an average.
    assert [r.train_loss_nats for r in records] == pytest.approx([r[0] for r in rows], rel=1e-4)
    expected = average.module.state_dict()
    for name, value in model.state_dict().items():
        if value.is_floating_point():  # no count of batches
            torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=name)
    assert any(not torch.allclose(p, q, atol=1e-3)
               for p, q in zip(model.parameters(), plain.parameters(), strict=True))  # fmt: skip
    tested = evaluate(average.module, splits.test)
    torch.testing.assert_close(logits, tested, rtol=1e-3, atol=1e-3)
    assert torch.equal(logits, evaluate(model, splits.test))
    loss = cross_entropy(logits, splits.test.labels)
    assert records[-1].test_loss_nats == pytest.approx(loss.item(), rel=1e-6)


def test_the_last_batch_of_an_epoch_may_be_smaller(splits):
    sizes = []
    model = network("gn", dropout=False)
    model.register_forward_hook(lambda m, i, out: sizes.append(len(out)) if m.training else None)
    fit(model, splits, RECIPE, generator(0, "order"), lambda record: None)
    assert sizes == [100, 100, 56] * 2


def test_the_records_describe_the_network_as_it_was_after_each_epoch(splits, test, shapes):
    model = network("bn")
    records, by_hand = [], []

    def on_epoch(record):
        logits = evaluate(model, test).numpy().astype(np.float64)
        log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -log_softmax[np.arange(len(logits)), shapes.test_labels].mean()
        by_hand.append((loss, 100 * (logits.argmax(1) == shapes.test_labels).mean()))
        records.append((record.test_loss_nats, record.test_accuracy_percent))

    logits = fit(model, splits, RECIPE, generator(0, "order"), on_epoch)
    np.testing.assert_allclose(records, by_hand, rtol=1e-5)
    assert torch.equal(logits, evaluate(model, test))


def test_batches_are_scaled_then_normalized_and_channels_last(shapes, splits):
    x, labels = splits.train.batch(torch.tensor([3, 1]))
    pixels = shapes.train_images[[3, 1]].astype(np.float64) / 255
    expected = ((pixels - shapes.mean) / shapes.std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert labels.tolist() == shapes.train_labels[[3, 1]].tolist()
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_goes_over_everything_in_order_and_changes_nothing(test):
    model = network("bn")
    before = copy.deepcopy(model.state_dict())
    logits = evaluate(model, test)
    with torch.inference_mode():
        one_by_one = torch.cat([model(test.batch(torch.tensor([i]))[0]) for i in range(len(test))])
    torch.testing.assert_close(logits, one_by_one, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class NotFiniteInEvaluation(nn.Module):
    """As a norm whose running statistics have overflowed: it trains, and cannot be tested."""

    def __init__(self):
        super().__init__()
        self.network = network("gn")

    def forward(self, x_NCHW):
        return self.network(x_NCHW) * (1 if self.training else math.nan)


def test_a_test_loss_that_is_not_finite_is_divergence(splits):
    records = []
    with pytest.raises(Diverged, match=r"^the loss of test images was not finite in epoch 1$"):
        fit(NotFiniteInEvaluation(), splits, RECIPE, generator(0, "order"), records.append)
    assert records == []


def test_a_loss_that_is_not_finite_is_divergence(splits):
    records = []
    wild = RECIPE.model_copy(update={"max_lr": 1e12, "epochs": 4})
    with pytest.raises(Diverged, match=r"not finite in epoch \d"):
        fit(network("gn"), splits, wild, generator(0, "order"), records.append)
    assert all(math.isfinite(record.train_loss_nats) for record in records)


class NotFiniteFrom(nn.Module):
    """A network whose answers are not finite from a step on, counted from 1."""

    def __init__(self, step):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 10, 32), nn.Flatten())
        self.step, self.steps, self.tests = step, 0, 0

    def forward(self, x_NCHW):
        self.steps += self.training
        self.tests += not self.training
        is_wild = self.training and self.steps >= self.step
        return self.network(x_NCHW) * (math.inf if is_wild else 1)


@pytest.mark.parametrize(
    ("wild_from", "noticed", "epoch"), [(50, 50, 1), (51, 64, 1), (65, 100, 2), (101, 128, 2)]
)
def test_a_loss_that_is_not_finite_is_noticed_within_50_steps(wild_from, noticed, epoch, splits):
    """Or at the end of the epoch, which has 64 steps here."""
    records, model = [], NotFiniteFrom(wild_from)
    slow = RECIPE.model_copy(update={"batch_size": 4, "epochs": 9, "max_lr": 1e-6})
    where = f"the loss was not finite in epoch {epoch}, by step {noticed} of 576"
    with pytest.raises(Diverged, match=f"^{where}$"):
        fit(model, splits, slow, generator(0, "order"), records.append)
    assert model.steps == noticed  # none was taken after that, and nothing tested
    assert [record.epoch for record in records] == [1] * (epoch - 1)
    assert model.tests == epoch - 1
