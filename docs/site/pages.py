"""Pages of the site that are written elsewhere: README, notebooks, commands, names, reports.

A hook of mkdocs. Links are written for a reader of the repository, and here they are led to the
same page of the site, so that they work in both.
"""

import json
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from commands import commands_page
from mkdocs.structure.files import File

import normscope

ROOT = Path(__file__).parents[2]

# Where a page is in the repository, and where in the site.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changes.md",
    "notebooks/compare_norms.ipynb": "notebooks/compare_norms.md",
    "notebooks/bring_your_own_norm.ipynb": "notebooks/bring_your_own_norm.md",
    "examples/mls-bench.csv": "examples/mls-bench.csv",
}
IN_REPOSITORY = {site: place for place, site in ELSEWHERE.items()}
DIFFERENCES = "figures/differences.png"
ANSWERS = 3  # on a card
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")  # not to a host, nor within the page


def on_files(files, config):
    """Add what lies outside of this folder, and what is made here."""
    pages = {site: _read(ROOT / place) for place, site in ELSEWHERE.items()}
    pages |= {page: make() for page, make in MADE.items()}
    for page, content in pages.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead links to the pages of the site."""
    here = page.file.src_uri
    return LINK.sub(lambda link: _led(link[1], here), markdown)


def _read(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return _notebook(json.loads(text)) if path.suffix == ".ipynb" else text


def _notebook(notebook: dict) -> str:
    """Its cells one after the other, not run."""
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return "\n\n".join(
        source if kind == "markdown" else f"```python\n{source}\n```" for kind, source in sources
    )


def _led(target: str, here: str) -> str:
    """A link of the page `here`, as it is written for the repository, within the site."""
    repository = IN_REPOSITORY.get(here, f"docs/{here}")
    place = posixpath.normpath(posixpath.join(posixpath.dirname(repository), target))
    if (ROOT / place).is_dir():  # of an experiment; some were kept without a report
        report = f"{place}/report.html"
        place = report if (ROOT / report).is_file() else f"{place}/experiment.json"
    place = place.replace("/summary.md", "/report.html")  # which has all of its figures
    site = ELSEWHERE.get(place, place.removeprefix("docs/"))
    return posixpath.relpath(site, posixpath.dirname(here) or ".")


# -- pages that are made -------------------------------------------------------------------------


def _names_page() -> str:
    """Every public name, with what its docstring says: what one calls comes first."""
    found = {name: getattr(normscope, name) for name in normscope.__all__}
    parts: dict[str, list[str]] = {"Functions": [], "Classes": [], "Tables": [], "Modules": []}
    for name, value in found.items():
        reference = f"::: normscope.{name}"
        if isinstance(value, dict):
            names = ", ".join(f"`{key}`" for key in value)
            parts["Tables"].append(f"### {name}\n\nBy name: {names}.")
        elif isinstance(value, type):
            parts["Classes"].append(reference)
        elif callable(value):
            parts["Functions"].append(reference)
        else:
            parts["Modules"].append(f"{reference}\n    options: {{members: [register]}}")
    shown = (f"## {heading}\n\n" + "\n\n".join(own) for heading, own in parts.items())
    return "\n\n".join(["# Public names", "All that `import normscope` offers.", *shown]) + "\n"


def _reports_page() -> str:
    """A card for each experiment whose report is kept in the repository."""
    lead = (
        "---\nhide: [toc]\n---\n\n# Reports\n\nThe pages as normscope wrote them: each is one file "
        "that needs no other. What was asked, on which machine, and what follows, is in "
        "[Results](README.md)."
    )
    pages = sorted((ROOT / "docs" / "results").glob("*/report.html"), key=_place)
    cards = "".join(_card(page.parent) for page in pages)
    return f'{lead}\n\n<div class="grid cards" markdown>\n\n{cards}</div>\n'


def _place(page: Path) -> tuple[bool, bool, str]:
    """The experiment that all began with first, and what compares before what does not."""
    name = page.parent.name
    return name != "cifar10-s8-s8", not (page.parent / DIFFERENCES).is_file(), name


def _card(folder: Path) -> str:
    """Title, setting, picture and the first answers, of what the folder's summary says."""
    title, setting, *rest = (folder / "summary.md").read_text(encoding="utf-8").split("\n\n")
    answers = next(part for part in rest if part.startswith("- ")).split("\n")
    picture = f"![Differences to the baseline]({folder.name}/{DIFFERENCES})"
    lines = [
        f"**[{title.removeprefix('# ')}]({folder.name}/report.html)**",
        f"{setting.split(', peak')[0]}.",
        *([picture] if (folder / DIFFERENCES).is_file() else []),
        "\n    ".join(answers[:ANSWERS]),
    ]
    first, *others = lines
    return "\n\n".join([f"-   {first}", *(f"    {line}" for line in others)]) + "\n\n"


MADE: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/names.md": _names_page,
    "results/reports.md": _reports_page,
}
