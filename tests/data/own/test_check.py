"""Bad images among good ones: each is named with its kind, and no good one is."""

import io
import os
import shutil
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from photo_fakes import CLASSES, kinds_found, make_splits, open_all, photo, save
from PIL import Image

from normscope.data.own import KINDS, inspect, open_images
from normscope.data.own.problems import Findings, printable
from normscope.errors import UsageError


def png_header(width, height):
    """The first bytes of a PNG that claims this size, and nothing of its pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + crc + b"\0\0\0\0IDAT"


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def cut(image, kind):
    content = encoded(image, kind)
    return content[: len(content) // 2]


def add_bad(root, outside):
    """Put bad things of most kinds among the good ones: by path, the kinds they are of."""
    large = photo(9000, 200, 150)
    files = {
        "train/cat/empty.jpg": (b"", "empty"),
        "test/owl/empty.png": (b"", "empty"),
        "train/cat/text.jpg": (b"this is no picture", "unreadable"),
        "train/dog/page.png": (b"<!DOCTYPE html><p>404", "unreadable"),
        "train/dog/pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "unreadable"),
        "train/owl/cut.jpg": (cut(large, "JPEG"), "truncated"),
        "train/owl/cut.png": (cut(large, "PNG"), "truncated"),
        "test/dog/cut.bmp": (cut(large, "BMP"), "truncated"),
        "test/dog/cut.tif": (cut(large, "TIFF"), "truncated"),
        "train/cat/bomb.png": (png_header(60_000, 60_000), "bomb"),
        "train/cat/large.png": (png_header(10_001, 10_000), "bomb"),
        "train/dog/dot.png": (encoded(photo(1, 7, 7), "PNG"), "tiny"),
        "train/dog/line.jpg": (encoded(photo(1, 90, 4), "JPEG"), "tiny"),
        "train/owl/black.jpg": (encoded(Image.new("RGB", (40, 40)), "JPEG"), "blank"),
        "test/cat/white.png": (encoded(Image.new("L", (40, 40), 255), "PNG"), "blank"),
        "train/cat/phone.heic": (b"\0\0\0\x18ftypheic", "unsupported"),
        "train/cat/logo.svg": (b"<svg/>", "unsupported"),
        "train/cat/notes.txt": (b"to be sorted", "other_file"),
        "README.md": (b"my photographs", "other_file"),
        "train/owl/named.png": (encoded(photo(9001), "JPEG"), "wrong_name"),
        "test/owl/named.jpg": (encoded(photo(9002), "GIF"), "wrong_name"),
        "train/.DS_Store": (b"Bud1", "litter"),
        "train/cat/Thumbs.db": (b"\xd0\xcf", "litter"),
        "train/cat/._000.png": (b"\0\5\x16\7", "litter"),
        "train/loose.jpg": (encoded(photo(9003), "JPEG"), "loose"),
        "train/dog/more/inner.jpg": (encoded(photo(9004), "JPEG"), None),
        "train/fox/empty.jpg": (b"", "empty"),
        "test/elk/000.png": (encoded(photo(9005), "PNG"), None),
    }
    for path, (content, _) in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "train/owl/gone.jpg").symlink_to("nowhere.jpg")
    (root / "train/owl/escape.jpg").symlink_to(save(photo(9006), outside / "other.jpg"))
    os.mkfifo(root / "train/cat/pipe.jpg")
    shutil.copy(root / "test/cat/000.png", root / "train/cat/leak.png")
    shutil.copy(root / "train/dog/001.png", root / "train/owl/again.png")
    shutil.copy(root / "train/dog/002.png", root / "train/dog/twice.png")
    save(Image.open(root / "test/dog/003.png"), root / "train/dog/near.jpg", quality=60)
    save(Image.open(root / "train/owl/004.png").resize((96, 80)), root / "train/owl/near.png")
    save(photo(9007), root / "train/yak/only.png")
    return {path: [kind] for path, (_, kind) in files.items() if kind} | {
        "train/dog/more/": ["nested"],
        "train/owl/gone.jpg": ["broken_link"],
        "train/owl/escape.jpg": ["outside"],
        "train/cat/pipe.jpg": ["unreadable"],
        "train/cat/leak.png": ["twin_across"],
        "train/owl/again.png": ["twin", "twin_labels"],
        "train/dog/twice.png": ["twin"],
        "train/dog/near.jpg": ["near_across"],
        "train/owl/near.png": ["near"],
        "fox": ["empty_class"],
        "elk": ["untrained"],
        "yak": ["untested", "imbalance"],
    }


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """201 good images, the bad ones among them, and what they are."""
    root = make_splits(tmp_path_factory.mktemp("mixed") / "photos", train=50, test=17)
    bad = add_bad(root, tmp_path_factory.mktemp("elsewhere"))
    return root, bad


def test_every_bad_thing_is_named_with_its_kind_and_no_good_one_is(mixed):
    root, bad = mixed
    assert len(bad) >= 30
    assert len({kind for kinds in bad.values() for kind in kinds}) >= 15
    found = {path: sorted(kinds) for path, kinds in kinds_found(inspect(root)).items()}
    assert found == {path: sorted(kinds) for path, kinds in bad.items()}


def test_bad_images_stop_with_the_first_ones_and_a_way_out(mixed):
    root, bad = mixed
    with pytest.raises(UsageError, match="--skip-bad leaves such images out") as refused:
        open_images(root)
    errors = sum(KINDS[kinds[0]].severity == "error" for kinds in bad.values())
    assert f"{errors} errors (test/owl/empty.png: empty files (0 bytes); " in str(refused.value)


def test_skip_bad_leaves_out_what_is_bad_and_nothing_else(mixed):
    root, _ = mixed
    opened = open_images(root, skip_bad=True)
    dataset = open_all(opened)
    assert dataset.class_names == ("cat", "dog", "owl", "yak")
    # Of each class 50; owl has two, dog two and yak one more that are usable.
    # The training copy of a test image is not among them.
    usable = {"cat": 50, "dog": 50 + len(["twice", "near"]), "owl": 50 + 3, "yak": 1}
    counts = np.bincount(dataset.train_labels).tolist()
    assert dict(zip(dataset.class_names, counts, strict=True)) == usable
    assert np.bincount(dataset.test_labels).tolist() == [17, 17, 18]


def test_a_bomb_is_refused_from_its_header(tmp_path, photos):
    (photos / "train/cat/bomb.png").write_bytes(png_header(60_000, 60_000))
    start = time.process_time()
    findings = inspect(photos, image_size=32)
    assert time.process_time() - start < 20  # decoding it would take minutes and 10 GB
    assert [str(each) for each in findings.found["bomb"]] == ["train/cat/bomb.png"]
    (photos / "train/cat/bomb.png").write_bytes(png_header(10_001, 10_000))
    said = "train/cat/bomb.png (10001 x 10000 pixels)"
    assert [str(each) for each in inspect(photos).found["bomb"]] == [said]


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_damage_of_any_kind_is_told_or_harmless(photos, kind, capfd):
    """Bytes changed at random: no decoder's error, warning or log line gets through."""
    rng = np.random.default_rng(0)
    content = save(photo(1), photos / f"whole.{kind}").read_bytes()
    for number in range(120):
        damaged = bytearray(content)
        for place in rng.integers(0, 200 if number % 2 else len(content), 4):
            damaged[place] = rng.integers(0, 256)
        (photos / f"train/cat/damaged{number:03}.{kind}").write_bytes(damaged)
    findings = inspect(photos, image_size=32)
    bad = [path for path in kinds_found(findings) if "damaged" in path]
    assert bad
    assert all(path.startswith("train/cat/damaged") for path in bad)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_named(photos):
    (photos / "train/cat/000.png").chmod(0)
    (photos / "train/dog").chmod(0)
    found = kinds_found(inspect(photos))
    (photos / "train/dog").chmod(0o700)
    assert found["train/cat/000.png"] == found["train/dog/"] == ["denied"]


def test_what_the_system_denies_is_named(photos, monkeypatch):
    """The same where the tests run as a user who may read everything."""
    denied = {os.fspath(photos / "train/dog"), os.fspath(photos / "train/cat/000.png")}
    scan, opened = os.scandir, Path.open

    def refuse(path):
        if os.fspath(path) in denied:
            raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) or scan(path))
    monkeypatch.setattr(Path, "open", lambda path, *a, **k: refuse(path) or opened(path, *a, **k))
    found = kinds_found(inspect(photos, image_size=32))
    assert found["train/cat/000.png"] == found["train/dog/"] == ["denied"]


def test_a_class_of_very_few_is_told(tmp_path):
    make_splits(tmp_path / "p", train=30, classes=CLASSES[:2])
    save(photo(700), tmp_path / "p/train/owl/0.png")
    save(photo(701), tmp_path / "p/test/owl/0.png")
    (told,) = inspect(tmp_path / "p").found["imbalance"]
    assert told == ("owl", "1 training image; cat has 30")


@pytest.mark.parametrize(
    ("classes", "reason"),
    [(("cat",), r"there is one class \(cat\), and telling apart takes two"), ((), "no training")],
)
def test_what_cannot_be_trained_on_is_refused_even_without_the_bad(tmp_path, classes, reason):
    make_splits(tmp_path / "p", classes=classes)
    for split in ("train", "test"):
        (tmp_path / "p" / split / "bad").mkdir(parents=True)
        (tmp_path / "p" / split / "bad/0.png").write_bytes(b"")
    with pytest.raises(UsageError, match=reason):
        open_images(tmp_path / "p", skip_bad=True)


def test_findings_survive_as_plain_values(mixed):
    findings = inspect(mixed[0])
    assert Findings.from_dict(findings.as_dict()) == findings


def test_names_that_would_upset_a_terminal_are_shown_with_escapes():
    assert printable("a\x1b[31m\n\udc80.png") == "a\\x1b[31m\\n\\udc80.png"
