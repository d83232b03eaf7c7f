import numpy as np
import pytest
from html_parts import Parts
from pydantic import ValidationError

from normscope.errors import UsageError
from normscope.experiment import RECIPES, Design, Experiment, Predictions, Recipe, Trial
from normscope.experiment.plan import plan
from normscope.experiment.reading import read_experiment


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


# -- defaults and overrides ----------------------------------------------------------------------


def test_defaults_depend_on_the_data_set():
    shapes, cifar = Experiment(), Experiment(dataset="cifar10")
    assert (shapes.recipe, shapes.seeds) == (RECIPES["quick"], 5)
    assert (cifar.recipe, cifar.seeds) == (RECIPES["s8"], 3)
    assert shapes.norms == ("bn", "gn", "ln")
    assert shapes.baseline == "bn"


def test_the_s8_recipe_is_the_published_one():
    assert RECIPES["s8"] == Recipe(name="s8", epochs=15, batch_size=512, max_lr=0.02)


def test_options_change_the_recipe_and_keep_the_rest():
    recipe = read_experiment(dataset="cifar10", epochs=2, batch_size=None).recipe
    assert recipe == RECIPES["s8"].model_copy(update={"epochs": 2})


@pytest.mark.parametrize(
    "recipe", ['recipe = "s8"', '[recipe]\nname = "s8"', 'recipe = {name = "s8", epochs = 15}']
)
def test_a_file_names_a_recipe_or_changes_one(tmp_path, recipe):
    path = write(tmp_path / "e.toml", f'seeds = 2\nnorms = ["ln", "bn"]\n{recipe}\n')
    experiment = read_experiment(path)
    assert experiment.recipe == RECIPES["s8"]
    assert experiment.norms == ("ln", "bn")


def test_options_go_before_the_file(tmp_path):
    path = write(
        tmp_path / "e.toml", 'seeds = 2\nrecipe = {name = "s8", epochs = 4, max_lr = 0.5}\n'
    )
    experiment = read_experiment(path, seeds=7, batch_size=32)
    expected = RECIPES["s8"].model_copy(update={"epochs": 4, "max_lr": 0.5, "batch_size": 32})
    assert (experiment.seeds, experiment.recipe) == (7, expected)


def test_another_recipe_on_the_command_line_replaces_the_files(tmp_path):
    path = write(tmp_path / "e.toml", 'recipe = {name = "s8", epochs = 4}\n')
    assert read_experiment(path, recipe="quick").recipe == RECIPES["quick"]


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'; known: dataset, model, norms, recipe"),
        ("[recipe]\nlr = 3", "unknown key 'recipe.lr'; known: name, epochs, batch_size, max_lr"),
        ('seeds = "3"', "seeds = '3': should be a valid integer"),
        ("seeds = true", "seeds = True: should be a valid integer"),
        ("seeds = []", "seeds = []: names no seed"),
        ("seeds = 0", "seeds = 0: should be greater than or equal to 1"),
        ("dataset = 5", "dataset = 5: should be a valid string"),
        ("norms = []", "norms"),
        ('norms = ["bn", "bn"]', "names a norm twice"),
        ("batch_sizes = [8, 8]", "batch_sizes = [8, 8]: names a batch size twice"),
        ("batch_sizes = []", "batch_sizes = []: names no batch size"),
        ('norms = "bn"', "norms = 'bn': should be a list"),
        ('norms = ["bn", ""]', "holds an empty name"),
        ('recipe = {name = ""}', "unknown recipe ''; known: s8, quick"),
        ('recipe = {max_lr = "0.1"}', "recipe.max_lr = '0.1': should be a valid number"),
        ("recipe = {max_lr = true}", "recipe.max_lr = True: should be a valid number"),
        ("recipe = {max_lr = inf}", "recipe.max_lr = inf: should be a finite number"),
        ("seeds = 1000000000", "seeds = 1000000000: should be less than or equal to"),
        ('recipe = "s9"', "unknown recipe 's9'; known: s8, quick"),
        ("recipe = 5", "recipe"),
        ("[recipe]\nmax_lr = 0", "recipe.max_lr = 0"),
        ("seeds = ", "not valid TOML"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, text, message):
    with pytest.raises(UsageError) as caught:
        read_experiment(write(tmp_path / "e.toml", text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the config file .*No such file"):
        read_experiment(tmp_path / "none.toml")


def test_a_file_may_begin_with_the_mark_of_notepad(tmp_path):
    (tmp_path / "e.toml").write_bytes(b"\xef\xbb\xbfseeds = 2\r\n")
    assert read_experiment(tmp_path / "e.toml").seeds == 2


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "e.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_experiment(tmp_path / "e.toml")


@pytest.mark.parametrize("option", ["epochs", "batch_size", "seeds", "train_limit", "test_limit"])
@pytest.mark.parametrize("value", [0, -1])
def test_counts_are_positive(option, value):
    with pytest.raises(
        UsageError, match=f"--{option.replace('_', '-')} {value}: .* greater than or equal to 1"
    ):
        read_experiment(**{option: value})


def test_values_are_frozen():
    with pytest.raises(ValidationError):
        Experiment().seeds = 4


# -- names and ids -------------------------------------------------------------------------------


def test_the_folder_names_what_differs_from_the_recipe():
    assert Experiment(dataset="cifar10").slug == "cifar10-s8-s8"
    experiment = read_experiment(epochs=2, batch_size=32, train_limit=1000, test_limit=50)
    assert experiment.slug == "shapes-s8-quick-epochs2-batchsize32-train1000-test50"


def trial(**changes):
    values = {"dataset": "cifar10", "train_limit": None, "test_limit": None, "model": "s8",
              "norm": "bn", "recipe": RECIPES["s8"], "seed": 0}  # fmt: skip
    return Trial(**{**values, **changes})


def test_an_id_is_stable_between_versions():
    # A change here orphans every stored result: raise RESULT_FORMAT if it is meant.
    assert trial().id == "bn-seed0-96f145d91714"


def test_a_trial_that_was_asked_for_its_id_does_not_lend_it_to_its_copies():
    trial = plan(Experiment(seeds=1))[0]
    asked = trial.id
    other = trial.model_copy(update={"seed": 7})
    assert "-seed7-" in other.id
    assert other.id == trial.model_validate(other.model_dump()).id
    assert trial.id == asked
    assert trial == plan(Experiment(seeds=1))[0]  # one that was never asked


def test_whatever_can_change_a_result_changes_the_id():
    changes = [
        {},
        {"dataset": "shapes"},
        {"train_limit": 100},
        {"test_limit": 100},
        {"model": "s8-gap"},
        {"norm": "gn"},
        {"seed": 1},
        {"recipe": RECIPES["s8"].model_copy(update={"precision": "bf16"})},
        *({"recipe": RECIPES["s8"].model_copy(update=u)} for u in (
            {"epochs": 14}, {"batch_size": 256}, {"max_lr": 0.03})),
    ]  # fmt: skip
    assert len({trial(**change).id for change in changes}) == len(changes)


def test_confidences_are_softmax_probabilities():
    logits = np.array([[1.0, 2.0, 0.5], [60000.0, -60000.0, 0.0]], dtype=np.float16)
    confidences = Predictions(np.array([1, 0]), logits).confidences()
    first = np.exp(2.0) / np.exp([1.0, 2.0, 0.5]).sum()
    np.testing.assert_allclose(confidences, [first, 1.0])


@pytest.mark.parametrize(
    ("levels", "words"),
    [((), "names no level"), ((60.0, 60.0), "names a level twice"),
     ((0.6,), "in percent: 60, not 0.6"), ((0.0,), "greater than 0"),
     ((100.0,), "less than 100")],
)  # fmt: skip
def test_levels_lie_within_the_possible_accuracies(levels, words):
    with pytest.raises(ValidationError, match=words):
        Design(levels_percent=levels)


def test_a_wrong_batch_size_is_told_once():
    with pytest.raises(UsageError) as told:
        read_experiment(batch_sizes=(0,))
    assert str(told.value) == "--batch-sizes 0: should be greater than or equal to 1"


def test_own_seeds_are_counted_and_kept():
    own = read_experiment(seeds=(1, 7, 13))
    assert (own.seeds, own.own_seeds, own.seed_numbers) == (3, (1, 7, 13), (1, 7, 13))
    assert Experiment(seeds=[1, 7, 13]) == own
    assert Experiment.model_validate_json(own.model_dump_json()) == own
    assert sorted({trial.seed for trial in plan(own)}) == [1, 7, 13]
    assert own.with_seeds(2).seed_numbers == (1, 7)
    assert own.with_seeds(5).seed_numbers == (1, 7, 13, 0, 2)


def test_without_own_seeds_a_file_looks_as_before():
    assert "own_seeds" not in read_experiment(seeds=3).model_dump_json()
    assert Experiment(seeds=(0, 1, 2)).with_seeds(3) == Experiment(seeds=3)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [((1, 1), "names a seed twice"), ((), "names no seed"), ((-1,), "--seeds -1")],
)
def test_own_seeds_that_cannot_be(seeds, words):
    with pytest.raises(UsageError, match=words):
        read_experiment(seeds=seeds)


def test_own_seeds_extend_a_folder():
    kept = Experiment(seeds=[1, 7])
    assert kept.extended_by(Experiment()).seed_numbers == (1, 7)  # nobody named another
    assert kept.extended_by(Experiment(seeds=[7, 9])).seed_numbers == (1, 7, 9)
    assert kept.extended_by(Experiment(seeds=2)).seed_numbers == (1, 7, 0)
    assert Experiment(seeds=2).extended_by(Experiment(seeds=[3])).seed_numbers == (0, 1, 3)
    assert Experiment(seeds=2).extended_by(Experiment(seeds=[2])).own_seeds == ()


def test_one_rule_for_another_batch_size():
    """The learning rate is scaled with it, however it is named; `max_lr` overrides."""
    by_option = read_experiment(dataset="shapes", batch_size=16)
    by_sizes = read_experiment(dataset="shapes", batch_sizes=(16,))
    assert by_option.recipe.max_lr == by_sizes.recipe_for(16).max_lr == 0.1 * 16 / 64
    assert Experiment(recipe={"name": "quick", "batch_size": 16}).recipe == by_option.recipe
    assert read_experiment(batch_size=16, max_lr=0.1).recipe.max_lr == 0.1
    assert by_option.slug == "shapes-s8-quick-batchsize16"
    assert read_experiment(batch_size=16, max_lr=0.1).slug == (
        "shapes-s8-quick-batchsize16-maxlr0.1"
    )


def test_a_wrong_value_is_one_error():
    """The defaults that would follow from it are not wrong as well."""
    with pytest.raises(ValidationError) as caught:
        Experiment(model=Experiment)
    assert len(caught.value.errors()) == 1
    with pytest.raises(ValidationError) as caught:
        Experiment(dataset=3)
    assert [error["loc"] for error in caught.value.errors()] == [("dataset",)]


def test_a_recipe_that_differs_in_any_field_is_another_experiment():
    usual = Experiment()
    decayed = Experiment(recipe={"name": "quick", "weight_decay": 0.01})
    for mine, other in ((usual, decayed), (decayed, usual)):
        assert mine.difference_to(other).startswith("recipe.weight_decay ")
    assert usual.difference_to(Experiment(norms=("ln",), seeds=9)) == ""


def test_seeds_of_its_own_are_given_as_seeds():
    for seeds in ({"seeds": 5, "own_seeds": (1, 7)}, {"own_seeds": (1, 7)}):
        with pytest.raises(ValidationError, match="give seeds of your own as the list"):
            Experiment(**seeds)
    assert Experiment(seeds=[0, 1, 2]) == Experiment(seeds=range(3)) == Experiment(seeds=3)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, "dataset='shapes', norms=('bn', 'gn', 'ln'), seeds=5"),
        (
            {"dataset": "cifar10", "norms": ("bn",), "seeds": [1, 7]},
            "dataset='cifar10', norms=('bn',), seeds=(1, 7)",
        ),
        (
            {"norms": ("bn",), "recipe": "s8", "seeds": 2, "model": "s8-gap"},
            "dataset='shapes', model='s8-gap', norms=('bn',), recipe='s8', seeds=2",
        ),
        (
            {"norms": ("bn",), "recipe": {"batch_size": 16}, "train_limit": 100},
            "dataset='shapes', norms=('bn',), recipe={'name': 'quick', 'batch_size': 16}, "
            "seeds=5, train_limit=100",
        ),
        (
            {"norms": ("bn",), "recipe": {"base": "s8", "name": "mine", "epochs": 3}},
            "dataset='shapes', norms=('bn',), "
            "recipe=Recipe(name='mine', epochs=3, batch_size=512, max_lr=0.02), seeds=5",
        ),
        (
            {"dataset": "photos", "norms": ("bn",), "folds": 5, "image_size": 48},
            "dataset='photos', norms=('bn',), folds=5, seeds=5, image_size=48",
        ),
        (
            {"norms": ("bn",), "batch_sizes": (8, 32), "protocol": "tuned"},
            "dataset='shapes', norms=('bn',), seeds=5, batch_sizes=(8, 32), protocol='tuned'",
        ),
    ],
)
def test_it_is_shown_by_what_makes_the_same_experiment(asked, shown):
    experiment = Experiment(**asked)
    assert repr(experiment) == f"Experiment({shown})"
    assert eval(repr(experiment), {"Experiment": Experiment, "Recipe": Recipe}) == experiment


def test_a_notebook_shows_names_in_full_and_what_the_recipe_does():
    experiment = Experiment(norms=("bn", "gn:groups=2", "<b>b"), recipe={"epochs": 4}, seeds=[1, 7])
    texts = Parts(experiment._repr_html_()).texts
    rows = dict(zip(texts[1::2], texts[2::2], strict=True))
    assert rows["norms"] == "bn: BatchNorm; gn:groups=2: GroupNorm (groups 2); <b>b"
    assert rows["recipe"].startswith("quick: 4 epochs with batches of 64 images")
    assert (rows["dataset"], rows["model"], rows["seeds"]) == ("shapes", "s8", "1, 7")
