"""Networks of a user's own in experiments: found, told apart, trained, kept and looked into."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import normscope
from normscope.errors import UsageError
from normscope.experiment import Experiment, ProbePlan
from normscope.experiment.reading import read_experiment
from normscope.models import MODELS
from normscope.observers import Observer
from normscope.own import OwnCode
from normscope.store import Store
from normscope.study.checks import check, folder_of
from normscope.study.comparison import Comparison
from normscope.study.elsewhere import probe_weights
from normscope.study.forecast import forecast
from normscope.study.probe import probe

NET = """
import torch.nn.functional as F
from torch import nn
from beside import WIDTH

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 3, 2), nn.BatchNorm2d(WIDTH), nn.ReLU(True))
        self.conv, self.bn = nn.Conv2d(WIDTH, WIDTH, 3, 2), nn.BatchNorm2d(WIDTH)
        self.fc, self.bn1 = nn.Linear(WIDTH * 49, 16), nn.BatchNorm1d(16)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(16, num_classes)

    def forward(self, x):
        x = F.dropout(F.relu(self.bn(self.conv(self.stem(x)))), 0.1, self.training)
        return self.head(self.drop(F.relu(self.bn1(self.fc(x.view(x.size(0), -1))))))

def build(num_classes):
    return Net(num_classes)
"""


@pytest.fixture(autouse=True)
def table():
    before = dict(MODELS)
    yield
    MODELS.clear()
    MODELS.update(before)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "beside.py").write_text("WIDTH = 8\n", encoding="utf-8")
    return tmp_path


def asked(model="net.py:build", norms=("bn", "gn"), **changes):
    values = {"epochs": 1, "train_limit": 128, "test_limit": 60, "seeds": 1, **changes}
    return read_experiment(model=model, norms=list(norms), **values)


def compare(experiment, out=None, **options):
    return normscope.compare(experiment, out=out, observer=Observer(), **options)


def weights_of(folder):
    store = Store(folder)
    return {r.trial.norm: store.weights(r.trial) for r in store.records()}


# -- names and ids ---------------------------------------------------------------------------------


def test_its_name_is_that_of_file_and_function_and_its_source_is_in_the_id(here):
    first = check(asked())
    trial = forecast(first).trials[0]
    assert (trial.model, trial.model_source) == (
        "net.build",
        first.experiment.model_source.fingerprint,
    )
    again = forecast(check(asked())).trials[0]
    (here / "beside.py").write_text("WIDTH = 4\n", encoding="utf-8")
    edited = forecast(check(asked())).trials[0]
    assert again.id == trial.id != edited.id
    assert check(asked()).folder != first.folder  # so that nothing is lost, and nothing refused
    assert folder_of(asked(), None) == check(asked()).folder


def test_other_trials_keep_the_ids_that_they_had():
    plain = forecast(check(asked("s8"), out="nowhere")).trials[0]
    assert "model_source" not in plain.model_dump()


def test_edited_it_is_refused_in_the_folder_of_what_it_was(here):
    compare(asked(), out=here / "run")
    (here / "beside.py").write_text("WIDTH = 4\n", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"holds trials of net.build as it was before it was edited"
    ):
        check(asked(), out=here / "run")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nut.py:build", "there is no file nut.py"),
        ("net.py:built", "there is no built; there is: F, nn, WIDTH, Net, build"),
        ("torchvision.models:resnet18", "torchvision"),
        ("nothing.here:build", "install nothing, or name another"),
        ("s9", "unknown model 's9'"),
    ],
)
def test_what_is_not_there_is_told(model, message, here):
    with pytest.raises(UsageError, match=message):
        check(asked(model))


def test_a_torchvision_that_does_not_fit_the_torch_is_explained(here):
    (here / "broken.py").write_text(
        'raise RuntimeError("operator torchvision::nms does not exist")\n', encoding="utf-8"
    )
    with pytest.raises(
        UsageError, match="built for another torch: install builds of the same release"
    ):
        check(asked("broken.py:build"))


def test_what_becomes_of_its_norm_layers_is_told(here):
    notices = check(asked(norms=("bn", "gn", "ghost-bn:size=8"))).notices
    assert notices[0].startswith(
        "net.build keeps bn1 with ghost-bn:size=8: ghost-bn:size=8 is for maps"
    )
    assert notices[1].startswith(
        "Norm layers of net.build in fused passes: bn 1 of 3, gn 1 of 3, ghost-bn:size=8 1 of 2;"
    )


# -- trained ---------------------------------------------------------------------------------------


def test_it_is_trained_alike_in_this_process_and_in_others_and_kept(here):
    compare(asked(), out=here / "inline", workers=1)
    compare(asked(), out=here / "processes", workers=2)
    inline, others = weights_of(here / "inline"), weights_of(here / "processes")
    assert inline.keys() == others.keys() == {"bn", "gn"}
    for norm, weights in inline.items():
        assert {"stem.0.weight", "bn1.bias", "head.weight"} <= weights.keys()  # its own names
        for name, value in weights.items():
            assert np.allclose(value, others[norm][name], rtol=1e-3, atol=1e-4), (norm, name)
    source = Store(here / "inline").experiment.model_source
    copied = here / "inline" / "sources" / source.fingerprint
    assert (copied / "net.py").read_text(encoding="utf-8") == NET


def test_the_same_trial_again_gives_the_same_bits_whatever_was_drawn_in_between(here):
    compare(asked(norms=("bn",)), out=here / "one", workers=1)
    torch.rand(5)
    compare(
        asked(norms=("bn",)), out=here / "two", workers=1, probes=ProbePlan(("dead", "weights"))
    )
    one, two = weights_of(here / "one")["bn"], weights_of(here / "two")["bn"]
    assert all(np.array_equal(one[name], two[name]) for name in one)
    other = asked(norms=("bn",), seeds=[1])
    compare(other, out=here / "three", workers=1)
    assert not np.array_equal(weights_of(here / "three")["bn"]["conv.weight"], one["conv.weight"])


def test_in_bf16_or_a_refusal_it_is_trained_by_every_executor(here):
    from normscope.training.device import check_precision

    try:
        check_precision("bf16", torch.device("cpu"))
    except UsageError:
        pytest.skip("needs bfloat16 arithmetic")
    compare(asked(precision="bf16"), out=here / "run", workers=2)
    assert [r.status for r in Store(here / "run").records()] == ["finished"] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_draws_by_its_seed_alone(here):
    for out in ("one", "two"):
        compare(asked(norms=("bn",), seeds=2, epochs=2), out=here / out, device="cuda")
    one, two = weights_of(here / "one")["bn"], weights_of(here / "two")["bn"]
    assert all(np.allclose(one[name], two[name], atol=1e-4) for name in one)


# -- looked into -----------------------------------------------------------------------------------


def test_all_probes_are_taken_of_it(here):
    compare(asked(), out=here / "run", workers=1, probes=("all",))
    store = Store(here / "run")
    for result in store.records():
        found = store.probes(result.trial)
        assert not found.failures
        assert found.series["dead.dead"].names[0] == ("stem.1", "bn")  # bn1 is of no maps


def test_its_folder_is_looked_into_and_reported_on_without_its_file(here, tmp_path):
    compare(asked(), out=here / "run", workers=1)
    (here / "net.py").unlink()
    MODELS.pop("net.build")
    probed = probe(here / "run", ("dead",))
    assert (probed.trials, probed.failures) == (2, {})
    assert isinstance(MODELS["net.build"], OwnCode)
    moved = shutil.copytree(here / "run", here / "moved")
    assert Comparison.read(moved).report().exists() or (moved / "report.html").exists()


def test_a_network_trained_elsewhere_is_looked_into(here):
    others = {name: sys.modules.pop(name, None) for name in ("net", "beside")}  # of other tests
    sys.path.insert(0, str(here))
    try:
        import net
    finally:
        sys.path.remove(str(here))
        for name, module in others.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    torch.manual_seed(0)
    network = net.build(10)
    torch.save(network.state_dict(), here / "w.pt")
    wrapped = {f"_orig_mod.module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, here / "checkpoint.pt")
    looked = probe_weights("w.pt", asked(), ("dead", "eval-gap", "samples"))
    assert set(looked.probes.series) >= {"dead.dead", "eval-gap.running_percent"}
    assert not any(name.startswith("samples") for name in looked.probes.series)  # of the untrained
    from normscope.data import load_dataset

    data = load_dataset("shapes", None, 128, 60)
    pixels = torch.from_numpy(data.test_images).permute(0, 3, 1, 2).float() / 255
    x = (pixels - torch.tensor(data.mean)[:, None, None]) / torch.tensor(data.std)[:, None, None]
    with torch.no_grad():
        answers = network.eval()(x.float().contiguous()).argmax(1).numpy()
    expected = 100 * (answers == data.test_labels).mean()
    assert looked.test_accuracy_percent == pytest.approx(expected)
    again = probe_weights("checkpoint.pt", asked(), ("dead",))
    assert again.test_accuracy_percent == looked.test_accuracy_percent


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda path: torch.save(torch.nn.Linear(2, 2), path), "holds more than tensors"),
        (lambda path: torch.save({"a": 3}, path), "holds 'a', which is no tensor"),
        (lambda path: torch.save([torch.zeros(1)], path), "holds no weights by name"),
        (lambda path: torch.save({"a": torch.zeros(1)}, path), "stem.0.weight is missing"),
        (lambda path: path.write_bytes(b"nothing"), "cannot be read as weights"),
        (lambda path: path.write_bytes(b"abc"), "cannot be read as weights"),
        (lambda path: torch.save({"net": {}, "state_dict": {}}, path), "holds 'net', which is no"),
        (lambda path: None, "there is no file"),
    ],
)
def test_a_file_of_anything_but_its_weights_is_refused(save, message, here):
    save(here / "w.pt")
    with pytest.raises(UsageError, match=message):
        probe_weights("w.pt", asked(), ("dead",))


def test_a_network_that_is_made_with_a_norm_needs_its_name(here):
    torch.save({"a": torch.zeros(1)}, here / "w.pt")
    with pytest.raises(UsageError, match="s8 is made with a norm; say which with --norm"):
        probe_weights("w.pt", asked("s8"), ("dead",))


# -- at the terminal -------------------------------------------------------------------------------


def command(*arguments, code=0):
    run = subprocess.run(
        [sys.executable, "-m", "normscope", *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == code, run.stderr
    return run.stdout + run.stderr


def test_the_commands_take_it(here):
    table = json.loads(command("summary", "--model", "net.py:build", "--norm", "gn", "--json"))
    assert [layer["type"] for layer in table["layers"]][:2] == ["Conv2d", "GroupNorm"]
    command(
        "compare", "--model", "net.py:build", "--norms", "bn,gn", "--seeds", "2", "--epochs", "1",
        "--train-limit", "128", "--test-limit", "60", "--out", "run",
    )  # fmt: skip
    assert "net.build" in (here / "run" / "summary.md").read_text(encoding="utf-8")
    network = check(asked()).experiment
    assert isinstance(network, Experiment)
    (weights,) = (here / "run" / "trials").glob("bn-seed0-*/weights.safetensors")
    said = command("probe", str(weights), "--model", "net.py:build", "--probes", "dead")
    assert "Right on" in said
    assert "stem.1" in said
    assert "leave out --model" in command("probe", "run", "--model", "net.py:build", code=2)
    assert "say with --model" in command("probe", str(weights), code=2)
