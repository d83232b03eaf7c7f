"""Cores are counted as the system grants them: fake control groups, and real affinities."""

import math
import os
import subprocess
import sys

import pytest

from normscope.cores import cgroup_quota

INNER = "system.slice/docker-1.scope"


def quota(folder, membership, files):
    """Of a process with this ``/proc/self/cgroup``, where the control groups have these `files`."""
    (folder / "cgroup").write_text(membership, encoding="utf-8")
    for name, content in files.items():
        path = folder / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return cgroup_quota(folder / "cgroup", folder / "fs")


def v1(folder, quota_us, period_us=100_000):
    return {
        f"{folder}/cpu.cfs_quota_us": f"{quota_us}\n",
        f"{folder}/cpu.cfs_period_us": f"{period_us}\n",
    }


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "25000 50000\n"}, 0.5),
        ("0::/\n", {}, math.inf),
        (f"0::/{INNER}\n", {f"{INNER}/cpu.max": "150000 100000\n"}, 1.5),
        # The group around it allows less, or all that is said.
        (
            f"0::/{INNER}\n",
            {f"{INNER}/cpu.max": "400000 100000\n", "system.slice/cpu.max": "300000 100000\n"},
            3,
        ),
        (
            f"0::/{INNER}\n",
            {f"{INNER}/cpu.max": "max 100000\n", "system.slice/cpu.max": "300000 100000\n"},
            3,
        ),
        # A group beside it is not its own.
        ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, math.inf),
        ("4:cpu,cpuacct:/\n", v1("cpu,cpuacct", 200_000), 2),
        ("4:cpu,cpuacct:/\n", v1("cpu", 50_000, 20_000), 2.5),
        ("4:cpu,cpuacct:/\n", v1("cpu", -1), math.inf),
        ("4:cpuacct:/\n2:cpu:/a/b\n", v1("cpu/a/b", 400_000) | v1("cpu/a", 100_000), 1),
        # In a container the process may be told the name of its group on the host.
        ("4:cpu,cpuacct:/docker/1f\n0::/\n", v1("cpu,cpuacct", 300_000), 3),
        ("4:cpuset:/\n", v1("cpuset", 100_000), math.inf),
        ("1:name=systemd:/a:b\n0::/a:b\n", {"a:b/cpu.max": "100000 100000\n"}, 1),
    ],
)
def test_the_quota_of_control_groups(membership, files, cores, tmp_path):
    assert quota(tmp_path, membership, files) == cores


def test_no_control_groups_no_limit(tmp_path):
    assert cgroup_quota(tmp_path / "none", tmp_path) == math.inf


def counted(code, **variables):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, **variables})  # fmt: skip
    return done.stdout


COUNT = "from normscope.cores import available_cores; print(available_cores())"


@pytest.mark.parametrize(
    ("cores", "granted", "available"),
    [(8, math.inf, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.5, 1), (2, 4.0, 2), (1, 0.001, 1)],
)
def test_the_least_of_cores_and_quota_rounded_up_is_available(cores, granted, available):
    code = (
        "from normscope import cores\n"
        f"cores.affinity, cores.cgroup_quota = lambda: range({cores}), lambda: float('{granted}')\n"
        "print(cores.available_cores())"
    )
    assert counted(code) == f"{available}\n"


def test_the_cores_are_those_this_process_may_use():
    pytest.importorskip("resource")  # only Linux can hold a process to a core
    held = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    assert counted(held + COUNT) == "1\n"


def test_cores_are_counted_before_torch_binds_the_process_to_one():
    binding = "import normscope.study.compare\n"
    assert counted(binding + COUNT, OMP_PROC_BIND="true") == counted(COUNT)
