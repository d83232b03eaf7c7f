"""The cost of starting: seconds to the first step and peak memory, each in a new process."""

import json
import os
import resource
import subprocess
import sys
import time

from benchmarks.epochs import Variant, make_own_epoch
from benchmarks.images import BATCH, TEST, TRAIN
from benchmarks.published import Setting, run_epoch
from normscope.cores import available_cores
from normscope.executors.processes import ALLOCATOR

STEPS = 2


def set_up(variant: Variant, setting: Setting) -> dict[str, float]:
    """Seconds from the start of a process to its first step, and its peak memory.

    Each process trains on two batches only, so the peak does not include most of the images.
    """
    code = f"from benchmarks.start import *; print_first_epochs({variant!r}, {setting!r})"
    published = variant.kind == "reference"
    threads = available_cores() if published else 1
    variables = {} if published else {"GLIBC_TUNABLES": ALLOCATOR}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    whole = time.perf_counter() - started
    values = json.loads(done.stdout)
    return {"set_up_s": whole - 2 * values["second_s"], "peak_mib": values["peak_mib"]}


def print_first_epochs(variant: Variant, setting: Setting) -> None:
    """Run two epochs of two steps; print the seconds of the second one and the peak memory."""
    first_steps(variant, setting)
    started = time.perf_counter()
    first_steps(variant, setting)
    second = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"second_s": second, "peak_mib": peak}))


def first_steps(variant: Variant, setting: Setting) -> None:
    """Run an epoch of two steps with a test, of the same size or of the usual share of images."""
    if variant.kind == "reference":
        run_epoch(variant.norm, setting, STEPS)
    else:
        train = STEPS * BATCH
        make_own_epoch(variant, train, train * TEST // TRAIN)()
