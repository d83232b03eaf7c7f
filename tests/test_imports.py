"""The architecture: who may import whom, by package, and no circle (see docs/architecture.md)."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import normscope

PACKAGE = Path(normscope.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# What each package may import besides itself and `errors`.
ALLOWED = {
    "errors": set(),
    "words": set(),
    "version": set(),
    "drawing": set(),
    "files": set(),
    "seals": {"files"},
    "stats": set(),
    "own": set(),
    "stopping": set(),
    "cores": set(),
    "cycles": set(),
    "children": {"cores"},
    "parallel": {"children", "cores"},
    "norms": {"own"},
    "experiment": {"norms"},
    "store": {"experiment", "files", "seals", "parallel", "cycles"},
    "data": {"experiment", "files", "drawing", "words"},
    "observers": {"experiment", "words"},
    "models": {"norms", "experiment", "own"},
    "probes": {"experiment"},
    "training": {
        "experiment",
        "data",
        "models",
        "norms",
        "probes",
        "files",
        "version",
        "stopping",
        "words",
    },
    "executors": {"experiment", "observers", "stopping", "children", "cores"},
    "analysis": {"experiment", "norms", "stats", "words"},
    "report": {
        "analysis",
        "stats",
        "experiment",
        "files",
        "seals",
        "words",
        "drawing",
        "parallel",
    },
}
ALLOWED["study"] = set(ALLOWED)
ALLOWED["cli"] = (ALLOWED["study"] | {"study"}) - {"store"}
ALLOWED["__init__"] = {"data", "executors", "experiment", "models", "norms", "probes", "study"}
ALLOWED["__init__"] |= {"version"}
ALLOWED["__main__"] = {"cli"}

RESULTS_SIDE = [
    "store", "stats", "analysis", "report", "study.comparison", "study.power", "experiment",
    "observers", "data", "cli",
]  # fmt: skip


def package_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path):
    """``normscope.store`` for ``store/__init__.py``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imports_of(path):
    """Every module that a file names in an import, at whatever place in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def own_imports_of(path):
    return {name for name in imports_of(path) if name.split(".")[0] == "normscope"}


@pytest.mark.parametrize("package", sorted({package_of(path) for path in FILES}))
def test_each_package_imports_only_what_it_may(package):
    for path in FILES:
        if package_of(path) == package and own_imports_of(path):
            taken = {name.split(".")[1] for name in own_imports_of(path) if "." in name}
            assert taken - {package, "errors"} <= ALLOWED[package], path


def test_no_file_imports_itself_in_a_circle():
    """Imports inside functions count: a circle that is met late is a circle."""
    arrows = {module_of(path): own_imports_of(path) for path in FILES if path.parent != PACKAGE}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("part", RESULTS_SIDE)
def test_the_results_side_starts_without_torch(part):
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
    for path in FILES:
        assert not any(name.split(".")[0] == module for name in imports_of(path)), path


def test_ray_is_an_extra_that_one_file_imports_when_it_is_needed():
    named = [path for path in FILES if any(n.split(".")[0] == "ray" for n in imports_of(path))]
    assert [path.relative_to(PACKAGE).as_posix() for path in named] == ["executors/ray.py"]
    code = "import sys, normscope.study.compare; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_captum_is_an_extra_that_one_file_imports_when_it_is_needed():
    named = [path for path in FILES if any(n.split(".")[0] == "captum" for n in imports_of(path))]
    assert [path.relative_to(PACKAGE).as_posix() for path in named] == ["training/attribution.py"]
    code = "import sys, normscope.study.explain; sys.exit('captum' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_is_an_extra_that_one_file_imports_when_it_is_needed(tracker):
    named = [path for path in FILES if any(n.split(".")[0] == tracker for n in imports_of(path))]
    assert [path.relative_to(PACKAGE).as_posix() for path in named] == [f"observers/{tracker}.py"]
    code = f"import sys, normscope.study.compare; sys.exit('{tracker}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_onnx_is_an_extra_that_one_file_imports_when_it_is_needed():
    libraries = {"onnx", "onnxruntime", "onnxscript"}
    named = [p for p in FILES if libraries & {n.split(".")[0] for n in imports_of(p)}]
    assert [path.relative_to(PACKAGE).as_posix() for path in named] == ["models/exported.py"]
    code = f"import sys, normscope.study.export; sys.exit(bool({libraries} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", normscope.__all__)
def test_every_public_name_is_there(name):
    found = getattr(normscope, name)
    assert found if isinstance(found, dict) else found.__name__


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'compere'"):
        _ = normscope.compere
