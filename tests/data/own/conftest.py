"""What the tests of a user's own images share: a cache of their own, and a folder of photos."""

import pytest
from photo_fakes import make_splits


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Where the images that were read are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "normscope" / "data" / "images"


@pytest.fixture
def photos(tmp_path):
    """30 training and 12 test images of three classes, 48 x 40 pixels."""
    return make_splits(tmp_path / "photos")
