"""What the result of a trial depends on besides its content."""

import os
import platform

import numpy as np
import torch

from normscope.experiment import Environment, Precision
from normscope.training.forward import kernels_for
from normscope.version import __version__


def environment(device: torch.device, precision: Precision, fleet: int) -> Environment:
    """Where a trial runs: versions, processor, device, and what computes how precisely.

    `fleet` is the number of trials that run at once as one network.
    """
    return Environment(
        normscope=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        device=_device(device),
        threads=torch.get_num_threads(),
        precision=_precision(device, precision),
        kernels=kernels_for(device, fleet),
        fleet=fleet,
    )


def _device(device: torch.device) -> str:
    """What the device is called; "cuda" where a trial was lost with a GPU of another machine."""
    on_gpu = device.type == "cuda" and torch.cuda.is_available()
    return torch.cuda.get_device_name(device) if on_gpu else device.type


def _precision(device: torch.device, precision: Precision) -> str:
    if precision == "bf16":
        return "bfloat16"
    # What torch does on a GPU unless told otherwise; it keeps 10 of the 23 bits of a factor.
    return "float32, convolutions in TF32" if device.type == "cuda" else "float32"


def processor() -> str:
    """The processor's model and its vector instructions, which decide the last bits of a sum."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"
