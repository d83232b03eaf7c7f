"""The tool's fast loop against the published way of training (benchmarks/reference.py)."""

import statistics

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from benchmarks import reference
from normscope.experiment import Recipe
from normscope.models import MODELS
from normscope.models.layers import Dropout
from normscope.norms import NORMS
from normscope.training import Splits, fit, with_fastest_forward
from normscope.training.seeds import generator

CPU = torch.device("cpu")
RECIPE = Recipe(name="test", epochs=2, batch_size=64, max_lr=0.02)
NORMS_OF_REFERENCE = ("bn", "gn", "ln")


def pair(norm, dropout):
    """The reference and our network, with equal weights."""
    ours = MODELS["s8"](NORMS[norm], 10, generator(0, "init"), generator(0, "dropout"))
    for layer in ours.modules():
        if isinstance(layer, Dropout):
            layer.p = dropout
    theirs = reference.make_model(norm, dropout)
    theirs.load_state_dict({k.removeprefix("layers."): v for k, v in ours.state_dict().items()})
    return theirs, ours.to(memory_format=torch.channels_last)


def test_images_are_prepared_alike(shapes):
    theirs = reference.Images(shapes.train_images, shapes.train_labels, shapes)
    ours, labels = Splits.of(shapes, CPU).train.batch(torch.arange(9))
    for i in range(9):
        torch.testing.assert_close(ours[i].contiguous(), theirs[i][0])
        assert int(labels[i]) == theirs[i][1]


@pytest.mark.parametrize("norm", NORMS_OF_REFERENCE)
def test_without_dropout_both_train_alike_epoch_by_epoch(norm, shapes):
    theirs, ours = pair(norm, dropout=0.0)
    records = []
    splits = Splits.of(shapes, CPU)
    fast = with_fastest_forward(ours, CPU, "fp32")
    fit(fast, splits, RECIPE, generator(0, "order"), records.append)

    same_order = generator(0, "order")

    class OurOrder(torch.utils.data.Sampler):
        def __iter__(self):
            return iter(torch.randperm(len(splits.train), generator=same_order).tolist())

        def __len__(self):
            return len(splits.train)

    batches = torch.utils.data.DataLoader(
        reference.Images(shapes.train_images, shapes.train_labels, shapes),
        RECIPE.batch_size,
        sampler=OurOrder(),
        num_workers=2,
    )
    _, test_batches = reference.loaders(shapes, 512, workers=0)
    rows = reference.train(theirs, batches, test_batches, RECIPE.max_lr, RECIPE.epochs)
    ours_rows = [
        (r.train_loss_nats, r.train_accuracy_percent, r.test_loss_nats, r.test_accuracy_percent)
        for r in records
    ]
    found, expected = np.array(ours_rows), np.array(rows)
    np.testing.assert_allclose(found[0, ::2], expected[0, ::2], rtol=2e-3)  # losses
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-2)
    # Points: of a few hundred images near a tie, a dozen may fall to the other side of it.
    np.testing.assert_allclose(found[:, 1::2], expected[:, 1::2], atol=5)
    assert rows[-1][0] < rows[0][0]


@pytest.mark.parametrize("norm", NORMS_OF_REFERENCE)
def test_with_dropout_the_losses_have_the_same_distribution(norm, shapes):
    """The loss of one batch over many draws of dropout, at a rate that shows."""
    theirs, ours = pair(norm, dropout=0.2)
    x, labels = Splits.of(shapes, CPU).train.batch(torch.arange(6))
    fast = with_fastest_forward(ours, CPU, "fp32").train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = [cross_entropy(theirs.train()(x), labels).item() for _ in range(300)]
    fused = [cross_entropy(fast(x), labels).item() for _ in range(300)]
    spread = statistics.stdev(plain)
    error = spread * (2 / 300) ** 0.5
    assert abs(statistics.mean(fused) - statistics.mean(plain)) < 4 * error
    assert statistics.stdev(fused) == pytest.approx(spread, rel=0.2)
