"""Networks of a user's own: what they start from, what they draw, and what is refused."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from normscope.errors import UsageError
from normscope.experiment import Experiment
from normscope.models import MODELS
from normscope.models.fit import check_fit
from normscope.models.making import make_network
from normscope.own import find
from normscope.study.own import with_own_model
from normscope.training.loop import may_be_replayed
from normscope.training.seeds import generator

NET = """
import random
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

class Block(nn.Module):
    def __init__(self, c, d):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c, d, 3, 2, 1, bias=False), nn.BatchNorm2d(d, eps=1e-3),
            nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Conv2d(d, d, 3, 1, 1), nn.BatchNorm2d(d),
        )
        self.skip = nn.Conv2d(c, d, 1, 2)

    def forward(self, x):
        return F.relu(self.skip(x) + self.body(x))

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 8))
        self.scale = nn.Parameter(torch.tensor(1 + 0.1 * random.random() + 0.1 * np.random.rand()))
        self.fc, self.bn1 = nn.Linear(8 * 8 * 8, 16), nn.BatchNorm1d(16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        if self.training and random.random() < 0.5:
            x = x * np.random.rand()
        x = F.dropout(x.view(x.size(0), -1), 0.2, self.training)
        return self.head(F.relu(self.bn1(self.fc(x)))) * self.scale

def build(num_classes):
    return Net(num_classes)

def plain(num_classes):
    return nn.Sequential(nn.Conv2d(3, num_classes, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def no_network(num_classes):
    return [nn.BatchNorm2d(3)]

def of_no_classes():
    return nn.BatchNorm2d(3)

def ten(num_classes):
    map_of_ten = nn.Conv2d(3, 10, 4, 4), nn.BatchNorm2d(10)
    return nn.Sequential(*map_of_ten, nn.AdaptiveAvgPool2d(1), nn.Flatten())

class Two(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(3, num_classes, 4, 4), nn.BatchNorm2d(num_classes))
    def forward(self, x):
        return super().forward(x).mean(dim=(2, 3)), x
"""

IMAGES = torch.rand(4, 3, 32, 32, generator=generator(0, "images"))
CHANNELS_LAST = IMAGES.contiguous(memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    table = {"own": find("net.py:build"), "s8": MODELS["s8"]}
    monkeypatch.setattr("normscope.models.making.MODELS", table)
    return table


def made(norm="bn", seed=0, model="own", classes=10):
    return make_network(model, norm, classes, generator(seed, "init"), generator(seed, "dropout"))


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def random_states():
    numpys = np.random.get_state()[1]  # noqa: NPY002
    return torch.get_rng_state(), numpys, random.getstate()


def same_states(before, after):
    return (
        torch.equal(before[0], after[0]) and (before[1] == after[1]).all() and before[2] == after[2]
    )


NORMS_OF_IT = [
    "bn",
    "blocks.0.body.1",
    "blocks.0.body.5",
    "blocks.1.body.1",
    "blocks.1.body.5",
    "bn1",
]


@pytest.mark.parametrize("norm", ["gn", "ln", "in", "none", "ghost-bn"])
def test_all_but_the_norms_starts_from_the_same_weights(norm):
    bn, other = state(made("bn").network), state(made(norm).network)
    assert {name for name in bn if name.rpartition(".")[0] not in NORMS_OF_IT} <= other.keys()
    for name, value in other.items():
        if name in bn:
            assert torch.equal(value, bn[name]), name
    again, another = state(made("bn").network), state(made("bn", seed=1).network)
    assert all(torch.equal(again[name], bn[name]) for name in bn)
    for name in ("conv.weight", "fc.bias", "scale"):  # drawn by torch, numpy and Python
        assert not torch.equal(another[name], bn[name])


def test_its_layers_keep_their_names_and_norms_what_was_chosen_for_them():
    built = made("gn:groups=2")
    assert {name for name, layer in built.network.named_modules() if layer in built.norms} == {
        *NORMS_OF_IT
    }
    first = built.network.blocks[0].body[1]
    assert (type(first), first.num_groups, first.eps) == (nn.GroupNorm, 2, 1e-3)


def test_the_global_random_states_stay_what_they_were():
    before = random_states()
    network = made().network
    network(IMAGES), network.eval()(IMAGES)
    assert same_states(before, random_states())
    with pytest.raises(RuntimeError):
        network(IMAGES[:, :2])
    assert same_states(before, random_states())


def test_what_it_draws_follows_from_its_seed_and_from_nothing_else():
    def passes(seed, disturb):
        network, found = made(seed=seed).network, []
        for _ in range(3):
            disturb()
            found.append(network(CHANNELS_LAST).detach())
        return torch.stack(found)

    def disturb():
        torch.rand(3), np.random.rand(), random.random()  # noqa: NPY002

    quiet, disturbed = passes(0, lambda: None), passes(0, disturb)
    assert torch.equal(quiet, disturbed)
    assert not torch.equal(quiet[0], quiet[1])
    assert not torch.equal(quiet, passes(1, disturb))


def test_dropout_draws_from_the_stream_of_dropout():
    """So that it drops the same elements whether it is fused or not."""
    stream = generator(0, "dropout")
    network = make_network("own", "bn", 10, generator(0, "init"), stream).network
    assert network.blocks[0].body[3].generators == (stream,)
    assert network.blocks[0].body[3].p == 0.1


@pytest.mark.parametrize("training", [False, True])
def test_a_view_of_a_map_is_the_same_in_the_layout_of_channels_last(training):
    usual, other = (made().network.train(training) for _ in range(2))
    other = other.to(memory_format=torch.channels_last)
    torch.testing.assert_close(other(CHANNELS_LAST), usual(IMAGES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "signature",
    [
        "num_classes",
        "n_classes",
        "width=8, num_classes=10",
        "width=8, *, classes=10",
        "classes_, w=1",
        "**options",
    ],
)
def test_the_number_of_classes_is_given_by_name_or_first(signature, tmp_path, models):
    name = {"**options": 'options["num_classes"]'}.get(signature)
    name = name or next(
        n for n in ("num_classes", "n_classes", "classes_", "classes") if n in signature
    )
    (tmp_path / "some.py").write_text(
        f"from torch import nn\ndef build({signature}):\n"
        f"    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, {name}, 1))\n"
    )
    models["some"] = find("some.py:build")
    assert made(model="some", classes=7).network[1].out_channels == 7


def fit(model, norm="bn", classes=5, **options):
    return check_fit(model, norm, classes, (32, 32, 3), 2, **options)


def test_a_network_that_fits_is_given_back_as_it_will_train():
    found = fit("own", "gn")
    assert found.conversion is not None
    assert [type(layer) for layer in found.norms] == [nn.GroupNorm] * 6
    assert all(not layer._forward_hooks and not layer._forward_pre_hooks for layer in found.norms)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("plain", "net.py:plain has no norm layer that bn could take the place of"),
        ("no_network", "net.py:no_network returns a list, and not an nn.Module"),
        ("of_no_classes", "bn cannot be put into it: TypeError: of_no_classes"),
        ("ten", r"it answers 1 images with a tensor \(1, 10\), and not with logits \(1, 5\)"),
        ("Two", "it answers images with a tuple, and not with one tensor of logits"),
        ("gone", "there is no gone; there is: random"),
    ],
)
def test_what_is_no_network_for_images_is_refused(attribute, message, models):
    models["it"] = find(f"net.py:{attribute}")
    with pytest.raises(UsageError, match=message):
        fit("it")


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        ("gn:pre", "convert leaves a norm where it is"),
        ("frn", "frn replaces the activation"),
        ("gn-ws", "changes the convolutions"),
        ("gn:groups=3", "at bn: gn:groups=3 does not fit"),
    ],
)
def test_norms_that_would_need_another_network_are_refused(norm, message):
    with pytest.raises(UsageError, match=message):
        fit("own", norm)


def test_a_statistic_of_one_value_is_found_in_its_linear_layers_too():
    with pytest.raises(UsageError, match=r"at bn1 .* over a single value.* \(16 channels of a "):
        fit("own", "gn:size=1")


def test_on_a_gpu_its_steps_are_taken_anew_and_not_replayed():
    """What Python draws in a forward pass would be drawn once for the whole training."""
    assert not may_be_replayed(made().network)
    packaged = make_network("s8", "bn", 10, generator(0, "init"), generator(0, "dropout"))
    assert may_be_replayed(packaged.network)


REFUSED = """
import torch
from torch import nn

def net(num_classes, frozen=False, dtype=torch.float32):
    layers = [nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(4, num_classes)).to(dtype)
    return network.requires_grad_(not frozen)

ONE = {}

def same(num_classes):
    return ONE.setdefault(num_classes, net(num_classes))

def frozen(num_classes):
    return net(num_classes, frozen=True)

def double(num_classes):
    torch.set_default_dtype(torch.float64)
    return net(num_classes, dtype=torch.float64)

class State(nn.Sequential):
    def get_extra_state(self):
        return {"a": 1}
    def set_extra_state(self, state):
        pass

def state(num_classes):
    return State(net(num_classes))

def compiled(num_classes):
    return torch.compile(net(num_classes))
"""


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("same", "is the same network each time; build a new one in every call"),
        ("frozen", "has no parameter that is trained"),
        ("double", "cannot be used in it|has 0.weight in torch.float64; make it float32"),
        ("state", "keeps _extra_state in its state, which is no tensor"),
    ],
)
def test_what_could_not_be_trained_or_kept_is_refused(attribute, message, tmp_path, models):
    (tmp_path / "refused.py").write_text(REFUSED, encoding="utf-8")
    models["it"] = find(f"refused.py:{attribute}")
    with pytest.raises(UsageError, match=message):
        fit("it")
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, by what it imports
def test_a_compiled_network_is_trained_as_it_was_before(tmp_path, models):
    (tmp_path / "refused.py").write_text(REFUSED, encoding="utf-8")
    models["it"] = find("refused.py:compiled")
    assert type(fit("it").network) is nn.Sequential


def test_what_it_imports_late_is_what_lies_beside_it(tmp_path, models):
    """Two networks whose files have the same names, built in turn, and one that is edited."""
    text = (
        "from torch import nn\ndef build(n):\n    from width import W\n"
        "    return nn.Sequential(nn.Conv2d(3, W, 1), nn.BatchNorm2d(W))\n"
    )
    for name, width in (("a", 4), ("b", 16)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(text, encoding="utf-8")
        (tmp_path / name / "width.py").write_text(f"W = {width}\n", encoding="utf-8")
        models[name] = find(str(tmp_path / name / "net.py") + ":build")

    def width_of(name):
        return made(model=name).network[0].out_channels

    assert [width_of(name) for name in "abab"] == [4, 16, 4, 16]
    (tmp_path / "a" / "width.py").write_text("W = 32\n", encoding="utf-8")
    models["edited"] = find(str(tmp_path / "a" / "net.py") + ":build")
    assert [width_of(name) for name in ("edited", "b")] == [32, 16]


def test_what_its_file_draws_while_it_is_imported_is_always_the_same(tmp_path, models):
    text = NET + "\nDRAWN = torch.rand(1).item(), random.random()\n"
    drawn = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(text + f"# {name}\n", encoding="utf-8")
        models[name] = find(str(tmp_path / name / "net.py") + ":build")
        before = random_states()
        made(model=name)
        assert same_states(before, random_states())
        drawn.append(models[name].load().__globals__["DRAWN"])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("file", ["n\x1b[31m.py", "n" * 110 + ".py"])
def test_a_network_whose_name_would_act_or_be_cut_is_refused(file, tmp_path, models):
    (tmp_path / file).write_text(NET, encoding="utf-8")
    with pytest.raises(UsageError, match=r"no network can be called 'n.*100 bytes") as refused:
        with_own_model(Experiment(model=f"{file}:build"))
    assert str(refused.value).isprintable()
