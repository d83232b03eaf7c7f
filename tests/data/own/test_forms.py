"""Every form in which people keep images, generated: each comes out as the same data set."""

import gzip
import io
import json
import struct
import sys

import numpy as np
import pytest
from photo_fakes import CLASSES, kinds_found, make_splits, make_tree, open_all, photo, save
from PIL import Image
from scipy.io import savemat

from normscope.data.own import inspect, open_images
from normscope.data.own.forms import FORMS
from normscope.errors import RunError, UsageError

TRAIN, TEST = 12, 6  # images of three classes, 32 x 32 pixels


@pytest.fixture
def arrays():
    """Images uint8 and labels of both splits."""

    def make(first, count):
        images = [np.asarray(photo(first + number, 32, 32)) for number in range(count)]
        return np.stack(images), np.arange(count) % 3

    return {"train": make(0, TRAIN), "test": make(100, TEST)}


@pytest.fixture
def expected(arrays):
    """By split, each image's bytes with its label: what must come out, in whatever order."""
    return {split: sorted(zip(map(bytes, x), y, strict=True)) for split, (x, y) in arrays.items()}


def contents(dataset):
    return {
        split: sorted(zip(map(bytes, images), labels, strict=True))
        for split, images, labels in (
            ("train", dataset.train_images, dataset.train_labels),
            ("test", dataset.test_images, dataset.test_labels),
        )
    }


def grey_of(arrays):
    return {split: (x[..., 0], y) for split, (x, y) in arrays.items()}


def three_channels(grey):
    return {
        split: sorted(zip((bytes(i[..., None].repeat(3, 2)) for i in x), y, strict=True))
        for split, (x, y) in grey.items()
    }


def write_files(folder, arrays, names=("train", "test")):
    for name, (images, labels) in zip(names, arrays.values(), strict=True):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / name / CLASSES[label] / f"{number}.png"
            save(Image.fromarray(image), path)
    return folder


# -- folders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation", "TEST"])
def test_folders_by_split(tmp_path, arrays, expected, test):
    opened = open_images(write_files(tmp_path / "my photos!", arrays, ("train", test)))
    dataset = open_all(opened)
    assert contents(dataset) == expected
    assert dataset.class_names == CLASSES
    assert (opened.name, opened.home) == ("my-photos", str(tmp_path / "my photos!"))
    assert (opened.source.train_size, opened.source.test_size) == (TRAIN, TEST)
    assert opened.source.num_classes == 3


def test_of_test_and_val_the_test_set_is_used_and_that_is_said(tmp_path, arrays, expected):
    root = write_files(tmp_path / "p", arrays)
    make_tree(root / "val", 2, first=900, width=32, height=32)
    opened = open_images(root)
    assert contents(open_all(opened)) == expected
    assert any("the first is used, the second is not" in each for each in opened.findings.said())


def test_unlabelled_test_images_are_refused(tmp_path):
    make_tree(tmp_path / "p/train")
    save(photo(1), tmp_path / "p/test/1.png")
    with pytest.raises(UsageError, match="test/ has no class folders with images"):
        open_images(tmp_path / "p")


def test_train_alone_is_split(tmp_path):
    make_tree(tmp_path / "p/train", 10)
    source = open_images(tmp_path / "p").source
    assert (source.train_size, source.test_size) == (24, 6)


def test_only_the_first_of_each_split_are_made(photos):
    opened = open_images(photos)
    part, whole = opened.source.make(5, 2), open_all(opened)
    np.testing.assert_array_equal(part.train_images, whole.train_images[:5])
    np.testing.assert_array_equal(part.test_labels, whole.test_labels[:2])
    assert len({*whole.train_labels[:12].tolist()}) == 3  # not one class after the other


def test_nothing_known_is_an_error_that_lists_what_was_looked_for(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        open_images(tmp_path / "nowhere")
    (tmp_path / "p").mkdir()
    with pytest.raises(UsageError, match="no images in a form that is known") as refused:
        open_images(tmp_path / "p")
    assert all(form in str(refused.value) for form in FORMS)
    (tmp_path / "a.zip").write_bytes(b"PK\3\4")
    with pytest.raises(UsageError, match="unpack it and name the folder"):
        open_images(tmp_path / "a.zip")


def test_the_folder_above_is_told_where_the_images_are(tmp_path):
    make_splits(tmp_path / "above/inner/photos")
    with pytest.raises(UsageError, match=r"did you mean .*above/inner/photos\?"):
        open_images(tmp_path / "above/inner")


# -- tables ----------------------------------------------------------------------------------------


def write_table(root, arrays, delimiter=",", columns=("file", "label", "split"), encoding="utf-8"):
    write_files(root, arrays)
    rows = [columns]
    for split, (_, labels) in arrays.items():
        for number, label in enumerate(labels):
            name = f"{split}/{CLASSES[label]}/{number}.png"
            rows.append((name, f"class {CLASSES[label]}", split)[: len(columns)])
    table = root / "labels.csv"
    table.write_text("\n".join(map(delimiter.join, rows)) + "\n", encoding=encoding)
    return table


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "columns",
    [("file", "label", "split"), ("Filename", "CLASS", "Set"), ("image", "target", "split")],
)
def test_a_table(tmp_path, arrays, expected, delimiter, columns):
    table = write_table(tmp_path / "p", arrays, delimiter, columns, "utf-8-sig")
    dataset = open_all(open_images(table))
    assert contents(dataset) == expected
    assert dataset.class_names == tuple(f"class {name}" for name in CLASSES)


def test_a_folder_with_one_table(tmp_path, arrays):
    table = write_table(tmp_path / "p", arrays, columns=("file", "label"))
    for folder in ("train", "test"):
        (table.parent / folder).rename(table.parent / f"part-{folder}")
    table.write_text(
        table.read_text().replace("train/", "part-train/").replace("test/", "part-test/")
    )
    opened = open_images(table.parent)
    assert opened.source.train_size + opened.source.test_size == TRAIN + TEST
    assert opened.findings.sentences[0] == "Recognised as the table labels.csv."


def test_rows_that_cannot_be_used_are_named(tmp_path, arrays):
    table = write_table(tmp_path / "p", arrays)
    save(photo(1), tmp_path / "outside.png")
    with table.open("a") as stream:
        stream.write(
            "gone.png,cat,train\n"
            "train/cat/0.png,,train\n"
            "train/cat/0.png,cat,train\n"
            "train/cat/0.png,cat,sometimes\n"
            "../outside.png,cat,train\n"
            "short.png\n"
            "\n"
        )
    found = inspect(table)
    assert {kind: [str(each) for each in paths] for kind, paths in found.of("error")} == {
        "outside": ["../outside.png (line 24)"],
        "missing_file": ["gone.png (line 20)"],
        "missing_label": ["train/cat/0.png (line 21)", "short.png (line 25)"],
        "bad_split": ["train/cat/0.png (line 23)"],
        "listed_twice": ["train/cat/0.png (lines 2 and 22)"],
    }


def test_labels_that_are_numbers_are_in_their_order(tmp_path):
    rows = ["file,label"]
    for number in range(22):
        save(photo(number), tmp_path / f"p/{number}.png")
        rows.append(f"{number}.png,{number % 11}")
    (tmp_path / "p/t.csv").write_text("\n".join(rows))
    names = open_all(open_images(tmp_path / "p/t.csv")).class_names
    assert names == tuple(map(str, range(11)))


def test_a_table_in_another_encoding_or_without_columns_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes("file,label\nä.png,Käfer\n".encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8"):
        open_images(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="CSV file with columns file and label"):
        open_images(tmp_path / "t.csv")


# -- .npz ------------------------------------------------------------------------------------------


def write_npz(path, arrays, **changed):
    values = {}
    for split, (images, labels) in arrays.items():
        values |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez_compressed(path, **{**values, **changed})
    return path


def test_npz(tmp_path, arrays, expected):
    dataset = open_all(open_images(write_npz(tmp_path / "mine.npz", arrays)))
    assert contents(dataset) == expected
    assert dataset.class_names == ("0", "1", "2")


def test_npz_in_a_folder_with_labels_in_a_column(tmp_path, arrays, expected):
    (tmp_path / "p").mkdir()
    columns = {f"y_{split}": y[:, None].astype(np.uint8) for split, (_, y) in arrays.items()}
    write_npz(tmp_path / "p/mine.npz", arrays, **columns)
    assert contents(open_all(open_images(tmp_path / "p"))) == expected


@pytest.mark.parametrize("add_axis", [False, True])
def test_npz_of_grey_images(tmp_path, arrays, add_axis):
    grey = grey_of(arrays)
    written = {split: (x[..., None] if add_axis else x, y) for split, (x, y) in grey.items()}
    opened = open_images(write_npz(tmp_path / "mine.npz", written))
    assert contents(open_all(opened)) == three_channels(grey)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"x_train": np.zeros((12, 8, 8, 3), np.float32)}, r"x_train is float32.*255 \* x"),
        ({"x_train": np.zeros((12, 3, 8, 8), np.uint8)}, "channels come last"),
        ({"x_train": np.zeros((12, 64), np.uint8)}, "has shape"),
        ({"x_train": np.asfortranarray(np.zeros((12, 8, 8), np.uint8))}, "Fortran"),
        ({"y_train": np.zeros(11, np.int64)}, "12 images in x_train and 11 labels"),
        ({"y_train": np.zeros((12, 3), np.int64)}, "labels are whole numbers"),
        ({"y_train": np.zeros(12, np.float32)}, "labels are whole numbers"),
        ({"y_train": np.array(["cat"] * 12, object)}, "labels are whole numbers"),
    ],
)
def test_npz_of_something_else_is_refused(tmp_path, arrays, changed, reason):
    with pytest.raises(UsageError, match=reason):
        open_images(write_npz(tmp_path / "mine.npz", arrays, **changed))


def test_npz_without_a_test_set_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "mine.npz", x_train=arrays["train"][0], y_train=arrays["train"][1])
    with pytest.raises(UsageError, match="has no x_test, y_test"):
        open_images(tmp_path / "mine.npz")


def test_a_damaged_npz_is_an_error_that_names_it(tmp_path, arrays):
    path = tmp_path / "mine.npz"
    write_npz(path, arrays)
    content = bytearray(path.read_bytes())
    content[500:4000] = bytes(3500)
    path.write_bytes(content)
    with pytest.raises(RunError, match="npz is damaged or cut short"):
        open_images(path)


# -- IDX, SVHN -------------------------------------------------------------------------------------


def write_idx(folder, grey, dot, packed):
    folder.mkdir(parents=True)
    for stem, (images, labels) in zip(("train", "t10k"), grey.values(), strict=True):
        parts = {
            "images-idx3": struct.pack(">4I", 0x803, *images.shape) + images.tobytes(),
            "labels-idx1": struct.pack(">2I", 0x801, len(labels))
            + labels.astype(np.uint8).tobytes(),
        }
        for part, content in parts.items():
            name = f"{stem}-{part}-ubyte".replace("-idx", ".idx" if dot else "-idx")
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_idx(tmp_path, arrays, dot, packed, below):
    grey = grey_of(arrays)
    write_idx(tmp_path / "p" / below, grey, dot, packed)
    assert contents(open_all(open_images(tmp_path / "p"))) == three_channels(grey)


def test_a_short_or_wrong_idx_file_is_an_error_that_names_it(tmp_path, arrays):
    write_idx(tmp_path / "p", grey_of(arrays), False, False)
    images = tmp_path / "p/train-images-idx3-ubyte"
    content = images.read_bytes()
    images.write_bytes(content[:-100])
    with pytest.raises(RunError, match="train-images-idx3-ubyte is damaged or cut short"):
        open_images(tmp_path / "p")
    images.write_bytes(b"\0\0\x0d\3" + content[4:])
    with pytest.raises(RunError, match="no IDX file of bytes"):
        open_images(tmp_path / "p")


def test_svhn(tmp_path, arrays, expected):
    (tmp_path / "p").mkdir()
    for split, (images, labels) in arrays.items():
        tens = np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)
        savemat(tmp_path / f"p/{split}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": tens})
    dataset = open_all(open_images(tmp_path / "p"))
    assert contents(dataset) == expected
    assert dataset.class_names == ("0", "1", "2")


# -- Parquet ---------------------------------------------------------------------------------------


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_parquet(folder, arrays, names=CLASSES, labels=None, image="image"):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder.mkdir(parents=True)
    for split, (images, truth) in arrays.items():
        table = pa.table(
            {
                image: [{"bytes": png(each), "path": None} for each in images],
                "label": pa.array(labels or truth.tolist(), pa.int64()),
            }
        )
        features = {"label": {"names": list(names), "_type": "ClassLabel"}} if names else {}
        notes = {"huggingface": json.dumps({"info": {"features": features}})}
        parquet.write_table(
            table.replace_schema_metadata(notes), folder / f"{split}-00000-of-00001.parquet"
        )


@pytest.mark.parametrize("below", ["", "data"])
@pytest.mark.parametrize("image", ["image", "img"])
def test_parquet(tmp_path, arrays, expected, below, image):
    write_parquet(tmp_path / "p" / below, arrays, image=image)
    dataset = open_all(open_images(tmp_path / "p"))
    assert contents(dataset) == expected
    assert dataset.class_names == CLASSES


def test_parquet_without_names(tmp_path, arrays):
    write_parquet(tmp_path / "p", arrays, names=None)
    assert open_all(open_images(tmp_path / "p")).class_names == ("0", "1", "2")


def test_parquet_rows_without_a_label_are_named(tmp_path, arrays):
    labels = {"train": [-1, 1, 2] * 4, "test": [0, 1, 2, 0, 1, None]}
    for split, (images, _) in arrays.items():
        write_parquet(tmp_path / split, {split: (images, np.zeros(0))}, labels=labels[split])
        file = f"{split}-00000-of-00001.parquet"
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / split / file).rename(tmp_path / "p" / file)
    found = kinds_found(inspect(tmp_path / "p"))
    assert found["train-00000-of-00001.parquet[0]"] == ["missing_label"]
    assert found["test-00000-of-00001.parquet[5]"] == ["missing_label"]
    kept = open_all(open_images(tmp_path / "p", skip_bad=True))
    assert kept.class_names == ("dog", "owl")  # no training image of the first has a label
    second = arrays["train"][0][1]
    assert any((second == image).all() for image in kept.train_images[kept.train_labels == 0])


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, arrays, monkeypatch):
    write_parquet(tmp_path / "p", arrays)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'pip install "normscope\[images\]"'):
        open_images(tmp_path / "p")
