"""A `Dataset` between processes: arrays as bytes, memory maps as the names of their files."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from normscope.data import load_dataset


@pytest.fixture
def mapped(tmp_path):
    """The first images of `shapes`, those of the training set as a memory map of a file."""
    dataset = load_dataset("shapes", train_limit=200, test_limit=20)
    np.save(tmp_path / "images.npy", dataset.train_images)
    images = np.load(tmp_path / "images.npy", mmap_mode="c")
    return dataset, replace(dataset, train_images=images)


def test_arrays_in_memory_are_pickled_as_they_are(shapes):
    again = pickle.loads(pickle.dumps(shapes))  # noqa: S301 - ours
    assert again.facts() == shapes.facts()


def test_a_memory_map_is_pickled_as_the_name_of_its_file(mapped):
    dataset, travelling = mapped
    packed = pickle.dumps(travelling)
    assert len(packed) < dataset.test_images.nbytes + 10_000
    again = pickle.loads(packed)  # noqa: S301 - ours
    assert isinstance(again.train_images, np.memmap)
    assert again.facts() == dataset.facts()


@pytest.mark.parametrize("part", [slice(None, 50), slice(30, 60), slice(199, None)])
def test_a_part_of_a_memory_map_is_found_at_its_place(mapped, part):
    dataset, travelling = mapped
    cut = replace(travelling, train_images=travelling.train_images[part])
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(cut))))  # noqa: S301 - ours
    assert isinstance(again.train_images, np.memmap)
    np.testing.assert_array_equal(again.train_images, dataset.train_images[part])


@pytest.mark.parametrize("part", [slice(None, None, 2), slice(None, 0)])
def test_what_is_no_piece_of_the_file_travels_as_bytes(mapped, part):
    dataset, travelling = mapped
    cut = replace(travelling, train_images=travelling.train_images[part])
    again = pickle.loads(pickle.dumps(cut))  # noqa: S301 - ours
    np.testing.assert_array_equal(again.train_images, dataset.train_images[part])


def test_by_content_a_memory_map_needs_no_file_where_it_arrives(mapped, tmp_path):
    dataset, travelling = mapped
    packed = pickle.dumps(travelling.by_content())
    (tmp_path / "images.npy").unlink()
    assert pickle.loads(packed).facts() == dataset.facts()  # noqa: S301 - ours


def test_torch_takes_the_map_without_a_copy_or_a_warning(mapped):
    again = pickle.loads(pickle.dumps(mapped[1]))  # noqa: S301 - ours
    tensor = torch.from_numpy(again.train_images)
    assert tensor.data_ptr() == again.train_images.__array_interface__["data"][0]
    tensor[0] = 0  # in memory alone
    assert mapped[1].train_images[0].any()
