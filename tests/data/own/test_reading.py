"""One image of any kind, as square RGB pixels: against arrays, and formulas worked by hand."""

import numpy as np
import pytest
from photo_fakes import make_splits, open_all, photo, save
from PIL import Image

from normscope.data.own import inspect, open_images
from normscope.data.own.reading import read


def pixels_of(image, path, size=32, **options):
    return read(save(image, path, **options), size)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff"])
def test_what_is_stored_exactly_is_read_exactly(tmp_path, suffix):
    image = photo(1, 32, 32)
    picture = pixels_of(image, tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(picture.pixels, np.asarray(image))
    assert picture.done == ()


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("jpg", {"quality": 95}), ("jpeg", {"quality": 95}), ("webp", {"quality": 95}), ("gif", {})],
)
def test_what_is_stored_with_losses_is_read_nearly(tmp_path, suffix, options):
    image = photo(1, 32, 32)
    picture = pixels_of(image, tmp_path / f"a.{suffix}", **options)
    assert np.abs(picture.pixels.astype(int) - np.asarray(image)).mean() < 12
    assert picture.done == (("palette",) if suffix == "gif" else ())


def test_the_middle_is_kept(tmp_path):
    image = photo(1, 50, 32)
    picture = pixels_of(image, tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, np.asarray(image)[:, 9:41])
    assert picture.done == ("cropped",)


def test_a_whole_factor_down_is_close_to_the_mean_of_blocks(tmp_path):
    image = photo(1, 128, 128)
    picture = pixels_of(image, tmp_path / "a.png")
    blocks = np.asarray(image, float).reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(picture.pixels - blocks).mean() < 3


def test_a_large_jpeg_is_read_as_a_decoder_of_all_of_it_would(tmp_path):
    """At a smaller scale to begin with, which is faster."""
    path = save(photo(1, 1600, 1200), tmp_path / "a.jpg", quality=95)
    whole = Image.open(path).crop((200, 0, 1400, 1200)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(read(path, 32).pixels.astype(int) - np.asarray(whole)).mean() < 2


def test_a_small_image_is_enlarged(tmp_path):
    picture = pixels_of(Image.new("RGB", (16, 16), (10, 20, 30)), tmp_path / "a.png")
    assert picture.pixels.shape == (32, 32, 3)
    assert (picture.pixels == [10, 20, 30]).all()
    assert picture.done == ("enlarged",)


# Where the top left pixel of the upright image is in the stored one, by orientation:
# https://exiftool.org/TagNames/EXIF.html
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[:, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_an_orientation_tag_turns_the_image(tmp_path, orientation, suffix):
    image = photo(1, 32, 32)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = pixels_of(image, tmp_path / f"a.{suffix}", exif=exif)
    np.testing.assert_array_equal(picture.pixels, UPRIGHT[orientation](np.asarray(image)))
    assert picture.done == ("turned",)


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = photo(1, 32, 32).convert("L")
    picture = pixels_of(grey, tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, np.asarray(grey)[..., None].repeat(3, 2))
    assert picture.done == ("grey",)
    two = grey.point(lambda value: 255 * (value > 127)).convert("1")
    assert set(np.unique(pixels_of(two, tmp_path / "b.png").pixels)) == {0, 255}


def test_a_palette_is_replaced_by_its_colours(tmp_path):
    image = photo(1, 32, 32).quantize(16)
    picture = pixels_of(image, tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.done == ("palette",)


def test_transparency_is_laid_over_white(tmp_path):
    """Half transparent red over white: 255 stays, 0 becomes 127 or 128."""
    picture = pixels_of(Image.new("RGBA", (32, 32), (255, 0, 0, 128)), tmp_path / "a.png")
    assert picture.pixels[0, 0].tolist() == [255, 127, 127]
    assert picture.done == ("alpha",)
    opaque = pixels_of(Image.new("RGBA", (32, 32), (255, 0, 0, 255)), tmp_path / "b.png")
    assert opaque.done == ()


def test_a_palette_with_a_transparent_colour_is_laid_over_white(tmp_path):
    image = Image.new("P", (32, 32), 0)
    image.putpalette([200, 0, 0, 0, 100, 0])
    image.paste(1, (0, 0, 32, 16))
    picture = pixels_of(image, tmp_path / "a.png", transparency=0)
    assert picture.pixels[0, 0].tolist() == [0, 100, 0]
    assert picture.pixels[31, 0].tolist() == [255, 255, 255]
    assert picture.done == ("palette", "alpha")


def test_grey_with_alpha(tmp_path):
    picture = pixels_of(Image.new("LA", (32, 32), (0, 0)), tmp_path / "a.png")
    assert (picture.pixels == 255).all()
    assert picture.done == ("alpha",)


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    values = np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64
    picture = pixels_of(Image.fromarray(values), tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels[..., 0], values // 256)
    assert picture.done == ("sixteen", "grey")


def test_cmyk_is_converted(tmp_path):
    """No ink but half of black: every channel 255 * (1 - 128 / 255)."""
    picture = pixels_of(Image.new("CMYK", (32, 32), (0, 0, 0, 128)), tmp_path / "a.tif")
    assert picture.pixels[0, 0].tolist() == [127, 127, 127]
    assert picture.done == ("cmyk",)


def test_of_several_frames_the_first_is_read(tmp_path):
    first, second = Image.new("P", (32, 32), 0), Image.new("P", (32, 32), 1)
    for frame in (first, second):
        frame.putpalette([10, 20, 30, 200, 0, 0])
    picture = pixels_of(first, tmp_path / "a.gif", save_all=True, append_images=[second])
    assert (picture.pixels == [10, 20, 30]).all()
    assert "frames" in picture.done


def test_an_array_is_read_as_a_png_of_it_is(tmp_path):
    image = photo(1, 40, 50)
    of_file, of_array = pixels_of(image, tmp_path / "a.png"), read(np.asarray(image), 32)
    np.testing.assert_array_equal(of_array.pixels, of_file.pixels)
    grey = np.full((32, 32, 1), 7, np.uint8)
    assert (read(grey, 32).pixels == 7).all()
    clear = np.zeros((32, 32, 4), np.uint8)
    assert (read(clear, 32).pixels == 255).all()


def test_what_was_done_is_counted_and_said(tmp_path):
    root = make_splits(tmp_path / "p", width=40, height=40)
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(12):
        save(photo(300 + number, 40, 40), root / f"train/cat/t{number}.jpg", exif=exif)
    save(photo(400, 40, 40).convert("L"), root / "train/dog/grey.png")
    said = inspect(root).said()
    assert "12 images had an orientation tag and were turned." in said
    assert "1 image was grey; the three channels are equal." in said


@pytest.mark.parametrize(
    ("width", "height", "asked", "side"),
    [
        (28, 28, None, 28),
        (64, 64, None, 64),
        (40, 60, None, 32),
        (65, 65, None, 64),
        (300, 64, None, 64),
        (300, 63, None, 32),
        (28, 28, 16, 16),
    ],
)
def test_the_side_is_kept_or_chosen_and_said(tmp_path, width, height, asked, side):
    root = make_splits(tmp_path / "p", train=3, test=2, width=width, height=height)
    opened = open_images(root, image_size=asked)
    assert opened.source.image_shape == (side, side, 3)
    assert open_all(opened).train_images.shape == (9, side, side, 3)
    assert any(f"{side}x{side} pixels" in sentence for sentence in opened.findings.said())


def test_mean_and_deviation_are_those_of_the_training_pixels(photos):
    dataset = open_all(open_images(photos))
    pixels = dataset.train_images.astype(np.float64) / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean((0, 1, 2)), atol=5.1e-5)
    np.testing.assert_allclose(dataset.std, pixels.std((0, 1, 2)), atol=5.1e-5)
    assert all(round(value, 4) == value for value in (*dataset.mean, *dataset.std))
