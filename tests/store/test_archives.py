"""The files in an archive of numpy's: what zipfile finds in it, or an error."""

import io
import zipfile

import numpy as np
import pytest

from normscope.files import Broken
from normscope.store.reading import expected_content
from normscope.store.records import _files_in

ARRAYS = {"classes": np.arange(40) % 10, "logits": np.zeros((40, 10), np.float16)}


def archive(save=np.savez_compressed):
    file = io.BytesIO()
    save(file, **ARRAYS)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez_compressed, np.savez])
def test_they_are_what_zipfile_finds(save):
    content = archive(save)
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        expected = {name: whole.read(name) for name in whole.namelist()}
    assert _files_in(content) == expected


def test_a_byte_that_changed_is_an_error_or_changes_nothing():
    content = archive(np.savez)
    expected, refused = _files_in(content), 0
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        try:
            with expected_content():
                found = _files_in(changed)
                assert all(found[name] == expected[name] for name in expected)
        except Broken:
            refused += 1
    assert refused > sum(map(len, expected.values()))  # all of the arrays at least
