"""What several test modules share: a small data set, and the real one where a user keeps it."""

import os

# Networks this small gain nothing from a second thread, and lose much beside another job. It must
# be said before torch is imported, and holds for the commands that the tests start as well.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from normscope.data import find, load_dataset


@pytest.fixture(scope="session")
def shapes():
    """The first 256 training and 100 test images of the embedded data set."""
    return load_dataset("shapes", train_limit=256, test_limit=100)


@pytest.fixture(scope="session")
def cifar10():
    """The real CIFAR-10; the test is skipped where it is not found."""
    if find("cifar10") is None:
        pytest.skip("CIFAR-10 is not on this machine: set NORMSCOPE_DATA to the folder that has it")
    return load_dataset("cifar10")
