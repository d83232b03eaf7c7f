"""What a folder says of its data set: images per class, and what guessing scores."""

import json

import pytest
from report_fakes import make_facts

from normscope.experiment import DatasetFacts


def counted(train, test):
    names = "abcdefghij"[: len(train)]
    return make_facts(class_names=names, train_size=sum(train), test_size=sum(test)).model_copy(
        update={"train_counts": tuple(train), "test_counts": tuple(test)}
    )


@pytest.mark.parametrize(
    ("train", "test", "percent"),
    [
        ((300, 100, 20), (150, 50, 10), 100 * 150 / 210),
        ((300, 100, 20), (10, 10, 10), 100 / 3),
        ((20, 100, 300), (150, 50, 10), 100 * 10 / 210),  # what is frequent in training counts
        ((300, 300, 20), (60, 40, 100), 25.0),  # 30 % and 20 %
    ],
)
def test_guessing_answers_with_the_largest_training_class(train, test, percent):
    assert counted(train, test).chance_percent == pytest.approx(percent)


@pytest.mark.parametrize("classes", range(2, 11))
@pytest.mark.parametrize("test", [(7,) * 10, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
def test_with_equally_frequent_training_classes_guessing_is_as_it_was(classes, test):
    """To the bit, whatever the test images are, and where nothing was counted."""
    found = counted((5000,) * classes, test[:classes])
    old = make_facts(class_names="abcdefghij"[:classes])
    assert found.chance_percent == 100 / classes == old.chance_percent


def test_counts_are_kept_and_what_was_not_counted_is_not_written():
    new, old = counted((300, 20), (150, 10)), make_facts()
    assert DatasetFacts.model_validate_json(new.model_dump_json()) == new
    assert json.loads(new.model_dump_json())["train_counts"] == [300, 20]
    fields = [*DatasetFacts.model_fields]
    assert fields[-4:] == ["train_counts", "test_counts", "mean", "std"]
    assert [*json.loads(old.model_dump_json())] == fields[:-4]
    text = old.model_dump_json(indent=2)
    assert DatasetFacts.model_validate_json(text).model_dump_json(indent=2) == text
