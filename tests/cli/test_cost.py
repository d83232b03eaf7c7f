"""`normscope cost` as a user types it."""

import json

from command_line import one_line


def test_costs_are_printed_in_eighty_columns_and_nothing_is_kept(normscope, tmp_path):
    done = normscope("cost", "--norms", "bn,bn:pre,gn", "--batch-size", 8)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for words in (
        "bn, folded",
        "bn:pre, folded",
        "of 7 rounds; cpu, 1 thread, float32",
        "8 images",
    ):
        assert words in done.stdout
    assert "gn, folded" not in done.stdout
    assert not [*tmp_path.glob("runs")]


def test_costs_as_json(normscope):
    done = normscope("cost", "--norms", "ln", "--batch-size", 8, "--json")
    (cost,) = json.loads(done.stdout)["norms"]
    assert (cost["norm"], cost["parameters"], cost["folded_ms"]) == ("ln", 31_216, None)


def test_a_folder_says_itself_what_is_measured(normscope, tmp_path):
    message = one_line(normscope("cost", tmp_path, "--norms", "bn", "--batch-size", 8), 2)
    assert "leave out --norms, --batch-size" in message
    assert "holds no normscope experiment" in one_line(normscope("cost", tmp_path), 2)
