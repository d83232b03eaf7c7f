"""One trial: repeatable to the bit, comparable across norms, and honest about failure."""

import numpy as np
import pytest
import torch
from torch import nn

from normscope.config import Recipe, Trial
from normscope.errors import UsageError
from normscope.norms import NORMS
from normscope.run import _predictions, build_model, choose_device, estimate_trial, run_trial

CPU = torch.device("cpu")


def trial(norm="bn", seed=0, **recipe):
    values = {"name": "quick", "epochs": 2, "batch_size": 64, "max_lr": 0.1, **recipe}
    return Trial(
        dataset="shapes",
        train_limit=256,
        test_limit=100,
        model="s8",
        norm=norm,
        recipe=Recipe(**values),
        seed=seed,
    )


def without_times(result):
    return [
        record.model_dump(exclude={"train_seconds", "test_seconds"}) for record in result.history
    ]


@pytest.mark.parametrize("norm", NORMS)
def test_the_same_trial_twice_is_equal_to_the_bit(norm, shapes):
    torch.manual_seed(1)
    first = run_trial(trial(norm), shapes, CPU)
    torch.manual_seed(2)
    np.random.default_rng(3).random()
    second = run_trial(trial(norm), shapes, CPU)
    assert first.status == "finished"
    assert without_times(first) == without_times(second)
    assert np.array_equal(first.predictions.logits, second.predictions.logits)
    assert first.weights.keys() == second.weights.keys()
    for name, value in first.weights.items():
        assert value.tobytes() == second.weights[name].tobytes()


def test_logits_too_large_for_float16_stay_finite():
    kept = _predictions(torch.tensor([[1e6, 0.0], [-1e6, -2e6]]))
    assert kept.logits.tolist() == [[65504.0, 0.0], [-65504.0, -65504.0]]
    assert kept.classes.tolist() == [0, 0]
    assert np.isfinite(kept.confidences()).all()


def test_another_seed_is_another_run(shapes):
    first, second = (run_trial(trial(seed=seed), shapes, CPU) for seed in (0, 1))
    assert without_times(first) != without_times(second)


def test_a_trial_neither_reads_nor_sets_the_global_random_state(shapes):
    before = torch.get_rng_state()
    run_trial(trial(), shapes, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_norms_of_a_block_start_alike_and_see_the_same_images_in_the_same_order(
    shapes, monkeypatch
):
    seen = {}
    for norm in NORMS:
        inputs = []

        def watch(model, arguments, log=inputs):
            if model.training:
                log.append(arguments[0].sum(dim=(1, 2, 3)).numpy(force=True))

        model = build_model(trial(norm), 10, CPU)
        convolutions = [
            m.weight.detach().clone() for m in model.modules() if isinstance(m, nn.Conv2d)
        ]
        model.register_forward_pre_hook(watch)
        monkeypatch.setattr("normscope.run.build_model", lambda *_, model=model: model)
        run_trial(trial(norm), shapes, CPU)
        seen[norm] = convolutions, np.concatenate(inputs)
    weights, order = seen["bn"]
    assert len(order) == 2 * 256
    for norm in ("gn", "ln"):
        assert all(torch.equal(a, b) for a, b in zip(weights, seen[norm][0], strict=True))
        assert np.array_equal(order, seen[norm][1])


def test_the_record_agrees_with_the_predictions(shapes):
    result = run_trial(trial(), shapes, CPU)
    accuracy = 100 * (result.predictions.classes == shapes.test_labels).mean()
    assert result.history[-1].test_accuracy_percent == pytest.approx(accuracy)
    assert result.predictions.logits.shape == (100, 10)
    confidences = result.predictions.confidences()
    assert confidences.shape == (100,)
    assert (confidences > 0.1 - 1e-9).all()
    assert (confidences <= 1).all()


def test_divergence_is_an_outcome(shapes):
    result = run_trial(trial("gn", max_lr=1e12, epochs=4), shapes, CPU)
    assert result.status == "diverged"
    assert "not finite in epoch" in result.error
    assert result.predictions is None
    assert len(result.history) < 4
    assert np.isfinite([record.train_loss_nats for record in result.history]).all()


def test_an_exception_is_an_outcome_with_its_traceback(shapes, monkeypatch):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            raise RuntimeError("out of patience")

    monkeypatch.setattr("normscope.run.build_model", lambda *_: Broken())
    result = run_trial(trial(), shapes, CPU)
    assert result.status == "failed"
    assert "RuntimeError: out of patience" in result.error
    assert "Traceback" in result.error


def test_an_observer_that_fails_is_no_outcome_of_the_trial(shapes):
    def closed(record):
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError, match="the terminal is gone"):
        run_trial(trial(), shapes, CPU, on_epoch=closed)


def test_the_environment_is_recorded(shapes):
    environment = run_trial(trial(epochs=1), shapes, CPU).environment
    assert environment.torch == torch.__version__
    assert environment.threads == torch.get_num_threads()
    assert environment.device == "cpu"


def test_devices():
    assert choose_device("cpu") == CPU
    with pytest.raises(UsageError, match="unknown device 'tpu'; known: auto, cpu, cuda"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_that_is_not_there():
    assert choose_device("auto") == CPU
    with pytest.raises(UsageError, match="use --device cpu"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_repeats_itself_and_agrees_with_the_cpu(shapes):
    cuda = choose_device("cuda")
    first, second = (run_trial(trial(), shapes, cuda) for _ in range(2))
    assert without_times(first) == without_times(second)
    on_cpu = run_trial(trial(), shapes, CPU).history[0]
    assert first.history[0].train_loss_nats == pytest.approx(on_cpu.train_loss_nats, rel=0.05)


def test_the_estimate_grows_with_the_work():
    small = estimate_trial(trial(epochs=1), 1000, 100, 10, CPU)
    large = estimate_trial(trial(epochs=10), 10_000, 1000, 10, CPU)
    assert large.seconds > 10 * small.seconds
    assert large.disk_bytes == 10 * small.disk_bytes
