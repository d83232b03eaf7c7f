"""How many processor cores this process may use."""

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath


@cache
def available_cores() -> int:
    """The cores that this process may use, at least 1, counted at the first call.

    The least of the cores it may run on and the share of time that its control groups grant it;
    a share of 1.5 cores counts as 2.
    """
    allowed = len(affinity()) or os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, cgroup_quota())))


def load() -> float | None:
    """How many programs wanted a core over the last minute; None on systems that do not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


@cache
def affinity() -> tuple[int, ...]:
    """The numbers of the cores this process may run on, as they were at the first call.

    () on systems other than Linux, which do not tell.

    The first call should come before torch is imported: with ``OMP_PROC_BIND=true`` in the
    environment, OpenMP binds the main thread, and so every process it starts, to a single core.
    """
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def cgroup_quota(
    membership: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> float:
    """How many cores' time the control groups of this process grant it; infinity if unlimited.

    `membership` names its groups, one ``hierarchy:controllers:path`` a line; `mounted` is where
    their files are. A group is limited by every group around it too. Sources: cgroups(7), and the
    kernel's cgroup-v2.rst and sched-bwc.rst.
    """
    if not membership.is_file():  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in membership.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for folder in _folders(mounted, controllers):
            # In a container the path may be the host's; its root is then this container's group.
            for group in (PurePosixPath(path), *PurePosixPath(path).parents):
                quotas.append(_quota_of(folder / group.relative_to("/")))
    return min(quotas)


def _folders(mounted: Path, controllers: str) -> Iterator[Path]:
    """Where a hierarchy may be mounted, if it limits processor time; that of v2 has no name."""
    if not controllers:
        yield mounted
    elif "cpu" in controllers.split(","):
        yield mounted / controllers
        yield mounted / "cpu"


def _quota_of(group: Path) -> float:
    """What one group grants: ``cpu.max`` in v2, two files in v1, in microseconds."""
    if (group / "cpu.max").is_file():
        quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    if (group / "cpu.cfs_quota_us").is_file():
        quota = int((group / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
        period = int((group / "cpu.cfs_period_us").read_text(encoding="utf-8"))
        return quota / period if quota > 0 else math.inf  # -1 is no limit
    return math.inf
