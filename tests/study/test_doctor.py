"""A damaged folder from beginning to end: named by the doctor, refused, mended by the next run."""

import json

import numpy as np
import pytest

from normscope.experiment.plan import plan
from normscope.observers import PlainLines
from normscope.store import Store
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.doctor import examine

SMALL = ["--epochs", "1", "--train-limit", "192", "--test-limit", "100", "--seeds", "2",
         "--norms", "bn,gn", "--workers", "1", "--out", "e"]  # fmt: skip


@pytest.fixture
def folder(normscope, tmp_path, undrawn):
    assert normscope("compare", *SMALL).returncode == 0
    return tmp_path / "e"


def outcomes(folder):
    """What the trials left, but for the times, which differ whenever one is run again."""
    store = Store(folder)
    return [
        (r.trial.id, r.predictions.logits.tolist(), [e.test_loss_nats for e in r.history])
        for r in store.results(plan(store.experiment))
    ]


def test_only_what_is_damaged_is_run_again(normscope, folder):
    assert normscope("doctor", folder).returncode == 0
    before = outcomes(folder)
    design = json.loads((folder / "experiment.json").read_text())["requests"]
    one, two, *others = sorted((folder / "trials").iterdir())
    kept = [(path / "record.json").read_bytes() for path in others]
    record = one / "record.json"
    record.write_text(record.read_text().replace('"finished"', '"diverged"'))
    content = bytearray((two / "predictions.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (two / "predictions.npz").write_bytes(content)
    (folder / "experiment.json").unlink()
    (folder / "dataset.json").write_text("{}")
    labels = np.load(folder / "test_labels.npy")
    np.save(folder / "test_labels.npy", labels[::-1])
    min(folder.glob("pictures/*.png")).write_bytes(b"")

    refused = normscope("report", folder)
    assert refused.returncode == 3
    assert refused.stderr.startswith(f"normscope: {folder / 'dataset.json'} is damaged")
    sick = normscope("doctor", folder, "--json")
    assert sick.returncode == 3
    told = {finding["path"]: finding["state"] for finding in json.loads(sick.stdout)["findings"]}
    picture = min(folder.glob("pictures/*.png")).name
    assert told == {
        f"trials/{one.name}": "damaged", f"trials/{two.name}": "damaged",
        "experiment.json": "missing", "dataset.json": "damaged", f"pictures/{picture}": "damaged",
    }  # fmt: skip

    again = normscope("compare", *SMALL)
    assert again.returncode == 0, again.stderr
    for path in (one, two):
        assert f"{path.name} is damaged" in again.stdout.replace("\n", " ")
        assert len(list(folder.glob(f"damaged/{path.name}-*"))) == 1
    assert "2 trials" in again.stdout
    assert [(path / "record.json").read_bytes() for path in others] == kept
    assert outcomes(folder) == before
    assert json.loads((folder / "experiment.json").read_text())["requests"] == design
    assert examine(folder).well
    shown = normscope("doctor", folder).stdout
    assert shown == f"4 trials read; nothing wrong with {folder}.\n"


def test_a_doctor_needs_an_experiment(normscope, tmp_path):
    found = normscope("doctor", tmp_path)
    assert found.returncode == 2
    assert "holds no normscope experiment" in found.stderr


def test_a_trial_that_is_gone_is_without_a_record(normscope, folder):
    one, *_ = sorted((folder / "trials").iterdir())
    one.rename(folder.parent / "elsewhere")
    assert "1 planned trial without a record" in normscope("doctor", folder).stdout
    assert "1 not run" in " ".join(str(c) for c in Comparison.read(folder).analysis.caveats)
    compare(Comparison.read(folder).analysis.experiment, out=folder, observer=PlainLines())
    assert examine(folder).without_record == 0
