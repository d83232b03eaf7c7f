"""One trial: repeatable to the bit, comparable across norms, and honest about failure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trials import CPU, SOME_NORMS, some_images, trial
from torch import nn

from normscope.data import load_dataset
from normscope.errors import RunError, UsageError
from normscope.experiment import EpochRecord, Experiment, Request, Result
from normscope.models import MODELS
from normscope.models.layers import Dropout, conv2d
from normscope.models.s8 import DROPOUT
from normscope.norms import NORMS
from normscope.store import Store
from normscope.training import Splits, estimate
from normscope.training.device import check_precision, choose_device
from normscope.training.environment import environment
from normscope.training.estimate import DataSize, _scaled, estimate_trial
from normscope.training.probing import Built
from normscope.training.seeds import generator
from normscope.training.trial import _predictions, build_model, run_trial


def without_times(result):
    return [replace(record, train_seconds=0, test_seconds=0) for record in result.history]


@pytest.mark.parametrize("norm", [*NORMS, "gn:pre"])
def test_the_same_trial_twice_is_equal_to_the_bit(norm, shapes):
    few = shapes.limited(64, 20)
    torch.manual_seed(1)
    first = run_trial(trial(norm, batch_size=32), few, CPU)
    torch.manual_seed(2)
    np.random.default_rng(3).random()
    second = run_trial(trial(norm, batch_size=32), few, CPU)
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


def test_what_an_own_norm_draws_at_the_start_is_of_the_seed(monkeypatch):
    class Drawn(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(channels, 1, 1))

        def forward(self, x):
            return x * self.weight

    monkeypatch.setitem(NORMS, "drawn", Drawn)
    before = torch.get_rng_state()
    first, again, other = (
        build_model(trial("drawn", seed), some_images(), 10).layers[2].weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_trial_neither_reads_nor_sets_the_global_random_state(shapes):
    before = torch.get_rng_state()
    run_trial(trial(), shapes, CPU)
    assert torch.equal(torch.get_rng_state(), before)


# -- blocks --------------------------------------------------------------------------------------


@pytest.fixture
def order_of_images(shapes, monkeypatch):
    """Runs a trial and says which training images the network saw: indices, two epochs long."""
    images = Splits.of(shapes, CPU).train.batch(torch.arange(256))[0].numpy()
    number = {image.tobytes(): i for i, image in enumerate(images)}
    assert len(number) == 256

    def run(a_trial):
        model, seen = build_model(a_trial, some_images(), 10), []

        def watch(network, inputs):
            if network.training:
                seen.extend(number[image.tobytes()] for image in inputs[0].numpy(force=True))

        model.layers[0].register_forward_pre_hook(watch)
        monkeypatch.setattr("normscope.training.trial.build", lambda *_: Built(model, []))
        monkeypatch.setattr(
            "normscope.training.trial.step_memory_mib", lambda *_: None
        )  # after the training
        run_trial(a_trial, shapes, CPU)
        return seen

    return run


def convolutions(norm, seed):
    model = build_model(trial(norm, seed), some_images(), 10)
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d)]


def seeds_of_dropout(norm, seed):
    model = build_model(trial(norm, seed), some_images(), 10)
    return {m.generators[0].initial_seed() for m in model.modules() if isinstance(m, Dropout)}


def test_the_images_come_in_the_order_of_the_stream_order(order_of_images):
    expected = {}
    for seed in (0, 1):
        stream = generator(seed, "order")
        expected[seed] = [i for _ in range(2) for i in torch.randperm(256, generator=stream)]
    assert expected[0] != expected[1]
    assert order_of_images(trial("bn", seed=1)) == expected[1]
    for norm in SOME_NORMS:
        assert order_of_images(trial(norm, seed=0)) == expected[0]


def test_the_convolutions_start_as_the_stream_init_draws_them():
    first, other = convolutions("bn", 0), convolutions("bn", 1)
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    for seed, found in ((0, first), (1, other)):
        drawn = conv2d(3, 16, 3, generator=generator(seed, "init")).weight
        assert torch.equal(found[0], drawn)
    for norm in SOME_NORMS:
        assert all(torch.equal(a, b) for a, b in zip(first, convolutions(norm, 0), strict=True))


def test_dropout_draws_from_the_stream_dropout():
    expected = [generator(seed, "dropout").initial_seed() for seed in (0, 1)]
    assert expected[0] != expected[1]
    assert seeds_of_dropout("bn", 1) == {expected[1]}
    for norm in SOME_NORMS:
        assert seeds_of_dropout(norm, 0) == {expected[0]}


@pytest.mark.parametrize("p", [0.0, 0.3])
def test_the_recipe_sets_every_dropout_if_it_says_any(p):
    class Other(nn.Module):
        def __init__(self, make_norm, num_classes, init, dropout):
            super().__init__()
            self.layers = nn.Sequential(nn.Dropout2d(0.4), nn.Flatten(), Dropout(0.2, dropout))

        def forward(self, x):
            return self.layers(x)

    def rates(**recipe):
        model = build_model(trial(**recipe), some_images(), 10)
        return [layer.p for layer in model.modules() if hasattr(layer, "p")]

    assert rates() == [DROPOUT] * 8
    assert rates(dropout=p) == [p] * 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "s8", Other)
        assert rates() == [0.4, 0.2]
        assert rates(dropout=p) == [p, p]


def test_a_network_is_channels_last():
    weight = build_model(trial(), some_images(), 10).layers[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


# -- outcomes ------------------------------------------------------------------------------------


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
    def broken(layer, inputs):
        raise RuntimeError("out of patience")

    model = build_model(trial(), some_images(), 10)
    model.layers[0].register_forward_pre_hook(broken)
    monkeypatch.setattr("normscope.training.trial.build", lambda *_: Built(model, []))
    result = run_trial(trial(), shapes, CPU)
    assert result.status == "failed"
    assert "RuntimeError: out of patience" in result.error
    assert "Traceback" in result.error


def test_an_observer_that_fails_is_no_outcome_of_the_trial(shapes):
    def closed(record):
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError, match="the terminal is gone"):
        run_trial(trial(), shapes, CPU, on_epoch=closed)


def test_devices():
    assert choose_device("cpu") == CPU
    with pytest.raises(UsageError, match="unknown device 'tpu'; known: auto, cpu, cuda"):
        choose_device("tpu")


def test_the_settings_of_cudnn_are_only_borrowed(shapes, monkeypatch):
    cudnn, seen = torch.backends.cudnn, []

    def look(*_, **__):
        seen.append((cudnn.deterministic, cudnn.benchmark))
        raise RuntimeError

    monkeypatch.setattr("normscope.training.trial.fit_fleet", look)
    monkeypatch.setattr(cudnn, "deterministic", False)
    monkeypatch.setattr(cudnn, "benchmark", True)
    assert run_trial(trial(), shapes, CPU).status == "failed"
    assert seen == [(True, False)]
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


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


# -- estimates -----------------------------------------------------------------------------------


def sample_of(trial):
    """On 192 images training took 6 s and testing 1.5 s: 31.25 ms and 7.8125 ms per image."""
    record = EpochRecord(
        epoch=1,
        train_loss_nats=2.3,
        train_accuracy_percent=10,
        test_loss_nats=2.3,
        test_accuracy_percent=10,
        learning_rate=0.1,
        train_seconds=6.0,
        test_seconds=1.5,
    )
    return Result(
        trial=trial,
        status="finished",
        history=(record,),
        started="2026-01-01T00:00:00+00:00",
        seconds=8.0,
        environment=environment(CPU, "fp32", fleet=1),
        predictions=_predictions(torch.zeros(192, 10)),
        weights={"a": np.zeros(31_000, np.float32), "b": np.zeros(216, np.float32)},
    )


def test_an_estimate_is_the_time_per_image_times_the_images():
    sample = sample_of(trial())
    cost = _scaled(sample, 15, DataSize(50_000, 10_000, 10, (32, 32, 3)))
    assert cost.seconds == pytest.approx(15 * (50_000 * 0.03125 + 10_000 * 0.0078125))
    assert cost.disk_bytes == 31_216 * 4 + 10_000 * (10 * 2 + 1) + 4_000 + 15 * 300


def test_the_disk_space_foreseen_is_what_a_stored_trial_takes(tmp_path):
    dataset = load_dataset("shapes", train_limit=256, test_limit=2000)
    done = trial("bn").model_copy(update={"test_limit": 2000})
    experiment = Experiment(norms=("bn",), seeds=1, recipe=done.recipe)
    asked = Request(date="2026-01-01", command="normscope compare", norms=("bn",), seeds=1)
    store = Store.create(tmp_path, experiment, asked)
    store.add(run_trial(done, dataset, CPU))
    stored = sum(path.stat().st_size for path in (tmp_path / "trials" / done.id).iterdir())
    foreseen = estimate_trial(done, DataSize(256, 2000, 10, (32, 32, 3)), CPU, threads=1)
    assert foreseen.disk_bytes == pytest.approx(stored, rel=0.1)
    assert foreseen.seconds > 0


def test_an_estimate_counts_the_twin_that_is_trained_first(monkeypatch):
    monkeypatch.setattr(estimate, "run_trial", lambda short, sample, device: sample_of(short))
    size = DataSize(1000, 100, 10, (32, 32, 3))
    seconds = {
        order: estimate_trial(trial(f"gn:order={order}"), size, CPU, threads=1).seconds
        for order in ("given", "similar-scale-initial", "similar-scale-trained")
    }
    once = trial().recipe.epochs * (1000 * 0.03125 + 100 * 0.0078125)
    assert seconds == {
        "given": once, "similar-scale-initial": once, "similar-scale-trained": 2 * once
    }  # fmt: skip


def test_a_trial_that_diverges_on_a_sample_has_no_estimate():
    size = DataSize(1000, 100, 10, (32, 32, 3))
    with pytest.raises(RunError, match=r"no estimate: the trial diverged .*not finite in epoch 1"):
        estimate_trial(trial("gn", max_lr=1e30), size, CPU, threads=1)


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="needs bfloat16 arithmetic")
def test_bfloat16_trains_to_another_result_and_says_so(shapes):
    one, other = (run_trial(trial(precision=p), shapes, CPU) for p in ("fp32", "bf16"))
    assert (one.environment.precision, other.environment.precision) == ("float32", "bfloat16")
    assert other.status == "finished"
    first, second = one.history[0].train_loss_nats, other.history[0].train_loss_nats
    assert first != second
    assert first == pytest.approx(second, rel=0.02)


def test_precision_that_the_processor_only_emulates_is_refused(monkeypatch):
    check_precision("fp32", CPU)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    check_precision("fp32", CPU)
    with pytest.raises(UsageError, match="no bfloat16 arithmetic; use --precision fp32"):
        check_precision("bf16", CPU)
