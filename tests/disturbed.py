"""A small experiment that is disturbed on its way, and what must be the same in the end."""

import re
from difflib import unified_diff

import pandas as pd

from normscope.seals import open_text
from normscope.store import Store
from normscope.study.doctor import examine

# Four trials of three steps.
COMPARE = (
    "compare", "--norms", "bn,gn", "--seeds", "2", "--epochs", "1", "--train-limit", "96",
    "--test-limit", "50", "--batch-size", "32",
)  # fmt: skip
TRIALS = 4

# What differs from run to run: what a clock says, and memory, which a `Warm` does not measure.
CLOCKS = {"results.csv": ["train_seconds", "test_seconds"],
          "trials.csv": ["seconds_per_epoch", "inference_us_per_image", "peak_memory_mib",
                         "started", "seconds"]}  # fmt: skip
INTERVAL = re.compile(r" \(\S+ to \S+\)")
OF_CLOCKS = re.compile(r"Time|Seconds|Memory|MiB|µs")


def outcome(folder):
    """All that the trials and the report of a folder say, as bytes by place, but for clocks.

    Not the figures: a `Warm` does not draw all of them.
    """
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for kind in ("*.npy", "pictures/*", "trials/*/[!r]*")
        for path in folder.glob(kind)
    }
    for name in ("dataset.json", "models.json"):  # whose seals tell when it was asked for
        found[name], _ = open_text((folder / name).read_bytes())
    for name, clocks in CLOCKS.items():
        table = pd.read_csv(folder / name, dtype=str).drop(columns=clocks)
        found[name] = table.to_csv(index=False).encode()
    lines = (folder / "summary.md").read_text(encoding="utf-8").splitlines()
    found["summary.md"] = "\n".join(_without_clocks(lines)).encode()
    return found


def _without_clocks(lines):
    """Markdown without the columns and the other lines that tell of what a clock says.

    Nor the intervals of a family of metrics: Holm's correction narrows them all once one of them,
    such as a time, is decided.
    """
    kept = None  # the columns of the table that a line is in
    of_a_family = False
    for line in lines:
        cells = line.split(" | ")
        if not line.startswith("|"):
            kept = None
        elif kept is None:
            kept = [i for i, name in enumerate(cells) if not OF_CLOCKS.search(name)]
            of_a_family = cells[0] == "| Metric"
        words = line if kept is None else " | ".join(cells[i] for i in kept)
        if kept is not None and of_a_family:
            words = INTERVAL.sub("", words)
        if not OF_CLOCKS.search(words):
            yield words


def finished(folder):
    """The files of every trial that has ended, by place."""
    paths = folder.glob("trials/[!.]*/*")
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def check_kept(folder, before):
    """What ended before is as it was, and nothing in the folder cannot be read.

    Returns all that has ended by now. Something may be unfinished, which the next run removes, and
    what describes the data may not be there yet.
    """
    now = finished(folder)
    changed = [path for path in before if now.get(path) != before[path]]
    assert not changed, changed
    if Store.exists(folder):
        found = examine(folder).findings
        unexpected = [f for f in found if f.state not in ("left over", "missing")]
        assert not unexpected, unexpected
        missing = {f.path for f in found if f.state == "missing"}
        assert not missing or not now, missing
    return now


def check_whole(folder, undisturbed):
    """It has come to the same end as one that nothing disturbed.

    One that was stopped may hold more pictures: those that a report showed until then.
    """
    found = examine(folder)
    assert found.well, found.findings
    now = outcome(folder)
    others = [name for name in undisturbed if now.get(name) != undisturbed[name]]
    assert not others, "\n".join(_differences(name, undisturbed, now) for name in others)
    more = [name for name in now.keys() - undisturbed.keys() if "pictures/" not in name]
    assert not more, more
    assert not (folder / "checkpoints").exists()


def _differences(name, undisturbed, now):
    """What is otherwise in a file; of one that is no text, its name alone."""
    if not name.endswith((".csv", ".json", ".md")):
        return name
    before, after = (all_of.get(name, b"").decode().splitlines() for all_of in (undisturbed, now))
    return "\n".join(unified_diff(before, after, name, name, n=0, lineterm=""))
