"""Names of norms: options, places, and what people call them."""

import inspect
import subprocess
import sys
from pkgutil import resolve_name

import pytest
from torch import nn

from normscope.errors import UsageError
from normscope.experiment import Experiment
from normscope.experiment.plan import plan
from normscope.experiment.reading import read_experiment
from normscope.norms import (
    NORMS,
    PACKAGED_NORMS,
    asked,
    canonical,
    placed,
    running_momentum,
    title_of,
)
from normscope.norms.table import ALIASES


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("gn:groups=4", "gn"),
        ("gn:size=4", "gn:size=4"),
        ("gn:auto", "gn:groups=auto"),
        ("GroupNorm:auto:pre", "gn:groups=auto:pre"),
        ("gn:eps=1e-3:groups=2", "gn:groups=2:eps=0.001"),
        ("ghost-bn:size=32", "ghost-bn"),
        ("bn:post", "bn"),
        ("bn:pre", "bn:pre"),
        ("gn:pre:groups=2", "gn:groups=2:pre"),
        ("BatchNorm2d", "bn"),
        ("groupnorm", "gn"),
        ("groupnorm1", "ln"),
        ("groupnorm32:pre", "gn:groups=32:pre"),
        ("layernorm2d", "ln-channel"),
        ("rmsnorm2d", "rms"),
        ("frntlu", "frn"),
        ("EvoNorm-S0", "evo-s0"),
        ("batch_renorm", "brn"),
        ("none:pre", "none"),
        ("layers.py:MyNorm:size=2:pre", "layers.py:MyNorm:size=2:pre"),
        ("unknown", "unknown"),
    ],
)
def test_a_norm_has_one_name(written, name):
    assert canonical(written) == canonical(name) == name


def test_every_other_name_leads_to_a_norm():
    for alias, name in ALIASES.items():
        assert canonical(alias) == name
        assert name.split(":")[0] in PACKAGED_NORMS
        assert alias not in PACKAGED_NORMS


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("gn:group=2", "gn has no option 'group'; it has: groups, size, eps"),
        ("none:eps=1", "none has no option 'eps'; it has: none"),
        ("gn:groups=two", "gn: groups must be a whole number or auto, not 'two'"),
        ("gn:groups=2.5", "gn: groups must be a whole number"),
        ("bn:eps=small", "bn: eps must be a number, not 'small'"),
        ("gn:groups=2:groups=4", "the option groups comes twice"),
        ("bn:pre:post", "either post or pre"),
        ("frn:pre", "frn replaces the activation"),
        ("LayerNorm", "three layers are called LayerNorm: ln .*, ln-channel .*, ln-full"),
    ],
)
def test_what_cannot_be_meant(written, message):
    with pytest.raises(UsageError, match=message):
        canonical(written)


def test_an_experiment_has_the_one_names():
    experiment = Experiment(norms=["BatchNorm2d", "gn:groups=4", "gn:groups=2"])
    assert experiment.norms == ("bn", "gn", "gn:groups=2")
    with pytest.raises(ValueError, match="names a norm twice"):
        Experiment(norms=["gn", "groupnorm"])
    with pytest.raises(UsageError, match="gn has no option"):
        Experiment(norms=["gn:x=1"])


def test_a_name_makes_a_layer_with_its_options():
    assert asked("gn:groups=2")(8).num_groups == 2
    assert asked("gn:size=2")(8).num_groups == 4
    assert asked("bn:eps=1e-3:momentum=0.5")(8).momentum == 0.5
    assert (asked("bn").placement, asked("bn:pre").placement) == ("post", "pre")
    with pytest.raises(UsageError, match="unknown norm 'foo'; known: bn, gn, ln"):
        asked("foo")


# -- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placement", "norms"),
    [
        ("pre", ("bn:pre", "gn:pre", "frn", "none")),
        ("post", ("bn", "gn:pre", "frn", "none")),
        ("both", ("bn", "bn:pre", "gn:pre", "frn", "none")),
    ],
)
def test_a_placement_is_for_every_norm_that_says_none(placement, norms, tmp_path):
    given = ["bn", "gn:pre", "frn", "none"]
    assert read_experiment(norms=given, placement=placement).norms == norms
    file = tmp_path / "e.toml"
    file.write_text(f'norms = ["bn", "gn:pre", "frn", "none"]\nplacement = "{placement}"\n')
    assert read_experiment(file).norms == norms


def test_a_placement_of_the_usual_norms_and_of_the_baseline():
    assert read_experiment(placement="pre").norms == ("bn:pre", "gn:pre", "ln:pre")
    assert read_experiment(placement="pre", baseline="GroupNorm").baseline == "gn:pre"
    assert read_experiment(placement="both", baseline="bn:pre").baseline == "bn:pre"
    with pytest.raises(UsageError, match="--placement 'above': write post, pre or both"):
        read_experiment(placement="above")


def test_a_norm_of_a_script_has_a_place(monkeypatch):
    monkeypatch.setitem(NORMS, "mine", nn.InstanceNorm2d)
    assert placed("mine", "pre") == "mine:pre"
    assert asked("mine:affine=true:pre")(8).affine is True
    assert title_of("mine:pre") == "mine:pre"


# -- the table -------------------------------------------------------------------------------------


def test_names_and_titles_are_there_without_torch():
    code = (
        "import sys, normscope.norms as n, normscope.models as m\n"
        "from normscope.experiment import Experiment\n"
        "Experiment(norms=['gn:groups=2', 'layernorm2d'])\n"
        "print(n.title_of('gn'), len(n.NORMS), list(m.MODELS), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    models = (
        "['s8', 's8-gap', 's8-res', 'resnet20', 'resnet56', 'resnet110', 'resnet9', 'mobilenetv2']"
    )
    assert done.stdout.strip() == f"GroupNorm (4 groups) {len(NORMS)} {models} False"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("bn", "BatchNorm"),
        ("gn:groups=2", "GroupNorm (groups 2)"),
        ("ln", "LayerNorm (over C, H, W)"),
        ("ln-channel", "LayerNorm (over C at each pixel)"),
        ("bn:pre", "BatchNorm, before the activation"),
        ("brn:eps=0.01:pre", "Batch Renormalization (eps 0.01), before the activation"),
        ("mine", "mine"),
    ],
)
def test_titles(name, title):
    assert title_of(name) == title


@pytest.mark.parametrize("name", PACKAGED_NORMS)
def test_the_table_says_what_the_layers_are(name):
    norm = PACKAGED_NORMS[name]
    home = resolve_name(norm.home)
    _, *parameters = inspect.signature(home).parameters.values()
    usual = {p.name: p.default for p in parameters if p.name != "members"}
    assert dict(norm.options) == usual
    assert norm.formula
    assert norm.over
    layer = asked(name)(8)
    assert getattr(layer, "replaces_activation", False) is norm.replaces_activation
    buffers = {key for key, _ in layer.named_buffers()}
    assert any(key.startswith("running") for key in buffers) is norm.running_statistics
    assert running_momentum(name) == (layer.momentum if norm.running_statistics else None)


def test_the_momentum_of_running_statistics_may_be_an_option():
    assert running_momentum("bn:momentum=0.5") == 0.5
    assert running_momentum("gn:groups=2") is None
    assert running_momentum("my.py:Norm") is None


UNFIT = ("a/b", "../../x", "a\\b", "x\x1b[31m", "x\ny", "x\u202ey", "x" * 101, "x" * 256, "猫" * 34)


@pytest.mark.parametrize("name", UNFIT)
def test_a_name_that_no_disk_or_terminal_could_take_is_refused(name, monkeypatch):
    monkeypatch.setitem(NORMS, name, lambda channels: nn.Identity())
    with pytest.raises(UsageError, match="a name has at most 100 bytes, all of char") as refused:
        Experiment(norms=("bn", name))
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("name", ["x" * 100, "猫" * 33, "Layer Norm 2", "mine:pre", "mine:k=a.b"])
def test_any_other_name_is_taken(name, monkeypatch):
    monkeypatch.setitem(NORMS, name, lambda channels: nn.Identity())
    experiment = Experiment(norms=("bn", name))
    assert experiment.norms == ("bn", name)
    assert len(f"{plan(experiment)[1].id}.record".encode()) < 255


@pytest.mark.parametrize("home", ["../up/layers.py:Mine", "/home/me/" + "deep/" * 40 + "l.py:Mine"])
def test_where_a_norm_lies_may_be_as_long_as_it_is(home):
    assert Experiment(norms=(home,)).norms == (home,)
