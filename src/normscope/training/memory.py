"""What a training step needs of memory."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, kineto_available, profile

MIB = 2**20


def peak_memory_mib(function: Callable[[], object], device: torch.device) -> float | None:
    """The most memory that a call of `function` holds at once, in MiB, on top of what is there.

    Counted is what torch hands out to tensors. None on a CPU if torch was built without its
    profiler, or the profiler's trace cannot be written; on a GPU if its memory is full. Sources:
    torch.profiler, torch.cuda.max_memory_allocated.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        try:
            function()
        except torch.cuda.OutOfMemoryError:
            return None
        return (torch.cuda.max_memory_allocated(device) - before) / MIB
    if not kineto_available():
        return None
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells stderr of every start and stop
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    try:
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(trace))
            events = json.loads(trace.read_bytes())["traceEvents"]
    except OSError:  # no room for a temporary file: no reason to lose a trial
        return None
    changes = sorted(
        (event["ts"], event["args"].get("Ev Idx", 0), event["args"]["Bytes"])
        for event in events
        if event.get("name") == "[memory]"
    )
    held = peak = 0
    for _, _, size in changes:
        held += size
        peak = max(peak, held)
    return peak / MIB
