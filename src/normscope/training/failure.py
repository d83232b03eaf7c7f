"""What the record of a trial that raised says: what was trained, what went wrong, what to do."""

import traceback
from collections.abc import Sequence

import torch

from normscope.data import Dataset
from normscope.experiment import Trial

SMALLER = "a smaller batch, which is another experiment"


def reason_of(error: Exception, trials: Sequence[Trial], dataset: Dataset) -> str:
    """A line that says what and where, and the traceback; within the `except` of the error.

    ``gn, batch size 512, images 3x32x32: RuntimeError: ...``. Of an error that says more than a
    line, the first.
    """
    trial = trials[0]
    height, width, channels = dataset.train_images.shape[1:]
    images = f"images {channels}x{height}x{width}"
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
    line = f"{trial.norm}, batch size {trial.recipe.batch_size}, {images}: {what}"
    if is_out_of_memory(error):
        line = f"{line.rstrip('.')}; {_advice(error, len(trials))}"
    return f"{line}\n{traceback.format_exc()}"


def is_out_of_memory(error: Exception) -> bool:
    """Whether it is for want of memory, of a GPU or of the machine, that something raised."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # What torch raises on a CPU has no type of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _advice(error: Exception, members: int) -> str:
    """A batch is never made smaller by itself: the statistics of batch norm would be others."""
    if not isinstance(error, torch.OutOfMemoryError):
        return f"use fewer --workers, so that fewer trials share the memory, or ask for {SMALLER}"
    if members == 1:
        return f"free memory of this GPU, or ask for {SMALLER}"
    return (
        f"{members} trials at once are too many for the memory of this GPU; "
        f"use --workers {members // 2}"
    )
