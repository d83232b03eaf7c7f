"""The examples in docstrings do what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import normscope

PACKAGE = Path(normscope.__file__).parent


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


WITH_EXAMPLES = [
    module_of(path)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def examples_of(module):
    found = doctest.DocTestFinder(exclude_empty=True).find(module)
    return [example for test in found for example in test.examples]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_what_an_example_shows_is_what_it_does(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(import_module(name))
    assert done.failed == 0
    assert done.attempted > 0


def test_only_what_trains_or_reads_what_was_trained_is_skipped():
    skipped = {
        name
        for name in WITH_EXAMPLES
        for example in examples_of(import_module(name))
        if doctest.SKIP in example.options
    }
    assert skipped <= {"normscope", "normscope.study.compare", "normscope.study.comparison"}
