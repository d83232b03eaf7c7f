"""A process that commands are forked from, and what one leaves that nobody disturbs."""

import os
import sys

import pytest
from disturbed import COMPARE, outcome
from warm import Warm


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("a fork of a process that has used its libraries is safe on Linux alone")
    environment = {**os.environ, "COLUMNS": "80", "CUDA_VISIBLE_DEVICES": ""}
    with Warm(tmp_path_factory.mktemp("warm"), environment) as process:
        yield process


@pytest.fixture(scope="session")
def undisturbed(warm):
    """The command that nothing disturbed, and its outcome."""
    command = warm.run(*COMPARE, "--workers", "1", "--out", "undisturbed")
    assert command.code == 0, command.said
    return command, outcome(warm.folder / "undisturbed")
