"""Peak memory: of known allocations, and of real training steps."""

import tempfile

import pytest
import torch
from small_trials import CPU, some_images, trial

from normscope.training import Splits, evaluate, step_memory_mib, with_fastest_forward
from normscope.training.memory import MIB, peak_memory_mib
from normscope.training.trial import build_model, run_fleet, run_trial


def floats(mib):
    return torch.empty(mib * MIB // 4)


def test_the_peak_is_what_is_held_at_once():
    def function():
        first = floats(8)
        second = floats(16)
        del first
        third = floats(4)  # 20 MiB with the second: less than the 24 before
        del second, third

    assert peak_memory_mib(function, CPU) == pytest.approx(24)


def test_what_was_there_before_does_not_count():
    there = [floats(64)]

    def function():
        there.clear()
        floats(4)

    floats(32)
    assert peak_memory_mib(function, CPU) == pytest.approx(4)


def test_nothing_is_printed(capfd):
    peak_memory_mib(lambda: floats(1), CPU)
    assert capfd.readouterr() == ("", "")


def test_a_trace_that_cannot_be_written_costs_the_number_and_not_the_trial(monkeypatch, shapes):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    result = run_trial(trial(epochs=1), shapes, CPU)
    assert (result.status, result.peak_memory_mib) == ("finished", None)


def step_memory(batch_size, shapes, changed=lambda model: model):
    asked = trial(batch_size=batch_size)
    model = changed(build_model(asked, some_images(), 10))
    return step_memory_mib(model, Splits.of(shapes, CPU).train, asked.recipe)


def test_a_step_needs_memory_in_proportion_to_its_batch(shapes):
    small, large = (step_memory(size, shapes) for size in (64, 128))
    assert large / small == pytest.approx(2, rel=0.02)


# Where convolutions in bfloat16 are emulated, they keep copies in float32.
@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="needs bfloat16 arithmetic")
def test_bfloat16_needs_little_more_than_half(shapes, monkeypatch):
    monkeypatch.setenv("NORMSCOPE_KERNELS", "lanes")  # also where torch is faster in bfloat16
    fused = step_memory(64, shapes, lambda model: with_fastest_forward(model, CPU, "fp32"))
    halved = step_memory(64, shapes, lambda model: with_fastest_forward(model, CPU, "bf16"))
    assert 0.5 < halved / fused < 0.6


def test_the_fused_passes_need_no_more_memory_than_the_layers(shapes):
    layers = step_memory(64, shapes)
    fused = step_memory(64, shapes, lambda model: with_fastest_forward(model, CPU, "fp32"))
    assert 0.6 * layers < fused < 1.05 * layers


def test_a_finished_trial_knows_its_memory_and_keeps_its_weights(shapes):
    """The pass that is measured moves running statistics; the weights are those before it."""
    result = run_trial(trial("bn"), shapes, CPU)
    assert 20 < result.peak_memory_mib < 60
    model = build_model(result.trial, some_images(), 10)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in result.weights.items()})
    logits = evaluate(model, Splits.of(shapes, CPU).test)
    assert logits.argmax(1).tolist() == result.predictions.classes.tolist()


def test_a_diverged_trial_has_none(shapes):
    assert run_trial(trial("gn", max_lr=1e12, epochs=4), shapes, CPU).peak_memory_mib is None


def test_a_member_of_a_fleet_has_its_share(shapes):
    alone = run_fleet([trial(epochs=1)], shapes, CPU)[0].peak_memory_mib
    trials = [trial(seed=seed, epochs=1) for seed in range(4)]
    shares = {result.peak_memory_mib for result in run_fleet(trials, shapes, CPU)}
    assert len(shares) == 1
    assert 0.8 * alone < shares.pop() < 2 * alone


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_peak_on_a_gpu():
    device = torch.device("cuda")

    def function():
        first = torch.empty(MIB, 8, device=device, dtype=torch.uint8)
        torch.empty(MIB, 16, device=device, dtype=torch.uint8)
        del first

    assert peak_memory_mib(function, device) == pytest.approx(24)
