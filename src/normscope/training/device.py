"""The device that trials run on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from normscope.errors import UsageError
from normscope.experiment import Precision


def choose_device(name: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device. Raises `UsageError` if it is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; known: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device was found; use --device cpu or --device auto")
    use_cuda = torch.cuda.is_available() and name != "cpu"
    return torch.device("cuda" if use_cuda else "cpu")


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise `UsageError` if the device computes in that precision only by emulation."""
    cpu, cuda = torch.cpu._is_avx512_bf16_supported, torch.cuda.is_bf16_supported
    fast = cpu() if device.type == "cpu" else cuda(including_emulation=False)
    if precision == "bf16" and not fast:
        raise UsageError(f"this {device.type} has no bfloat16 arithmetic; use --precision fp32")


@contextmanager
def repeatable_cudnn() -> Iterator[None]:
    """The same algorithms of cuDNN every time, and only those that repeat themselves to the bit."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads on a CPU, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
