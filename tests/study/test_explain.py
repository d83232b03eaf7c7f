"""Where the networks of an experiment looked: made from its folder, kept there, and on its page."""

import re
import shutil
import sys

import numpy as np
import pytest
import torch

import normscope as package
from normscope.data import load_dataset
from normscope.errors import RunError, UsageError
from normscope.experiment import Experiment
from normscope.observers import Observer
from normscope.store import Store
from normscope.study import explain as module
from normscope.study.compare import compare
from normscope.study.comparison import Comparison
from normscope.study.explain import explain
from normscope.training.split import Splits
from normscope.training.trial import build

pytest.importorskip("captum")

EXPERIMENT = Experiment(
    norms=("bn", "ln"),
    seeds=2,
    train_limit=64,
    test_limit=40,
    recipe={"base": "quick", "epochs": 2, "batch_size": 16},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of networks that were hardly trained, so that there are mistakes; explained by both ways."""
    out = tmp_path_factory.mktemp("explained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normscope.study.comparison.write_report", lambda *arguments: out)
        compare(EXPERIMENT, out=out, workers=1, observer=Observer())
        explain(out, "occlusion", seed=1)
        explain(out)
    return out


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_folder_keeps_both_methods_of_every_norm(folder):
    store = Store(folder)
    shown = sorted(Comparison.read(folder).analysis.mistakes.pictures())
    cam, occlusion = store.heat_maps()
    assert (cam.method, cam.seed, occlusion.method, occlusion.seed) == (
        *("grad-cam", 0),
        *("occlusion", 1),
    )
    for maps, side in ((cam, 7), (occlusion, 32)):
        assert maps.indexes.tolist() == shown
        for norm in ("bn", "ln"):
            heat = maps.norms[norm]
            (of_trial,) = (
                r for r in store.results(r.trial for r in store.records())
                if (r.trial.norm, r.trial.seed) == (norm, maps.seed)
            )  # fmt: skip
            assert heat.maps.shape == (len(shown), side, side)
            np.testing.assert_array_equal(heat.classes, of_trial.predictions.classes[shown])
    assert (cam.norms["bn"].maps >= 0).all()
    assert cam.norms["bn"].layer == "layers.34 (BatchNorm2d)"
    assert occlusion.norms["bn"].layer == ""
    assert sum(path.stat().st_size for path in folder.glob("heat_maps/*")) < 300_000


def test_the_maps_are_those_of_the_network_that_was_trained(folder):
    """A square of grey over the top left corner, with the stored weights; by hand."""
    store, dataset = Store(folder), load_dataset("shapes", train_limit=64, test_limit=40)
    maps = store.heat_maps()[1]
    (result,) = (
        r for r in store.records() if (r.trial.norm, r.trial.seed) == ("ln", maps.seed)
    )  # fmt: skip
    splits = Splits.of(dataset, torch.device("cpu"))
    network = build(result.trial, splits.train, len(dataset.class_names)).model.eval()
    weights = store.weights(result.trial)
    network.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    x, _ = splits.test.batch(torch.from_numpy(maps.indexes))
    painted = x.clone()
    painted[:, :, :8, :8] = 0
    classes = torch.from_numpy(maps.norms["ln"].classes)[:, None]
    with torch.no_grad():
        lost = [network(each).softmax(dim=1).gather(1, classes)[:, 0] for each in (x, painted)]
    expected = 100 * (lost[0] - lost[1])  # the corner pixel is covered by this square alone
    np.testing.assert_allclose(maps.norms["ln"].maps[:, 0, 0], expected, atol=0.02, rtol=2e-3)


def test_a_report_shows_them_without_captum(copied, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    comparison = Comparison.read(copied)
    html = comparison.report().read_text(encoding="utf-8")
    examples = [e for g in comparison.analysis.mistakes.groups for e in g.examples]
    overlays = re.findall(
        r'<img src="data:image/png;base64,[^"]+" [^>]*alt="(\S+) of (\S+) for', html
    )
    assert len(overlays) == 2 * 2 * len(examples) > 0
    assert {*overlays} == {(m, n) for m in ("Grad-CAM", "Occlusion") for n in ("bn", "ln")}
    assert "layers.34 (BatchNorm2d) with bn" in html
    assert "only evidence for the class is shown" in html


def test_damaged_maps_are_made_again_and_left_out_until_then(copied):
    (path,) = copied.glob("heat_maps/grad-cam.npz")
    path.write_bytes(path.read_bytes()[:100])
    assert [maps.method for maps in Store(copied).heat_maps()] == ["occlusion"]


def test_without_weights_there_is_nothing_to_explain(copied):
    for weights in copied.glob("trials/*-seed0-*/weights.safetensors"):
        weights.unlink()
    with pytest.raises(UsageError, match=r"no weights with seed 0, but with 1$"):
        explain(copied, seed=0)
    for weights in copied.glob("trials/*/weights.safetensors"):
        weights.unlink()
    with pytest.raises(RunError, match="holds no weights of a network that finished"):
        explain(copied)


def test_without_a_picture_there_is_nothing_to_explain(copied, monkeypatch):
    monkeypatch.setattr(module, "pictures_shown", lambda store: set())
    with pytest.raises(RunError, match="shows no picture"):
        explain(copied)


def test_what_cannot_be_explained_is_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="unknown method 'lime'; known: grad-cam, occlusion"):
        explain(folder, "lime")
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        explain(tmp_path)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(RunError, match=r'pip install "normscope\[explain\]"'):
        explain(folder)


def test_it_is_public():
    assert package.explain is explain
