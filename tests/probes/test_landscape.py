"""Steps along the gradient of quadratics, where all is known, and of networks, by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from small_networks import assert_no_trace, batch, trace, two_blocks
from torch import nn

from normscope.probes.landscape import EPS, landscape


class TwoTensors(nn.Module):
    """Returns its two parameters as one row, whatever it sees."""

    def __init__(self, first, second):
        super().__init__()
        self.first = nn.Parameter(torch.tensor(first, dtype=torch.float64))
        self.second = nn.Parameter(torch.tensor(second, dtype=torch.float64))

    def forward(self, x):
        return torch.cat([self.first, self.second])


def quadratic(values, curvatures):
    return (curvatures * values.square()).sum() / 2


def test_a_quadratic_is_exact():
    """f = sum a w^2 / 2 has g = a w; a step by -s has f(w - s) and a change of -a s."""
    w, a = np.array([3.0, -4.0, 2.0, 1.0, -2.0]), np.array([1.0, 0.5, 2.0, 3.0, 0.25])
    network = TwoTensors(w[:2], w[2:])
    found = landscape(network, torch.empty(0), torch.tensor(a), quadratic)
    g = a * w
    assert found.loss == pytest.approx((a * w**2).sum() / 2, rel=1e-14)
    assert found.gradient_norm == pytest.approx(math.sqrt((g**2).sum()), rel=1e-14)
    for number, eps in enumerate(EPS):
        step = np.empty(5)
        for part in (slice(0, 2), slice(2, 5)):  # each tensor by its own lengths
            step[part] = eps * np.linalg.norm(w[part]) * g[part] / np.linalg.norm(g[part])
        moved = a * (w - step)
        change = np.linalg.norm(moved - g) / np.linalg.norm(g)
        cosine = moved @ g / (np.linalg.norm(moved) * np.linalg.norm(g))
        assert found.losses[number] == pytest.approx((a * (w - step) ** 2).sum() / 2, rel=1e-13)
        assert found.gradient_changes[number] == pytest.approx(change, rel=1e-10)
        assert found.cosines[number] == pytest.approx(cosine, rel=1e-13)


def test_a_round_bowl():
    """With f = |w|^2 / 2 a step of eps shrinks w, and so the gradient, by eps: digits by heart."""
    network = TwoTensors([3.0, 4.0], [0.0, 0.0])  # a tensor without a gradient stays
    found = landscape(network, torch.empty(0), torch.ones(4, dtype=torch.float64), quadratic)
    assert (found.loss, found.gradient_norm) == (12.5, 5)
    assert found.losses == pytest.approx([12.5 * (1 - eps) ** 2 for eps in EPS], rel=1e-14)
    assert found.gradient_changes == pytest.approx(EPS, rel=1e-10)
    assert found.cosines == pytest.approx([1, 1, 1, 1], abs=1e-15)


def test_where_the_gradient_is_zero_there_is_no_direction():
    network = TwoTensors([0.0, 0.0], [0.0])
    found = landscape(network, torch.empty(0), torch.ones(3, dtype=torch.float64), quadratic)
    assert (found.loss, found.gradient_norm, *found.losses) == (0, 0, 0, 0, 0, 0)
    assert np.isnan([*found.gradient_changes, *found.cosines]).all()


def by_hand(network, x, labels):
    """The loss, and the gradient of each tensor, of a copy in training without dropout."""
    network = copy.deepcopy(network).train()
    network[0][3].eval()
    loss = nn.functional.cross_entropy(network(x), labels)
    loss.backward()
    return float(loss.detach()), [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("norm", ["bn", "gn", "brn"])
def test_agrees_with_steps_of_a_copy(norm):
    network, (x, labels) = two_blocks(norm).eval(), batch()
    found = landscape(network, x, labels)
    loss, gradients = by_hand(network, x, labels)
    assert found.loss == pytest.approx(loss, rel=1e-12)
    whole = torch.cat([g.flatten() for g in gradients])
    assert found.gradient_norm == pytest.approx(float(whole.norm()), rel=1e-12)
    for number, eps in enumerate(EPS):
        moved = copy.deepcopy(network)
        for parameter, g in zip(moved.parameters(), gradients, strict=True):
            if g.norm() > 0:
                parameter.data -= eps * parameter.data.norm() * g / g.norm()
        loss, after = by_hand(moved, x, labels)
        after = torch.cat([g.flatten() for g in after])
        cosine = nn.functional.cosine_similarity(after, whole, dim=0)
        change = (after - whole).norm() / whole.norm()
        assert found.losses[number] == pytest.approx(loss, rel=1e-9)
        assert found.gradient_changes[number] == pytest.approx(float(change), rel=1e-7)
        assert found.cosines[number] == pytest.approx(float(cosine), rel=1e-9)


def test_only_parameters_that_train_are_moved():
    network = TwoTensors([3.0, 4.0], [5.0])
    network.second.requires_grad_(False)
    found = landscape(network, torch.empty(0), torch.ones(3, dtype=torch.float64), quadratic)
    assert found.gradient_norm == 5
    assert found.losses == pytest.approx([12.5 * (1 - e) ** 2 + 12.5 for e in EPS], rel=1e-14)


@pytest.mark.parametrize("norm", ["bn", "brn", "bnn", "bin"])
def test_the_network_is_what_it_was(norm):
    network, (x, labels) = two_blocks(norm), batch()
    network[1].eval()
    before = trace(network)
    first, second = (landscape(network, x, labels) for _ in range(2))
    assert_no_trace(before, network)
    assert first.losses.tolist() == second.losses.tolist()


def test_so_it_is_if_the_loss_cannot_be_computed():
    network, (x, labels) = two_blocks().eval(), batch()
    before, calls = trace(network), []

    def failing(logits, labels):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError
        return nn.functional.cross_entropy(logits, labels)

    with pytest.raises(ZeroDivisionError):
        landscape(network, x, labels, failing)
    assert_no_trace(before, network)
