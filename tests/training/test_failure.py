"""What is said of a trial that raised."""

import pytest
import torch
from small_trials import CPU, trial
from torch import nn

from normscope.norms import NORMS
from normscope.stopping import Stopped
from normscope.training.failure import is_out_of_memory
from normscope.training.trial import run_fleet, run_trial


def first_line(result):
    assert result.status == "failed"
    line, traceback = result.error.split("\n", 1)
    assert traceback.startswith("Traceback (most recent call last):\n")
    return line


@pytest.fixture
def failing(monkeypatch, shapes):
    """The first line of the error of trials whose norm raises."""

    def run(error, seeds=1, **recipe):
        class Raising(nn.Identity):
            def forward(self, x):
                if len(x) > 1:  # trained
                    raise error
                return x

        monkeypatch.setitem(NORMS, "raising", lambda num_channels: Raising())
        trials = [trial("raising", seed, **recipe) for seed in range(seeds)]
        (line,) = {first_line(result) for result in run_fleet(trials, shapes, CPU)}
        return line

    return run


def test_the_first_line_names_norm_batch_and_images(failing):
    assert failing(ValueError("no such group\nand more of it"), batch_size=48) == (
        "raising, batch size 48, images 3x32x32: ValueError: no such group"
    )


def test_what_has_no_words_of_its_own_is_named_by_its_type(failing):
    assert failing(AssertionError()) == ("raising, batch size 64, images 3x32x32: AssertionError")


def test_want_of_memory_says_what_to_do_and_makes_no_batch_smaller(shapes, monkeypatch):
    """torch asks the system for more than there can be, and raises what it raises then."""
    seen = []

    class Greedy(nn.Identity):
        def forward(self, x):
            seen.append(len(x))
            return x + torch.empty(2**52) if len(x) > 1 else x

    monkeypatch.setitem(NORMS, "greedy", lambda num_channels: Greedy())
    line = first_line(run_trial(trial("greedy", batch_size=48), shapes, CPU))
    assert line.startswith("greedy, batch size 48, images 3x32x32: RuntimeError: ")
    assert "can't allocate memory" in line
    assert line.endswith(
        "; use fewer --workers, so that fewer trials share the memory, or ask for a smaller batch, "
        "which is another experiment"
    )
    assert {*seen} == {1, 48}  # the first image, by which networks are built, and one batch


def test_so_does_want_of_memory_elsewhere(failing):
    assert "; use fewer --workers, " in failing(MemoryError())
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    alone, together = failing(full), failing(full, seeds=3)
    assert alone.endswith("2.00 GiB; free memory of this GPU, or ask for a smaller batch, which is "
                          "another experiment")  # fmt: skip
    assert together.endswith("for the memory of this GPU; use --workers 1")
    assert not is_out_of_memory(RuntimeError("the size of tensor a must match"))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Stopped])
def test_a_stop_is_no_outcome_of_a_trial(stop, failing):
    with pytest.raises(stop):
        failing(stop())
