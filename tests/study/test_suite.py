"""Several settings and the verdict over them: a tiny suite, what is refused, and the example."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

import normscope as package
from normscope.errors import UsageError
from normscope.experiment import RECIPES, Design, Experiment
from normscope.experiment.suite import Setting, read_suite, settings_of
from normscope.observers import Observer
from normscope.store import Store
from normscope.study import suite as study
from normscope.study.comparison import EveryTrialFailed
from normscope.study.suite import carry_on, plan, suite

EXAMPLE = Path(__file__).parents[2] / "examples" / "suite.toml"
TINY = {
    "norms": ("bn", "gn"),
    "seeds": 2,
    "train_limit": 64,
    "test_limit": 50,
    "recipe": {"base": "quick", "epochs": 1, "batch_size": 16},
}
BOTH = [Experiment(model="s8-gap", **TINY), Experiment(model="s8", **TINY)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("suites") / "out"
    return suite(BOTH, out=out, workers=1, observer=Observer(), command="the command")


# -- a whole one -----------------------------------------------------------------------------------


def test_each_setting_has_a_folder_and_a_report_of_its_own(done):
    assert list(done.comparisons) == ["shapes-s8-gap", "shapes-s8"]
    for name, comparison in done.comparisons.items():
        assert comparison.folder == done.path.parent / name
        assert comparison.page.exists()
        assert Store(comparison.folder).experiment.model == name.removeprefix("shapes-")


def test_what_holds_over_all_follows_from_the_differences_of_the_settings(done):
    (gn,) = done.across
    for found, comparison in zip(gn.found, done.comparisons.values(), strict=True):
        ends = {
            (trial.norm, trial.seed): trial.metrics["test_accuracy_percent"]
            for trial in comparison.analysis.trials
        }
        differences = [ends["gn", seed] - ends["bn", seed] for seed in (0, 1)]
        assert found.verdict.difference.mean == pytest.approx(np.mean(differences))
        if found.standard_error is None:
            assert found.lacks.endswith("the difference is the same in every seed")
        else:
            assert found.standard_error == pytest.approx(scipy_stats.sem(differences))
    if gn.pooled:
        means = [found.verdict.difference.mean for found in gn.found]
        assert min(means) <= gn.pooled.mean <= max(means)
        assert gn.pooled.standard_error >= scipy_stats.sem(means) - 1e-12


def test_the_file_says_the_answer_the_numbers_and_where_the_rest_is(done):
    text = done.path.read_text(encoding="utf-8")
    assert done.path.name == "suite.md"
    assert text.startswith("# gn against bn in 2 settings\n\n**Synthetic data.**\n\n## Answer\n")
    assert done.across[0].sentence in text
    assert done.method in text
    assert re.search(r"^\| shapes-s8-gap \| undecided: .*, n 2 \|$", text, re.MULTILINE)
    assert re.search(r"^\| over all \| ", text, re.MULTILINE)
    assert text.endswith("    the command\n")
    links = re.findall(r"\]\((.+?)\)", text)
    assert {"suite.png", "shapes-s8-gap/report.html", "shapes-s8/report.html"} == {*links}
    for link in (*links, "suite.svg"):
        assert (done.path.parent / link).exists(), link


def test_the_same_again_trains_nothing(done):
    folders = [comparison.folder for comparison in done.comparisons.values()]
    before = [[r.started for r in Store(folder).records()] for folder in folders]
    again = suite(BOTH, out=done.path.parent, workers=1, observer=Observer(), command="the command")
    assert [[r.started for r in Store(folder).records()] for folder in folders] == before
    assert again.across[0].sentence == done.across[0].sentence


def test_a_setting_in_which_all_failed_does_not_stop_the_others(done, monkeypatch):
    planned = plan(BOTH, out=done.path.parent, workers=1)

    def carry_out(checked, observer, command):
        comparison = done.comparisons[checked.folder.name]
        if checked.folder.name == "shapes-s8-gap":
            raise EveryTrialFailed(comparison, "no room")
        return comparison

    monkeypatch.setattr(study, "carry_out", carry_out)
    assert list(carry_on(planned, Observer(), "x").comparisons) == ["shapes-s8-gap", "shapes-s8"]


# -- what is refused before any work ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "a suite needs a setting"),
        ([BOTH[0], BOTH[0]], "two settings are called shapes-s8-gap; give one of them another"),
        ([Setting(BOTH[0], "a/b")], "'a/b' has no name for a folder"),
        ([Experiment(norms=("bn",))], "one norm leaves nothing to compare"),
        ([BOTH[0], Experiment(norms=("bn", "ln"))], "shapes-s8-gap compares bn, gn, and shapes-s8"),
        ([BOTH[0], Experiment(model="s9", norms=("bn", "gn"))], "unknown model 's9'"),
        (["shapes"], "takes an Experiment, not 'shapes'"),
    ],
)
def test_settings_that_make_no_suite(settings, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        suite(settings, out=tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    assert package.suite is suite


def test_until_decided_is_refused(tmp_path):
    settings = [Experiment(norms=("bn", "gn"))]
    with pytest.raises(UsageError, match="a suite takes a fixed number of seeds, since"):
        suite(settings, out=tmp_path / "out", design=Design(until_decided=True))


def test_settings_are_judged_by_the_same_rules(tmp_path):
    designs = {"shapes-s8-gap": Design(), "shapes-s8": Design(margin_points=1.0)}
    with pytest.raises(UsageError, match=r"with --margin 0.5, and shapes-s8 with 1; say which"):
        plan(BOTH, out=tmp_path / "out", design_of=lambda folder: designs[folder.name])


def test_a_folder_with_another_baseline_is_refused(done):
    turned = [each.model_copy(update={"norms": ("ln", "gn")}) for each in BOTH]
    with pytest.raises(UsageError, match="compares with bn, not ln"):
        plan(turned, out=done.path.parent)


def test_one_name_for_two_networks_is_refused(tmp_path):
    body = (
        "from torch import nn\n\n\ndef build(num_classes):\n    return nn.Sequential("
        "nn.Conv2d(3, {}, 3), nn.BatchNorm2d({}), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear({}, num_classes))\n"
    )
    for place, width in (("a", 4), ("b", 8)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "net.py").write_text(body.format(width, width, width))
    settings = [
        Setting(Experiment(model=f"{tmp_path / place}/net.py:build", norms=("bn", "gn")), place)
        for place in ("a", "b")
    ]
    with pytest.raises(UsageError, match=r"two settings call different things net.build; rename"):
        plan(settings, out=tmp_path / "out")


# -- reading ---------------------------------------------------------------------------------------


def test_every_data_set_with_every_network():
    found = settings_of(["shapes", "cifar10"], ["s8", "resnet20"], ("max_lr=0.05",), norms=["bn"])
    experiments = [setting.experiment for setting in found]
    assert [(each.dataset, each.model) for each in experiments] == [
        ("shapes", "s8"), ("shapes", "resnet20"), ("cifar10", "s8"), ("cifar10", "resnet20")
    ]  # fmt: skip
    assert {each.recipe.max_lr for each in experiments} == {0.05}
    assert [each.recipe.name for each in experiments] == ["quick", "quick", "s8", "s8"]
    (usual,) = settings_of([], [])
    assert (usual.experiment.dataset, usual.experiment.model) == ("shapes", "s8")


def written(tmp_path, text):
    path = tmp_path / "suite.toml"
    path.write_text(text)
    return path


def test_a_setting_says_what_is_different_in_it(tmp_path):
    path = written(
        tmp_path,
        'norms = ["bn", "gn"]\nseeds = 4\nrecipe = "long"\ntrain_limit = 500\n'
        '[[settings]]\nmodel = "s8"\n'
        '[[settings]]\nname = "other"\nmodel = "s8"\nseeds = 2\nrecipe = {epochs = 7}\n'
        '[[settings]]\ndataset = "cifar10"\nrecipe = "s8"\n',
    )
    first, other, third = read_suite(path, norms=["bn", "ln"], train_limit=None)
    assert first.experiment == Experiment(
        model="s8", norms=("bn", "ln"), seeds=4, recipe="long", train_limit=500
    )
    assert other.name == "other"
    assert other.experiment.seeds == 2
    assert other.experiment.recipe == RECIPES["long"].model_copy(update={"epochs": 7})
    assert third.experiment.recipe == RECIPES["s8"]
    shorter = read_suite(path, ("max_lr=0.3",), epochs=2)
    assert [(s.experiment.recipe.epochs, s.experiment.recipe.max_lr) for s in shorter] == [
        (2, 0.3)
    ] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('norms = ["bn"]\n', r"write a table \[\[settings\]\] for every setting"),
        ("settings = 3\n", r"write a table \[\[settings\]\]"),
        ("settings = [3]\n", r"write a table \[\[settings\]\]"),
        ('[[settings]]\nnorms = ["bn"]\n', "setting 1: norms is for all settings; put it above"),
        ("[[settings]]\n[[settings]]\nname = 3\n", "setting 2: name = 3: should be a text"),
        ("[[settings]]\nfoo = 3\n", "setting 1: unknown key 'foo'; known: dataset, model"),
        ("[[settings]]\nseeds = 0\n", "setting 1: seeds = 0: should be"),
        ("seeds = \n", "is not valid TOML"),
    ],
)
def test_what_a_suite_file_may_not_say(text, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        read_suite(written(tmp_path, text))


def idx(values):
    """The bytes of an IDX file of uint8, as MNIST has them."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def test_the_example_is_read_and_planned(tmp_path, monkeypatch):
    """With images of the form of Fashion-MNIST where they are looked for; nothing is trained."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NORMSCOPE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, size in (("train", 400), ("t10k", 100)):
        images, labels = rng.integers(0, 256, (size, 28, 28)), np.arange(size) % 10
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels))
    planned = plan(read_suite(EXAMPLE, train_limit=300, test_limit=50), device="cpu")
    assert planned.folder == Path(
        "runs/suite-cifar100+fashion-mnist-resnet56+resnet110+mobilenetv2"
    )
    assert planned.norms == ("bn", "gn", "ln")
    assert list(planned.settings) == [
        "cifar100-resnet56", "cifar100-resnet110", "fashion-mnist-mobilenetv2"
    ]  # fmt: skip
    asked = [each.asked for each in planned.settings.values()]
    assert [(e.seeds, e.recipe.epochs, e.recipe.batch_size) for e in asked] == [
        (3, 60, 128), (3, 60, 64), (3, 30, 128)
    ]  # fmt: skip
    assert asked[2].images is not None
    assert not (tmp_path / "runs").exists()
