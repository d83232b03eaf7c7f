"""Print, as constraints for pip, the lowest version of everything that pyproject.toml allows.

The package must be installed. torch stays at the version of constraints.txt: its older builds for
Linux come with CUDA, which is gigabytes.
"""

from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement


def lowest(requirement: Requirement) -> str:
    """The one lower bound of `requirement`; raises `ValueError` if there is none."""
    (version,) = (part.version for part in requirement.specifier if part.operator == ">=")
    return version


for requirement in map(Requirement, requires("normscope") or []):
    if requirement.name != "torch":
        print(f"{requirement.name}=={lowest(requirement)}")

for line in Path("constraints.txt").read_text(encoding="utf-8").splitlines():
    if line.startswith("torch=="):
        print(line)
