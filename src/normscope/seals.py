"""Seals: what tells whether a file still says what was written into it.

The last key of a JSON file is its seal: the folder's format, check sums of files beside it, which
experiment it is of, where each has a file of that name, and the SHA-256 of all that is before.
Other files end with a line that holds the SHA-256 of their name in the folder and of their content;
readers of pictures and of numpy's archives pass over it. A seal finds what a disk, a copy or a hand
has changed. It is no signature: whoever writes a file anew can seal it anew.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from normscope.files import Broken

FORMAT = 2  # of folders; those of format 1 have no seals

_KEY = b'\n  "seal": '
_LINE = re.compile(rb"\nnormscope sha256 ([0-9a-f]{64})\n\Z")
_LINE_LENGTH = len(b"\nnormscope sha256 \n") + 64


def sha256(*parts: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def seal_text(text: str, about: Mapping[str, Any] | None = None) -> bytes:
    """A JSON object as the bytes of a file, with a seal that also holds what is told `about` it."""
    body = text.rstrip().removesuffix("}").rstrip()
    head = f"{body}{'' if body == '{' else ','}".encode()
    return _sealed(head, {"format": FORMAT, **(about or {})})


def _sealed(head: bytes, told: Mapping[str, Any]) -> bytes:
    seal = {**told, "sha256": sha256(head, json.dumps(told).encode())}
    return head + _KEY + json.dumps(seal).encode() + b"\n}\n"


def open_text(content: bytes) -> tuple[bytes, dict[str, Any] | None]:
    """The JSON object in a file without its seal, and what the seal tells; None if it has none.

    Raises `Broken` if the file is not what was sealed, or was sealed in a later format.
    """
    content = content.replace(b"\r\n", b"\n")  # as a copy for Windows may write it
    head, key, tail = content.rpartition(_KEY)
    if not key:
        return content, None
    try:
        told = json.loads(tail.rstrip().removesuffix(b"}"))
        del told["sha256"]
        form = told["format"]
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise Broken("its seal is broken") from error
    if content != _sealed(head, told):
        raise Broken("it is not what was written")
    if form != FORMAT:
        raise Broken(f"it was written in folder format {form}; this normscope reads 1 to {FORMAT}")
    return head.removesuffix(b",") + b"\n}", told


def seal_bytes(content: bytes, name: str) -> bytes:
    """The content of a file that is called `name` in its folder, with its seal as a last line."""
    return content + f"\nnormscope sha256 {sha256(name.encode(), content)}\n".encode()


def open_bytes(content: bytes, name: str) -> tuple[bytes, bool]:
    """The content of a file without its seal, and whether it had one.

    Raises `Broken` if the file is not what was sealed under that name.
    """
    seal = _LINE.search(content, max(0, len(content) - _LINE_LENGTH))
    if not seal:
        return content, False
    inside = content[: seal.start()]
    if sha256(name.encode(), inside) != seal[1].decode():
        raise Broken("it is not what was written")
    return inside, True
