"""What the tests of CIFAR share: a data set of eight images, as a folder and as an archive."""

import pytest
from cifar_fakes import FOLDER, make_files, make_folder, make_layout, pack


@pytest.fixture
def files():
    return make_files()


@pytest.fixture
def layout(files):
    return make_layout(files)


@pytest.fixture
def folder(tmp_path, files):
    return make_folder(tmp_path / FOLDER, files)


@pytest.fixture
def archive(tmp_path, files):
    return pack(tmp_path / "cifar-10-python.tar.gz", files)
