"""The tree in docs/architecture.md is made from the files: run this file to print it anew."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "normscope"
DOCUMENT = ROOT / "docs" / "architecture.md"

# In the order in which the work goes through them; a new package needs a line here.
PACKAGES = (
    "cli", "study", "experiment", "norms", "models", "models/convert", "data", "data/own",
    "probes", "training", "training/fused", "training/lanes", "executors", "observers", "store",
    "stats", "analysis", "analysis/why", "report", "report/plots", "report/tables",
)  # fmt: skip


def first_line(path):
    """What a file says of itself, or a package in its ``__init__.py``."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path} does not say what it is"
    return docstring.splitlines()[0]


def tree():
    """Every file of the package with the first line of its docstring, indented as code."""
    rows = [("src/normscope/", first_line(PACKAGE / "__init__.py"))]
    rows += [(f"  {p.name}", first_line(p)) for p in files_in(PACKAGE)]
    for package in PACKAGES:
        depth = "  " * (package.count("/") + 1)
        folder = PACKAGE / package
        rows.append((f"{depth}{folder.name}/", first_line(folder / "__init__.py")))
        rows += [(f"{depth}  {path.name}", first_line(path)) for path in files_in(folder)]
    return "\n".join(f"    {name:24} {words}" for name, words in rows)


def files_in(folder):
    return [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]


def test_the_document_shows_every_file():
    assert tree() in DOCUMENT.read_text(encoding="utf-8"), f"paste this:\n{tree()}"


def test_every_package_is_in_the_tree():
    packages = {path.parent for path in PACKAGE.rglob("__init__.py")} - {PACKAGE}
    assert {str(path.relative_to(PACKAGE)) for path in packages} == set(PACKAGES)


if __name__ == "__main__":
    print(tree())
