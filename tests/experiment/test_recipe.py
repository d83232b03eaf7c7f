"""A recipe says everything, and what it said before it could say more is unchanged."""

import json

import pytest
from pydantic import ValidationError

from normscope.experiment import RECIPES, Experiment, Recipe, Trial

S8 = RECIPES["s8"]
CHANGES = {
    "min_momentum": 0.8,
    "max_momentum": 0.9,
    "weight_decay": 0.0005,
    "label_smoothing": 0.1,
}


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
    name = f"{field.replace('_', '')}{CHANGES[field]}"
    assert Experiment(dataset="cifar10", recipe=recipe).slug == f"cifar10-s8-s8-{name}"
    assert recipe.describe() != S8.describe()
    kept = Experiment(dataset="cifar10")
    difference = kept.difference_to(Experiment(dataset="cifar10", recipe=recipe))
    assert difference == f"recipe.{field} {getattr(S8, field)}, not {CHANGES[field]}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "adam"}, "'sgd'"),
        ({"schedule": "cosine"}, "'one-cycle'"),
        ({"augmentation": "flip"}, "'none'"),
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
