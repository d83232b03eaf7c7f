"""The arrows between modules: who may import whom (see docs/architecture.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import normscope

PACKAGE = Path(normscope.__file__).parent

# What each part of the package may import from it, besides itself.
LEAVES = {"config", "errors", "files"}
NUMBERS = LEAVES | {"stats", "plan", "tuning", "verdicts", "summaries", "secondary", "evidence"}
RESULTS = NUMBERS | {
    "answers", "findings", "caveats", "analysis", "mistakes", "plots", "report", "store",
    "progress", "power", "reading",
}  # fmt: skip
ALLOWED = {
    "errors": set(),
    "config": {"errors"},
    "reading": LEAVES,
    "files": {"errors"},
    "seeds": LEAVES,
    "stats": LEAVES,
    "norms": LEAVES,
    "plan": LEAVES,
    "tuning": LEAVES | {"plan"},
    "store": LEAVES | {"plan", "tuning"},
    "progress": LEAVES,
    "data": LEAVES,
    "mistakes": LEAVES,
    "models": LEAVES | {"norms"},
    "training": LEAVES | {"models", "norms"},
    "executors": LEAVES | {"progress"},
    "run": LEAVES | {"data", "models", "norms", "seeds", "training"},
    "power": LEAVES | {"stats"},
    "verdicts": LEAVES | {"stats"},
    "summaries": LEAVES | {"stats", "verdicts"},
    "secondary": LEAVES | {"summaries", "verdicts"},
    "evidence": LEAVES | {"stats"},
    "answers": NUMBERS,
    "findings": NUMBERS | {"mistakes", "answers"},
    "caveats": NUMBERS | {"answers"},
    "analysis": NUMBERS | {"mistakes", "answers", "findings", "caveats"},
    "plots": NUMBERS | {"analysis"},
    "report": NUMBERS | {"mistakes", "answers", "analysis", "plots"},
    "comparison": RESULTS,
    "terminal": RESULTS,
    "sequence": NUMBERS | {"answers", "progress", "store"},
    "study": RESULTS
    | {"comparison", "data", "executors", "models", "norms", "run", "sequence", "training"},
    "options": {"errors"},
    "cli_data": {"errors", "data", "options", "progress"},
    "cli": {"errors", "config", "cli_data", "comparison", "data", "models", "options", "power",
            "progress", "reading", "study", "terminal"},
    "__main__": {"cli"},
    "__init__": {"comparison", "config", "data", "errors", "models", "study"},
}  # fmt: skip


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "normscope" else [node.module]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("part", sorted({part_of(path) for path in PACKAGE.rglob("*.py")}))
def test_each_part_imports_only_what_it_may(part):
    for path in PACKAGE.rglob("*.py"):
        if part_of(path) == part:
            own = {m.split(".")[1] for m in imports_of(path) if m.startswith("normscope.")}
            assert own - {part} <= ALLOWED[part], path


@pytest.mark.parametrize("part", sorted(RESULTS | {"comparison", "terminal", "data", "cli"}))
def test_results_side_starts_without_torch(part):
    code = f"import sys, normscope.{part}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_imports_nothing_heavy():
    code = (
        "import sys, normscope.cli\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'numpy', 'scipy', 'pydantic'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["torchvision", "timm", "torchmetrics", "lightning"])
def test_the_package_never_imports(module):
    for path in PACKAGE.rglob("*.py"):
        assert not any(name.split(".")[0] == module for name in imports_of(path)), path


@pytest.mark.parametrize("name", normscope.__all__)
def test_every_public_name_is_there(name):
    assert getattr(normscope, name).__name__ if name != "RECIPES" else normscope.RECIPES


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'compere'"):
        _ = normscope.compere
