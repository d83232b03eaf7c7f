"""New Pythons that this one starts, and that end with it: on Linux at once.

No fork and no `multiprocessing`: a child needs no ``if __name__ == "__main__"`` in the user's
script, and starts with its own environment. What is sent to it and what it answers are pickled.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from normscope.cores import affinity

# The variables that say how many threads a library uses: OpenMP, and those that go before it.
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# The variables that hold threads to certain cores, the same ones in every child, or limit them.
BINDINGS = (
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "OMP_THREAD_LIMIT",
    "KMP_AFFINITY",
    "GOMP_CPU_AFFINITY",
)

_SIGNAL_AT_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def start(
    module: str, threads: int, variables: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a Python that calls `main` of a module with the number of this process.

    It uses so many threads, on this process's cores, with its search path. `variables` are for its
    environment, where this process's own says nothing of them.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _code(module)],
        env={**(variables or {}), **_environment(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Python starts without a standard stream that is closed, and a child needs its own.
        stderr=None if sys.__stderr__ else subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the parent, which then stops its children
    )


def _code(module: str) -> str:
    cores = f"os.sched_setaffinity(0, {affinity()}); " if affinity() else ""
    path = f"sys.path[:] = {sys.path!r}; "
    return f"import os, sys; {cores}{path}from {module} import main; main({os.getpid()})"


def _environment(threads: int) -> dict[str, str]:
    """This process's environment, but with so many threads, free to run on any of the cores."""
    kept = {name: value for name, value in os.environ.items() if name not in BINDINGS}
    return {**kept, **dict.fromkeys(THREADS, str(threads))}


def streams(child: "subprocess.Popen[bytes]") -> tuple[BinaryIO, BinaryIO]:
    """What leads to a child, and what comes from it."""
    assert child.stdin is not None  # both are pipes
    assert child.stdout is not None
    return child.stdin, child.stdout  # type: ignore[return-value]


def stop(child: "subprocess.Popen[bytes]") -> None:
    """End a child at once."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            with suppress(OSError):  # nobody reads what is left to be written
                pipe.close()


# -- in the child ----------------------------------------------------------------------------------


def end_with(parent: int) -> None:
    """Let Linux end this process with its parent, and before it where memory runs out."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SIGNAL_AT_DEATH_OF_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that was said
        os._exit(1)
    with suppress(OSError):  # a container may not let it
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def answers() -> BinaryIO:
    """The standard output, for answers alone: whatever prints from now on, prints errors."""
    found = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return found
