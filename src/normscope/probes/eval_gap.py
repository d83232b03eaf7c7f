"""Whether a network is tested worse than it is, because of the statistics it is tested with."""

import numpy as np
import torch

from normscope.probes.moment import Moment, right_answers
from normscope.probes.precise import batch_statistics


def eval_gap(moment: Moment) -> dict[str, np.ndarray]:
    """Test accuracy by running, by precise, and by the batch's own statistics, in percent.

    Of the same test images, and how many of them one is right on and the other wrong:
    `only_running_precise` and `only_precise`, `only_running_batch` and `only_batch`, from which
    McNemar's test follows; `images` says of how many. Batches are of the recipe's size. Source of
    precise statistics: Wu & Johnson 2021, arXiv:2105.07576.
    """
    x, labels = moment.test
    size = len(moment.train[0][0])
    running = right_answers(moment.trained(), x, labels, size)
    precise = right_answers(moment.precise.trained(), x, labels, size)
    with batch_statistics(moment.network):
        batch = right_answers(moment.trained(), x, labels, size)
    return {
        "running_percent": _percent(running),
        "precise_percent": _percent(precise),
        "batch_percent": _percent(batch),
        "only_running_precise": _count(running & ~precise),
        "only_precise": _count(precise & ~running),
        "only_running_batch": _count(running & ~batch),
        "only_batch": _count(batch & ~running),
        "images": np.array(float(len(labels))),
    }


def _percent(right: torch.Tensor) -> np.ndarray:
    return np.array(100 * float(right.float().mean()))


def _count(which: torch.Tensor) -> np.ndarray:
    return np.array(float(which.sum()))
