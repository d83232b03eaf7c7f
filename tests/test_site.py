"""What the documentation's site is made of besides the pages in docs/."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from html_parts import Parts

import normscope
from normscope.cli.app import app

SITE = Path(__file__).parents[1] / "docs" / "site"


@pytest.fixture
def module(monkeypatch):
    """Imports a file of docs/site, which is no package, and forgets it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(SITE))
    yield import_module
    for name in set(sys.modules) - before:
        if str(SITE) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def leaves(command, path):
    for name, each in command.commands.items():
        below = hasattr(each, "commands")
        yield from leaves(each, f"{path} {name}") if below else [(f"{path} {name}", each)]


def test_every_command_and_option_is_on_the_page_of_the_commands(module):
    page = module("commands").commands_page()
    parts = {part.split("\n")[0]: part for part in page.split("\n## ")[1:]}
    commands = dict(leaves(typer.main.get_command(app), "normscope"))
    assert {"normscope compare", "normscope data fetch"} <= {*commands}
    assert list(parts) == list(commands)
    for name, command in commands.items():
        for parameter in command.params:
            written = parameter.metavar if parameter.param_type_name == "argument" else None
            shown = written or max(parameter.opts, key=len)
            assert parameter.hidden or shown in parts[name], (name, shown)


def test_help_is_filled_in_and_no_markup(module):
    commands = module("commands")
    page = commands.commands_page()
    assert "Some of bn, gn, ln" in page
    assert "{norms}" not in page
    assert "\n**How sure**\n" in page
    assert "Such as: `normscope compare --dataset cifar10" in page
    assert commands._text("at least <n> *\nSuch as: a -b") == "at least &lt;n> \\*\nSuch as: `a -b`"


@pytest.fixture
def pages(module):
    pytest.importorskip("mkdocs", reason="the site needs the extra docs")
    return module("pages")


@pytest.mark.parametrize(
    ("here", "link", "led"),
    [
        ("index.md", "docs/suite.md", "suite.md"),
        ("index.md", "notebooks/compare_norms.ipynb", "notebooks/compare_norms.md"),
        ("notebooks.md", "../notebooks/compare_norms.ipynb", "notebooks/compare_norms.md"),
        ("add-a-norm.md", "../CONTRIBUTING.md", "contributing.md"),
        ("contributing.md", "docs/probes.md", "probes.md"),
        ("results/README.md", "../cost.md", "../cost.md"),
        ("results/README.md", "cifar10-s8-s8", "cifar10-s8-s8/report.html"),
        ("results/README.md", "cifar10-s8-s8/summary.md", "cifar10-s8-s8/report.html"),
        ("results/README.md", "cifar10-s8-lanes", "cifar10-s8-lanes/experiment.json"),
        ("results/README.md", "cifar10-s8-s8/figures/race.png", "cifar10-s8-s8/figures/race.png"),
    ],
)
def test_a_link_of_the_repository_is_led_to_the_page_of_the_site(pages, here, link, led):
    assert pages._led(link, here) == led


def test_only_links_within_the_repository_are_led(pages):
    text = "[a](docs/suite.md#what) [b](https://x.org/docs/suite.md) [c](#below) f(docs/suite.md)"
    led = pages.LINK.sub(lambda link: pages._led(link[1], "index.md"), text)
    assert led == text.replace("[a](docs/suite.md", "[a](suite.md")


def test_every_public_name_and_every_report_has_a_place(pages):
    names = pages._names_page()
    for name in normscope.__all__:
        assert f"::: normscope.{name}\n" in names or f"### {name}\n" in names, name
    reports = pages._reports_page()
    for folder in (SITE.parent / "results").glob("*/report.html"):
        assert f"]({folder.parent.name}/report.html)" in reports


def test_an_example_in_a_docstring_is_code(module):
    griffe = pytest.importorskip("griffe", reason="the site needs the extra docs")
    made = griffe.Function("f")
    made.docstring = griffe.Docstring("Adds.\n\n>>> 1 + 1  # doctest: +SKIP\n2\n\nNo more.")
    module("examples").Examples().on_object(obj=made)
    assert made.docstring.value == "Adds.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nNo more."


def test_the_picture_of_a_terminal_says_what_the_command_says(module):
    terminal = module("terminal")
    kept = terminal.PICTURE.read_text(encoding="utf-8")
    assert "url(" not in kept.replace("url(#", "")  # no font, no picture from elsewhere
    shown = [
        [text for text in Parts(svg).texts if "{" not in text] for svg in (kept, terminal.draw())
    ]
    assert len(shown[0]) > 20
    assert shown[0] == shown[1], "make it anew: python docs/site/terminal.py"
