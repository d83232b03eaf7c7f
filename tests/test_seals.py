"""Seals: a file says whether it still is what was written."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from normscope.files import Broken
from normscope.seals import open_bytes, open_text, seal_bytes, seal_text

TEXT = '{\n  "a": 1.5,\n  "b": [\n    "x"\n  ]\n}'


@pytest.mark.parametrize("text", [TEXT, "{}", '{"a": {"b": 1}}', '{"a": "}\\n  \\"seal\\": {}"}'])
def test_a_sealed_text_is_json_with_one_more_key(text):
    content = seal_text(text, {"files": {"x.npz": "00"}})
    values = json.loads(content)
    seal = values.pop("seal")
    assert values == json.loads(text)
    assert seal["format"] == 2
    inside, told = open_text(content)
    assert json.loads(inside) == json.loads(text)
    assert told == {"format": 2, "files": {"x.npz": "00"}}


def test_the_seal_of_a_text_is_a_sha256_of_all_before_it():
    content = seal_text('{\n  "a": 1\n}')
    told = b'{"format": 2}'
    digest = hashlib.sha256(b'{\n  "a": 1,' + told).hexdigest()
    assert json.loads(content)["seal"]["sha256"] == digest


def test_every_bit_of_a_sealed_text_counts():
    """A seal that is no longer found makes another key of it, which no reader accepts."""
    content = seal_text(TEXT)
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            _, told = open_text(bytes(changed))
        except Broken:
            continue
        assert told is None


def test_line_ends_of_windows_are_no_damage():
    content = seal_text(TEXT)
    assert open_text(content.replace(b"\n", b"\r\n")) == open_text(content)


def test_a_text_without_a_seal_is_given_back():
    assert open_text(TEXT.encode()) == (TEXT.encode(), None)


def test_a_later_format_is_told():
    told = {"format": 3}
    head = b'{\n  "a": 1,'
    seal = {**told, "sha256": hashlib.sha256(head + json.dumps(told).encode()).hexdigest()}
    content = head + b'\n  "seal": ' + json.dumps(seal).encode() + b"\n}\n"
    with pytest.raises(Broken, match="folder format 3; this normscope reads 1 to 2"):
        open_text(content)


def test_other_files_have_a_seal_that_their_readers_pass_over():
    array, picture, archive = np.arange(12), io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture, format="png")
    np.savez_compressed(archive, array=array)
    with Image.open(io.BytesIO(seal_bytes(picture.getvalue(), "a.png"))) as image:
        assert image.convert("RGB").size == (4, 4)
    with np.load(io.BytesIO(seal_bytes(archive.getvalue(), "a.npz"))) as arrays:
        np.testing.assert_array_equal(arrays["array"], array)


def test_every_bit_of_another_file_counts_and_its_name():
    content = seal_bytes(b"content", "pictures/1.png")
    assert open_bytes(content, "pictures/1.png") == (b"content", True)
    assert open_bytes(b"content", "pictures/1.png") == (b"content", False)
    with pytest.raises(Broken):
        open_bytes(content, "pictures/2.png")
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert not open_bytes(bytes(changed), "pictures/1.png")[1]
        except Broken:
            continue
