"""The command `normscope diff`: what it prints, in which widths, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
from command_line import SMALL, one_line

RESULTS = Path(__file__).parents[2] / "docs" / "results"
NORMS, COURSE = RESULTS / "cifar10-s8-s8-norms", RESULTS / "cifar10-s8-course"


@pytest.fixture
def shown(normscope):
    """What the command prints of two recorded experiments, whole and as one line of words."""
    done = normscope("diff", NORMS, COURSE)
    assert done.returncode == 0, done.stderr
    return done.stdout, " ".join(done.stdout.split())


def test_what_differs_comes_first_then_the_norms_and_their_gaps(shown):
    lines, words = shown
    assert lines.startswith(f"A: {NORMS}\nB: {COURSE}, measured against A\n\nwhat differs")
    assert re.search(r"^max_lr +0\.02 +0\.1 *$", lines, re.MULTILINE)
    assert re.search(r"bn +3 +75\.57 ± 0\.41 +78\.64 ± 0\.27 +\+3\.06 \[\+0\.51, \+5\.62\]", lines)
    assert re.search(r"gn +3 +−1\.19 ± 0\.99 +−3\.45 ± 0\.84 +−2\.26 \[−3\.64, −0\.88\]", lines)
    places = [lines.index(part) for part in ("max_lr", "Test accuracy, %", "Gap to bn, points",
                                             "Answer", "Caveats")]  # fmt: skip
    assert places == sorted(places)
    assert "bn in B is 3.06 points better than bn in A (95 % interval +0.51 to +5.62;" in words
    assert "gn loses 2.26 points against bn in B" in words
    assert "They differ in several things (epochs, max_lr, augmentation)" in words
    assert max(len(line) for line in lines.splitlines()[2:]) <= 80


def test_a_narrow_terminal_gets_a_line_per_value(normscope, environment):
    environment["COLUMNS"] = "50"
    lines = normscope("diff", NORMS, COURSE).stdout
    assert "\nbn\n  n: 3\n  A, mean ± sd: 75.57 ± 0.41\n  B, mean ± sd: 78.64 ± 0.27\n" in lines
    assert "  B − A, points, 95 % interval: +3.06 [+0.51, +5.62]\n" in lines


def test_long_names_move_the_interval_into_a_line_of_its_own(normscope):
    lines = normscope("diff", NORMS, RESULTS / "cifar10-s8-channels").stdout
    assert re.search(
        r"^bn +3 .* \+0\.21 +1\.000 +undecided *\n +\[−1\.17, \+1\.60\] *$", lines, re.M
    )
    assert re.search(
        r"^bn-center +3 +– +– +– +– +identical *\n +3 collapsed +3 collapsed", lines, re.M
    )
    assert "9 of 18 trials that were asked for alike" in " ".join(lines.split())


def test_json_has_it_all(normscope):
    done = normscope("diff", NORMS, COURSE, "--json", "--margin", "1", "--alpha", "0.1")
    found = json.loads(done.stdout)
    assert (found["a"], found["b"]) == (str(NORMS), str(COURSE))
    assert found["differing"][1] == {"what": "epochs", "a": "15", "b": "20", "cause": True}
    assert found["trials"] == {"in_both": 9, "same_id": 0, "identical": 0}
    assert (found["design"]["margin_points"], found["design"]["alpha"]) == (1.0, 0.1)
    assert [each["norm"] for each in found["norms"]] == ["bn", "gn", "ln"]
    assert found["norms"][0]["verdict"]["difference_points_mean"] == pytest.approx(3.0633, abs=1e-3)
    assert [(each["norm"], each["against"]) for each in found["gaps"]] == [
        ("gn", "bn"),
        ("ln", "bn"),
    ]
    assert len(found["answers"]) == 5
    assert found["gaps"][0]["seeds"] == [0, 1, 2]


def test_two_trainings_are_compared_and_nothing_is_written(normscope, tmp_path, undrawn):
    for name, more in (("a", []), ("b", ["--max-lr", "0.02"]), ("c", [])):
        done = normscope("compare", *SMALL, "--seeds", "2", "--out", name, *more)
        assert done.returncode == 0, done.stderr
    before = sorted(tmp_path.rglob("*"))
    lines = normscope("diff", "a", "b").stdout
    assert re.search(r"^max_lr +0\.1 +0\.02 *$", lines, re.MULTILINE)
    assert "Two seeds in common" in lines
    assert "4 of 4 trials" in normscope("diff", "a", "c").stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_compared_is_one_line(normscope, tmp_path):
    assert "absent holds no normscope experiment" in one_line(normscope("diff", NORMS, "absent"), 2)
    assert "are the same folder" in one_line(normscope("diff", NORMS, NORMS), 2)
    assert "Missing argument 'B'" in one_line(normscope("diff", NORMS), 2)
    assert "--margin -1.0: should be" in one_line(
        normscope("diff", NORMS, COURSE, "--margin", -1), 2
    )


def test_the_example_in_the_documentation_is_what_it_prints(shown):
    document = (RESULTS.parent / "diff.md").read_text(encoding="utf-8")
    printed = shown[0].replace(str(RESULTS), "docs/results").splitlines()
    block = "\n".join(f"    {line}".rstrip() for line in printed)
    assert f"\n\n{block}\n\n1. **What differs**" in document
