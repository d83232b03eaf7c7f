"""`normscope write-up`, on a folder that was recorded."""

import shutil
from pathlib import Path

import pytest

from normscope import Comparison
from normscope.errors import UsageError

RECORDED = Path(__file__).parents[2] / "docs" / "results" / "cifar10-s8-s8"


def test_it_writes_into_the_folder_and_says_where(normscope, tmp_path):
    folder = shutil.copytree(RECORDED, tmp_path / "recorded")
    done = normscope("write-up", folder, "--latex")
    assert done.returncode == 0, done.stderr
    page = folder / "write-up/write-up.md"
    assert done.stdout == f"Write-up: {page}\nFor a paper: {page.parent / 'latex'}\n"
    assert "**Use BatchNorm: 75.9 %" in page.read_text(encoding="utf-8")
    assert (page.parent / "latex/results.tex").exists()
    assert normscope("doctor", folder).returncode == 0


def test_a_folder_that_cannot_be_written_is_one_line(normscope, tmp_path):
    tmp_path.joinpath("file").write_text("x")
    done = normscope("write-up", RECORDED, "--out", tmp_path / "file")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "--out" in done.stderr


def test_by_other_rules_it_lies_beside_their_report(normscope, tmp_path):
    folder = shutil.copytree(RECORDED, tmp_path / "recorded")
    promised = Comparison.read(folder).write_up()
    before = promised.read_bytes()
    late = Comparison.read(folder, baseline="gn")
    page = late.write_up()
    assert page == folder / "reports/baseline-gn/write-up/write-up.md"
    assert "Exploratory: baseline gn" in page.read_text(encoding="utf-8")
    assert promised.read_bytes() == before
    for write in (late.write_up, late.report):
        for place in (folder, folder / "write-up"):
            with pytest.raises(UsageError, match="name another folder"):
                write(place)
    assert normscope("doctor", folder).returncode == 0
