"""A recipe says everything, and what it said before it could say more is unchanged."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from normscope.experiment import RECIPES, Experiment, Recipe, Trial
from normscope.experiment.recipe import USUAL, in_a_word

S8 = RECIPES["s8"]
DOCS = Path(__file__).parents[2] / "docs"
RESULTS = DOCS / "results"
CHANGES = {
    "optimizer": "adamw",
    "min_momentum": 0.8,
    "max_momentum": 0.9,
    "weight_decay": 0.0005,
    "weight_decay_on": "weights",
    "l1": 0.001,
    "schedule": "linear",
    "augmentation": ["flip", "crop"],
    "label_smoothing": 0.1,
    "ema": 0.99,
    "dropout": 0.1,
}
IN_A_WORD = {**CHANGES, "augmentation": "flip,crop"}


def trial(recipe):
    return Trial(
        dataset="cifar10", train_limit=None, test_limit=None, model="s8", norm="bn", recipe=recipe,
        seed=0,
    )  # fmt: skip


def changed(**changes):
    return Recipe(**{**dict(S8), **changes})


def test_a_recipe_of_before_is_written_as_it_was_and_keeps_its_ids():
    assert S8.model_dump() == {
        "name": "s8", "epochs": 15, "batch_size": 512, "max_lr": 0.02, "precision": "fp32",
    }  # fmt: skip
    assert json.loads(S8.model_dump_json()) == S8.model_dump()
    assert Experiment(dataset="cifar10").model_dump()["recipe"] == S8.model_dump()
    # The oldest records do not name the precision.
    before = {"name": "s8", "epochs": 15, "batch_size": 512, "max_lr": 0.02}
    assert trial(before).id == trial(S8).id == "bn-seed0-96f145d91714"


@pytest.mark.parametrize("field", CHANGES)
def test_what_is_changed_is_written_read_and_named(field):
    recipe = changed(**{field: CHANGES[field]})
    written = json.loads(recipe.model_dump_json())
    assert written == {**S8.model_dump(), field: CHANGES[field]}
    assert Recipe.model_validate(written) == recipe
    assert trial(recipe).id != trial(S8).id
    name = f"{field.replace('_', '')}{IN_A_WORD[field]}".replace(",", "+")
    assert Experiment(dataset="cifar10", recipe=recipe).slug == f"cifar10-s8-s8-{name}"
    kept = Experiment(dataset="cifar10")
    difference = kept.difference_to(Experiment(dataset="cifar10", recipe=recipe))
    usual = "none" if field in ("augmentation", "ema", "dropout") else getattr(S8, field)
    assert difference == f"recipe.{field} {usual}, not {IN_A_WORD[field]}"


def test_every_field_is_described():
    """In a recipe in which all of them have a say."""
    full = {**CHANGES, "schedule": "one-cycle"}
    texts = {changed(**full).describe()}
    for field in {*full} - {"schedule"}:
        texts.add(changed(**{**full, field: USUAL[field]}).describe())
    texts.add(changed(**{**full, "schedule": "linear", "min_momentum": 0.9}).describe())
    texts.add(
        changed(**{**full, "schedule": "linear", "min_momentum": 0.9, "warmup": 0.1}).describe()
    )
    assert len(texts) == len(full) + 2
    assert {*CHANGES, "warmup"} == {*USUAL}


def test_stored_trials_are_found_under_the_ids_they_have():
    records = sorted((RESULTS / "cifar10-s8-s8" / "trials").glob("*/record.json"))
    assert len(records) > 20
    for record in records:
        written = json.loads(record.read_text(encoding="utf-8"))["trial"]
        read = Trial.model_validate(written)
        assert read.id == record.parent.name
        assert read.model_dump(exclude={"validation"}) == {
            **written, "recipe": {"precision": "fp32", **written["recipe"]}
        }  # fmt: skip
    assert RECIPES["quick"].model_dump() == {
        "name": "quick", "epochs": 3, "batch_size": 64, "max_lr": 0.1, "precision": "fp32",
    }  # fmt: skip


def test_no_choice_is_written_none_and_names_may_be_one_text():
    course = RECIPES["course"]
    assert Experiment(recipe={"name": "course", "augmentation": "none"}).recipe == (
        course.model_copy(update={"augmentation": ()})
    )
    assert changed(augmentation="none", ema="none", dropout="none") == S8
    assert changed(augmentation="flip, crop").augmentation == ("flip", "crop")
    experiment = Experiment(recipe={"name": "s8", "augmentation": ["flip"]})
    assert experiment.recipe.augmentation == ("flip",)
    assert experiment.slug == "shapes-s8-s8-augmentationflip"
    without = Experiment(recipe={"name": "course", "augmentation": "none"})
    assert without.slug == "shapes-s8-course-augmentationnone"


def test_a_recipe_with_a_name_of_its_own_names_all_that_is_not_usual():
    own = Experiment(recipe={"base": "s8", "name": "mine", "l1": 0.001, "ema": 0.9})
    assert own.recipe == changed(name="mine", l1=0.001, ema=0.9)
    assert own.slug == "shapes-s8-mine-epochs15-batchsize512-maxlr0.02-l10.001-ema0.9"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a/b"}, "without a slash"),
        ({"name": ""}, "should name a folder"),
        ({"optimizer": "adam"}, "'sgd', 'sgd-nesterov' or 'adamw'"),
        ({"schedule": "cosin"}, "'one-cycle', 'cosine', 'linear', 'constant' or 'step'"),
        ({"augmentation": "mixup"}, "'flip', 'crop' or 'cutout'"),
        ({"augmentation": "flip,flip"}, "names an augmentation twice"),
        ({"augmentation": 3}, "valid tuple"),
        ({"weight_decay_on": "norms"}, "'all' or 'weights'"),
        ({"l1": -1.0}, "greater than or equal to 0"),
        ({"ema": 1.0}, "less than 1"),
        ({"ema": 0.0}, "greater than 0"),
        ({"warmup": 1.0, "schedule": "cosine"}, "less than 1"),
        ({"warmup": 0.1}, "one-cycle has a warm-up of its own"),
        (
            {"min_momentum": 0.8, "schedule": "cosine"},
            "cosine keeps momentum at max_momentum, 0.95",
        ),
        ({"optimizer": "sgd-nesterov", "min_momentum": 0.0, "max_momentum": 0.0}, "above 0"),
        ({"weight_decay": -0.1}, "greater than or equal to 0"),
        ({"weight_decay": float("inf")}, "finite"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"max_momentum": 1.0}, "less than 1"),
        ({"min_momentum": 0.96}, r"min_momentum 0\.96 is above max_momentum 0\.95"),
    ],
    ids=str,
)
def test_what_is_not_implemented_or_makes_no_sense_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        changed(**changes)


def test_the_last_batch_of_an_epoch_may_be_smaller():
    assert S8.steps_per_epoch(50_000) == 98  # 97 of 512 images, and one of 336
    assert S8.steps_per_epoch(5_120) == 10
    assert S8.steps_per_epoch(5_121) == 11


def test_the_description_of_the_published_recipe():
    assert S8.describe() == (
        "15 epochs with batches of 512 images, precision fp32. SGD with OneCycleLR: the learning "
        "rate rises to 0.02 over the first 30 % of the steps and then falls to almost 0, while "
        "momentum falls from 0.95 to 0.85 and rises again. Cross entropy, no label smoothing, no "
        "weight decay, no augmentation."
    )


def test_momentum_that_stays_needs_no_other():
    assert changed(schedule="cosine", max_momentum=0.8).describe().count("momentum stays at 0.8")
    assert changed(schedule="cosine", max_momentum=0.8, min_momentum=0.8)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"schedule": "cosine", "optimizer": "adamw"},
            "AdamW with a cosine schedule: the learning rate falls from 0.02 along half a cosine "
            "to almost 0, while beta1 stays at 0.95.",
        ),
        (
            {"schedule": "linear", "warmup": 0.1, "optimizer": "sgd-nesterov"},
            "Nesterov SGD with a linear schedule: the learning rate rises in a straight line to "
            "0.02 over the first 10 % of the steps and then falls in a straight line to almost 0, "
            "while momentum stays at 0.95.",
        ),
        (
            {"schedule": "constant"},
            "SGD with a constant schedule: the learning rate stays at 0.02, while momentum stays "
            "at 0.95.",
        ),
        (
            {"schedule": "step"},
            "SGD with a step schedule: the learning rate starts at 0.02 and is divided by 10 after "
            "half and again after three quarters of the steps, while momentum stays at 0.95.",
        ),
        (
            {"weight_decay": 0.01, "weight_decay_on": "weights", "l1": 0.001, "ema": 0.99,
             "augmentation": ["crop", "flip", "cutout"]},
            "Cross entropy, no label smoothing, weight decay 0.01 (not on norms and biases), l1 "
            "penalty 0.001 (not on norms and biases), training images augmented (shifted by up to "
            "4 pixels, then half of them mirrored, then a square of 8x8 pixels cut out). What is "
            "tested and kept is an exponential moving average of the network, with decay 0.99 per "
            "step.",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_the_description_of_what_may_be_chosen(changes, sentence):
    assert sentence in changed(**changes).describe()


def test_the_description_of_another_recipe():
    other = changed(
        epochs=1, batch_size=2048, max_lr=0.1, precision="bf16", min_momentum=0.9,
        max_momentum=0.9, weight_decay=0.0005, label_smoothing=0.1,
    )  # fmt: skip
    assert other.describe() == (
        "1 epoch with batches of 2,048 images, precision bf16. SGD with OneCycleLR: the learning "
        "rate rises to 0.1 over the first 30 % of the steps and then falls to almost 0, while "
        "momentum stays at 0.9. Cross entropy, label smoothing 0.1, weight decay 0.0005, no "
        "augmentation."
    )


def test_the_document_shows_every_recipe_and_every_field_as_it_is():
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    for recipe in RECIPES.values():
        decay = f"{recipe.weight_decay:g} on {recipe.weight_decay_on}"
        cells = [
            f"`{recipe.name}`", recipe.epochs, recipe.batch_size, f"{recipe.max_lr:g}",
            recipe.optimizer, decay if recipe.weight_decay else "none",
            in_a_word(recipe.label_smoothing or None), in_a_word(recipe.augmentation),
        ]  # fmt: skip
        assert f"| {' | '.join(map(str, cells))} | " in text
        others = {
            "epochs", "batch_size", "max_lr", "optimizer", "weight_decay", "weight_decay_on",
            "label_smoothing", "augmentation", "name", "precision",
        }  # fmt: skip
        in_words = {"schedule", "warmup", "min_momentum", "max_momentum"}  # below the table
        below = in_words if recipe.name == "fast" else set()
        assert {key for key in recipe.model_dump() if key not in others} == below
    assert "All of them but `fast` use one-cycle" in text
    for field in Recipe.model_fields:
        default = in_a_word(USUAL[field]) if field in USUAL else ""
        assert f"\n| `{field}` | {default}" in text
