"""One image of a user's own, from a file, its bytes or an array, as a square of uint8 RGB pixels.

Nothing of an image is used unless all of it could be decoded, and its size is checked before that.
"""

import io
import os
import stat
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Blob = Path | bytes | np.ndarray  # a file, what is in one, or pixels uint8 (H, W, 1, 3 or 4)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
    ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
# Images, but of types that are not read: who has them has to convert them.
OTHER_SUFFIXES = frozenset(
    [
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
        ".jp2",
        ".svg",
        ".psd",
        ".eps",
        ".pdf",
        ".ico",
        ".tga",
        ".ppm",
        ".pgm",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".raf",
        ".orf",
        ".rw2",
        ".exr",
        ".hdr",
        ".dcm",
        ".nii",
        ".mp4",
        ".mov",
        ".avi",
    ]
)

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 30
MIN_SIDE = 8  # pixels
ORIENTATION = 0x0112  # the EXIF tag
TURNS_SIDES = (5, 6, 7, 8)  # orientations that swap width and height
DRAFT = 2.0  # a JPEG is decoded at a smaller scale of at least this many times the size wanted


@dataclass(frozen=True)
class Picture:
    """An image as it was read: `pixels` uint8 (S, S, 3), and what that took, by names of `DONE`.

    `digest` (16 bytes) is of the file's content, or of the pixels where there is no file. `named`
    is the format that the file is of, if its name says another.
    """

    pixels: np.ndarray
    digest: bytes
    done: tuple[str, ...] = ()
    named: str = ""


class Unusable(Exception):
    """An image cannot be used: `kind` is one of `KINDS`, `detail` says more."""

    def __init__(self, kind: str, detail: str = ""):
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


def measure(blob: Blob) -> tuple[int, int] | None:
    """Width and height in pixels after any turn, from the header; None if it cannot be read."""
    if isinstance(blob, np.ndarray):
        return blob.shape[1], blob.shape[0]
    try:
        with _opened(blob) as stream, _recognised(stream) as image:
            return _turned(image.size, image)
    except Exception:  # `read` tells of it
        return None


def read(blob: Blob, size: int) -> Picture:
    """The image, cut to a square and resized to `size` pixels.

    The shorter side becomes `size`, by bicubic interpolation with antialiasing, and of the longer
    one the middle is kept. Raises `Unusable`.
    """
    if isinstance(blob, np.ndarray):
        return _from_array(blob, size)
    with _opened(blob) as stream:
        content = stream.read()
    with _recognised(io.BytesIO(content)) as image:
        format_ = image.format or ""
        try:
            done = _to_be_done(image)
            image, more = _decoded(image, size)
        except Unusable:
            raise
        except Exception as error:
            # A damaged file breaks its decoder in open-ended ways: OSError, SyntaxError,
            # ValueError, IndexError, struct.error, zlib.error, EOFError and more.
            raise _damage(error) from error
    pixels, sizes = _square(image, size)
    return Picture(pixels, _digest(content), (*done, *more, *sizes), _misnamed(blob, format_))


def _opened(blob: Path | bytes) -> io.BufferedReader | io.BytesIO:
    if isinstance(blob, bytes):
        if not blob:
            raise Unusable("empty")
        return io.BytesIO(blob)
    try:
        facts = blob.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe would make us wait for ever
            raise Unusable("unreadable", "not a regular file")
        if facts.st_size == 0:
            raise Unusable("empty")
        if facts.st_size > MAX_FILE_BYTES:
            raise Unusable("unreadable", f"a file of {facts.st_size / 1e9:.1f} GB")
        return blob.open("rb")
    except PermissionError as error:
        raise Unusable("denied") from error
    except OSError as error:
        raise Unusable("unreadable", error.strerror or str(error)) from error


def _recognised(stream: io.BufferedReader | io.BytesIO) -> Image.Image:
    """The image, of which only the header is read; its size is checked."""
    try:
        image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Unusable("bomb") from error
    except UnidentifiedImageError as error:
        raise Unusable("unreadable", _what_else(stream)) from error
    except Exception as error:  # of a damaged header; see `read`
        raise _damage(error) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unusable("bomb", f"{width} x {height} pixels")
    if min(width, height) < MIN_SIDE:
        raise Unusable("tiny", f"{width} x {height} pixels")
    return image


def _what_else(stream: io.BufferedReader | io.BytesIO) -> str:
    """What a file is that is none of `FORMATS`, if its first bytes tell."""
    stream.seek(0)
    start = stream.read(64)
    if start[4:8] == b"ftyp":
        return "HEIC, AVIF or a video"
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<svg", b"<?xml")):
        return "SVG or other XML"
    if text.startswith((b"<!doctype", b"<html")):
        return "a web page"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; run `git lfs pull`"
    return ""


def _damage(error: Exception) -> Unusable:
    if isinstance(error, MemoryError):
        return Unusable("bomb", "it does not fit into memory")
    kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
    return Unusable(kind, "" if kind == "truncated" else str(error)[:80])


def _turned(size: tuple[int, int], image: Image.Image) -> tuple[int, int]:
    # Asking a PNG for EXIF data that its header does not have would decode all of it.
    if image.format == "PNG" and "exif" not in image.info:
        return size
    width, height = size
    turned = image.getexif().get(ORIENTATION) in TURNS_SIDES
    return (height, width) if turned else (width, height)


def _to_be_done(image: Image.Image) -> tuple[str, ...]:
    """What can only be told of an image before it is decoded, by names of `DONE`."""
    sixteen = image.mode.startswith("I") or ";16" in str(getattr(image, "tile", ""))
    frames = getattr(image, "is_animated", False) and image.format != "MPO"
    return (*(["sixteen"] if sixteen else []), *(["frames"] if frames else []))


def _decoded(image: Image.Image, size: int) -> tuple[Image.Image, list[str]]:
    """The whole image as upright RGB, perhaps at a smaller scale, and what that took."""
    wanted = DRAFT * size / min(image.size)
    if image.format in ("JPEG", "MPO") and wanted < 1:
        image.draft(None, (int(image.width * wanted) + 1, int(image.height * wanted) + 1))
    turned = image.format == "TIFF" and _is_turned(image)  # pillow turns these as it decodes them
    image.load()
    done = ["turned"] if turned or _is_turned(image) else []
    upright = ImageOps.exif_transpose(image)
    image = _eight_bits(upright)
    if image.mode == "P":
        done.append("palette")
    if image.has_transparency_data:
        if not _is_opaque(image):
            done.append("alpha")
        image = _over_white(image)
    elif image.mode in ("1", "L", "LA"):
        done.append("grey")
    elif image.mode not in ("RGB", "P"):
        done.append("cmyk")
    return image.convert("RGB"), done


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(ORIENTATION, 1) in range(2, 9)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8; pillow's own conversion would clip it. Others stay."""
    if image.mode == "F":
        raise Unusable("unsupported", "pixels are floating-point numbers")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise Unusable("unsupported", "pixels of 32 bits")
    return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))


def _is_opaque(image: Image.Image) -> bool:
    return image.convert("RGBA").getchannel("A").getextrema() == (255, 255)


def _over_white(image: Image.Image) -> Image.Image:
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)


def _square(image: Image.Image, size: int) -> tuple[np.ndarray, list[str]]:
    """The square in the middle, resized: uint8 (size, size, 3); and what that took."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    done = ["cropped"] if image.width != image.height else []
    if side < size:
        done.append("enlarged")
    box = (left, top, left + side, top + side)
    if side == size:
        image = image.crop(box)
    else:
        image = image.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=3.0)
    return np.asarray(image), done


def _from_array(pixels: np.ndarray, size: int) -> Picture:
    """The same for pixels uint8 (H, W, C) that nothing has to decode."""
    if min(pixels.shape[:2]) < MIN_SIDE:
        raise Unusable("tiny", f"{pixels.shape[1]} x {pixels.shape[0]} pixels")
    channels, done = pixels.shape[2], []
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels))
    if channels == 1:
        done.append("grey")
    if channels == 4:
        if pixels[..., 3].min() < 255:
            done.append("alpha")
        image = _over_white(image)
    square, more = _square(image.convert("RGB"), size)
    return Picture(square, _digest(pixels.tobytes()), (*done, *more))


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def _misnamed(blob: Path | bytes, format_: str) -> str:
    """The format that a file is of, if its name says another."""
    if isinstance(blob, bytes):
        return ""
    says = SUFFIXES.get(os.path.splitext(blob.name)[1].lower(), "")
    return format_ if says and says != format_.replace("MPO", "JPEG") else ""
