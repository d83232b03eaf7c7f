"""`normscope data check` as a user types it: the table, the verdict, JSON and exit codes."""

import json

import pytest
from photo_fakes import make_splits, save

PHOTOS_SAID = """\
Recognised as a folder per class under train/ and test/.
Images are read as 32x32 pixels: the shorter side is 40 pixels long (another:
--image-size).
30 training and 12 test images in 3 classes.
42 images were not square and lost their margins to a square in the middle.
"""


@pytest.fixture
def photos(tmp_path):
    return make_splits(tmp_path / "photos")


@pytest.fixture
def bad(photos):
    """The same with seven empty files and a note."""
    for number in range(7):
        (photos / f"train/cat/empty{number}.jpg").write_bytes(b"")
    (photos / "train/dog/notes.txt").write_text("to be sorted")
    return photos


def test_good_images(normscope, photos):
    done = normscope("data", "check", photos)
    assert done.returncode == 0
    assert done.stdout == f"{PHOTOS_SAID}\n{photos}: compare would go on; 0 warnings\n"
    assert done.stderr.splitlines()[-1] == "reading: 100 % of 42 images"


def test_bad_images_are_a_table_and_an_error(normscope, bad):
    done = normscope("data", "check", bad)
    assert done.returncode == 3
    table = done.stdout.removeprefix(PHOTOS_SAID)
    assert table.splitlines() == [
        "",
        "Errors",
        f"  empty files (0 bytes){'7':>55}",
        *(f"    train/cat/empty{number}.jpg" for number in range(5)),
        "    ... and 2 more (--all)",
        "",
        "Warnings",
        f"  files that are no images; left out{'1':>42}",
        "    train/dog/notes.txt",
        "",
    ]
    assert done.stderr.splitlines()[-1] == (
        f"normscope: compare would stop: {bad}: 7 errors (train/cat/empty0.jpg: empty files "
        "(0 bytes)); --skip-bad leaves such images out, `normscope data check` names all"
    )


def test_without_the_bad_ones(normscope, bad):
    done = normscope("data", "check", bad, "--skip-bad")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == (
        f"{bad}: compare would go on without what 7 errors named; 1 warning"
    )


def test_all_paths(normscope, bad):
    assert "empty6.jpg" in normscope("data", "check", bad, "--all").stdout


def test_json(normscope, bad):
    done = normscope("data", "check", bad, "--json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert len(found["errors"]["empty"]) == 7
    assert found["warnings"] == {"other_file": [{"path": "train/dog/notes.txt", "detail": ""}]}
    assert found["would_go_on"] is False


def test_the_size_is_an_option(normscope, photos):
    assert "16x16 pixels" in normscope("data", "check", photos, "--image-size", "16").stdout
    done = normscope("data", "check", photos, "--image-size", "5000")
    assert (done.returncode, "from 8 to 1024" in done.stderr) == (2, True)


def test_no_line_is_longer_than_the_terminal(normscope, bad):
    from PIL import Image

    deep = "a-long-name-of-a-photograph-from-a-camera-" * 4
    save(Image.new("RGB", (40, 40)), bad / f"train/cat/{deep}.png")
    (bad / f"train/cat/{deep}.jpg").write_bytes(b"")
    out = normscope("data", "check", bad).stdout
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_no_folder_of_images(normscope, tmp_path):
    done = normscope("data", "check", tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr == f"normscope: {tmp_path}/nowhere does not exist\n"


@pytest.mark.parametrize(
    "place", ["train/cat/e\x1b[31m\x07.jpg", "train/c\udc80\x1b]8;;x\x07/a.jpg"]
)
def test_names_of_files_and_classes_do_not_act_on_the_terminal(normscope, photos, place):
    file = photos / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"")
    done = normscope("data", "check", photos, "--all")
    assert done.returncode == 3
    assert r"\x07" in done.stdout
    assert f"{done.stdout}{done.stderr}".replace("\n", "").isprintable()
