"""Networks with a forward pass of their own, which only their module knows."""

import pytest
import torch
from small_trials import CPU, some_images, trial
from torch import nn

from normscope.models import MODELS
from normscope.models.layers import Dropout, conv2d
from normscope.models.summary import summarize
from normscope.norms import NORMS
from normscope.training import SideBySide, Splits, evaluate, fold, join
from normscope.training.fused import Fused
from normscope.training.seeds import generator
from normscope.training.trial import build_model, run_fleet, run_trial


class Residual(nn.Module):
    """x + block(x)"""

    def __init__(self, *layers):
        super().__init__()
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.block(x)


class Network(nn.Module):
    """No sequence, and with nothing called layers."""

    def __init__(self, make_norm, num_classes, init, dropout):
        super().__init__()

        def block(in_channels):
            convolution = conv2d(in_channels, 8, 3, padding=1, generator=init)
            return convolution, nn.ReLU(), make_norm(8), Dropout(0.1, dropout)

        self.stem = nn.Sequential(*block(3), nn.AvgPool2d(4))
        self.residual = Residual(*block(8))
        self.head = conv2d(8, num_classes, 1, generator=init)

    def forward(self, x):
        return self.head(self.residual(self.stem(x))).mean(dim=(2, 3))


NAMES = ["stem.0.weight", "stem.2.weight", "stem.2.bias", "residual.block.0.weight",
         "residual.block.2.weight", "residual.block.2.bias", "head.weight"]  # fmt: skip


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(MODELS, "residual", Network)


def asked(norm="gn", seed=0, **recipe):
    return trial(norm, seed, **recipe).model_copy(update={"model": "residual"})


def network(norm="gn", seed=0):
    return build_model(asked(norm, seed), some_images(), 10)


@pytest.mark.parametrize("norm", ["bn", "gn", "ln", "brn"])
def test_it_is_trained_tested_measured_and_kept(norm, shapes):
    result = run_trial(asked(norm), shapes, CPU)
    assert (result.status, result.error) == ("finished", None)
    first, second = result.history
    assert second.train_loss_nats < first.train_loss_nats
    assert 1 < result.peak_memory_mib < 100
    model = network(norm, seed=1)
    assert [name for name, _ in model.named_parameters()] == NAMES
    model.load_state_dict({k: torch.from_numpy(v) for k, v in result.weights.items()})
    logits = evaluate(model, Splits.of(shapes, CPU).test)
    assert logits.argmax(1).tolist() == result.predictions.classes.tolist()


def test_the_sequences_in_it_are_fused(monkeypatch):
    model, x = network().eval(), torch.randn(4, 3, 32, 32, generator=generator(0, "x"))
    expected = model(x)
    for kind in (nn.ReLU, nn.GroupNorm, Dropout):
        monkeypatch.setattr(kind, "forward", lambda self, x: pytest.fail("was called"))
    torch.testing.assert_close(Fused(model)(x), expected)


def test_fused_it_draws_and_learns_what_it_does_layer_by_layer():
    x = torch.randn(4, 3, 32, 32, generator=generator(0, "x"))
    plain, fused = network(), network()
    for model, forward in ((plain, plain), (fused, Fused(fused))):
        forward.train()(x).square().sum().backward()
        assert model.training
    for one, other in zip(plain.parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)


def test_a_model_that_was_called_fused_is_left_as_it_was():
    model = network()

    def in_use():
        return [m for m in model.modules() if "forward" in vars(m)]

    model.head.register_forward_hook(lambda *_: seen.append(len(in_use())))
    seen = []
    Fused(model)(torch.zeros(2, 3, 32, 32))
    with pytest.raises(RuntimeError, match="channels"):
        Fused(model)(torch.zeros(2, 4, 32, 32))
    assert (seen, in_use()) == ([2], [])


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_sequence_with_a_forward_pass_of_its_own_keeps_it():
    def make(seed):
        return Doubled(nn.ReLU(), NORMS["gn"](8), Dropout(0.0, generator(seed, "dropout")))

    x = torch.randn(2, 8, 5, 5, generator=generator(0, "x"))
    assert torch.equal(Fused(make(0))(x), make(0)(x))
    members = [make(seed) for seed in (0, 1)]
    joined = join(members)
    assert isinstance(joined, SideBySide)
    alone = torch.cat([member(x) for member in members], dim=1)
    torch.testing.assert_close(joined(torch.cat([x, x], dim=1)), alone)


# -- in a fleet ------------------------------------------------------------------------------------


def test_its_members_go_side_by_side_and_train_as_alone(shapes):
    assert isinstance(join([network(seed=0), network(seed=1)]), SideBySide)
    trials = [asked(seed=seed, epochs=1, max_lr=0.02) for seed in (0, 1)]
    for one, member in zip(trials, run_fleet(trials, shapes, CPU), strict=True):
        alone = run_trial(one, shapes, CPU)
        assert (member.status, member.environment.fleet) == ("finished", 2)
        assert member.environment.kernels == "torch"
        expected = alone.history[0].train_loss_nats
        assert member.history[0].train_loss_nats == pytest.approx(expected, rel=1e-4)
        assert member.weights.keys() == alone.weights.keys()
        for name, value in alone.weights.items():
            assert member.weights[name] == pytest.approx(value, abs=1e-3)


def test_a_sequence_may_use_a_layer_twice_if_it_has_no_parameters():
    def make(seed, twice):
        convolutions = [conv2d(3, 3, 1, generator=generator(seed, s)) for s in ("init", "other")]
        return nn.Sequential(convolutions[0], twice, convolutions[1], twice)

    members = [make(seed, nn.ReLU()) for seed in (0, 1)]
    x = torch.randn(2, 3, 5, 5, generator=generator(0, "x"))
    expected = torch.cat([member(x) for member in members], dim=1)
    torch.testing.assert_close(fold(members)(torch.cat([x, x], dim=1)), expected)
    shared = [make(seed, conv2d(3, 3, 1, generator=generator(seed, "third"))) for seed in (0, 1)]
    assert isinstance(join(shared), SideBySide)


# -- its table of layers ---------------------------------------------------------------------------


def test_its_layers_are_summarized_for_the_images_at_hand():
    summary = summarize("residual", "gn", num_classes=7, image_shape=(16, 24, 3))
    assert summary.input_shape == (3, 16, 24)
    shapes = [layer.output_shape for layer in summary.layers]
    assert (shapes[0], shapes[4], shapes[-1]) == ((8, 16, 24), (8, 4, 6), (7, 4, 6))
    assert summary.layers[0].multiply_adds == 8 * 3 * 9 * 16 * 24
