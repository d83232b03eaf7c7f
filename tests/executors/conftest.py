"""A Ray cluster of two nodes on this machine, for the executor that needs one."""

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_cluster():
    """One node of a CPU each for the head and another; this process has joined.

    Skipped where Ray is not installed. Workers find their work where the tests are.
    """
    pytest.importorskip("ray")
    here = str(Path(__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        try:
            cluster.add_node(**node)
            ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
