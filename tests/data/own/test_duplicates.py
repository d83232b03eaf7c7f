"""Near duplicates: hashes against the library imagehash, and pairs against all pairs."""

import itertools

import imagehash
import numpy as np
import pytest
from photo_fakes import make_splits, photo, save
from PIL import Image, ImageEnhance

from normscope.data.own import duplicates, inspect
from normscope.data.own.decoding import Decoded
from normscope.data.own.looks import looks_of


def decoded_of(pixels):
    """As if these images, uint8 (N, S, S, 3), had been read."""
    hashes, shapes = looks_of(pixels)
    digests = np.arange(16 * len(pixels), dtype=np.uint32).reshape(-1, 16)
    usable = np.ones(len(pixels), bool)
    return Decoded(32, usable, ~usable, digests, digests, hashes, shapes, file=None)


def test_the_hash_is_that_of_imagehash():
    images = [photo(seed, 32, 32) for seed in range(200)]
    hashes, _ = looks_of(np.stack([np.asarray(image) for image in images]))
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)
    expected = [imagehash.phash(image).hash.ravel() for image in images]
    np.testing.assert_array_equal(bits, expected)


@pytest.mark.parametrize("side", [8, 32, 50])
def test_the_product_of_two_shapes_is_their_correlation(side):
    """Of images without fine details: a correlation of all pixels."""
    coarse = np.random.default_rng(0).random((6, 3, 3))
    place = (np.arange(side) + 0.5) / side
    waves = np.cos(np.pi * np.arange(3)[:, None] * place)
    smooth = np.einsum("nij,ix,jy->nxy", coarse, waves, waves)
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    pixels = np.rint(smooth).astype(np.uint8)[..., None].repeat(3, 3)
    _, shapes = looks_of(pixels)
    found = shapes.astype(float) @ shapes.T.astype(float)
    expected = np.corrcoef(pixels[..., 0].reshape(6, -1).astype(float))
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_the_pairs_are_those_of_a_look_at_all_pairs():
    """Hashes that are a few bits away from each other, in any place."""
    rng = np.random.default_rng(0)
    decoded = decoded_of(np.stack([np.asarray(photo(seed, 32, 32)) for seed in range(60)]))
    hashes = np.repeat(decoded.hashes[:12], 5)
    for place in range(60):
        for bit in rng.choice(64, place % 5, replace=False):
            hashes[place] ^= np.uint64(1) << np.uint64(bit)
    shapes = np.repeat(decoded.shapes[:12], 5, axis=0)
    changed = Decoded(
        32, decoded.usable, decoded.blank, decoded.sources, decoded.digests, hashes, shapes, None
    )
    expected = [
        (a, b)
        for a, b in itertools.combinations(range(60), 2)
        if bin(int(hashes[a]) ^ int(hashes[b])).count("1") <= 3 and a // 5 == b // 5
    ]
    assert len(expected) > 20
    assert sorted(duplicates.near_pairs(changed, range(60))) == expected


def test_many_that_look_alike_are_found_without_comparing_all():
    pixels = np.asarray(photo(1, 32, 32))[None].repeat(3000, 0)
    pairs = duplicates.near_pairs(decoded_of(pixels), range(3000))
    assert len(pairs) < 3000 * duplicates.NEIGHBOURS
    assert {row for pair in pairs for row in pair} == set(range(3000))


def test_images_that_were_changed_a_little_are_told_with_their_origin(tmp_path):
    root = make_splits(tmp_path / "p", train=20, test=10)
    origin = Image.open(root / "test/cat/003.png")
    save(origin, root / "train/cat/compressed.jpg", quality=40)
    save(origin.resize((96, 80)), root / "train/dog/scaled.png")
    save(ImageEnhance.Brightness(origin).enhance(0.8), root / "train/owl/darker.png")
    save(Image.open(root / "train/owl/003.png"), root / "train/owl/within.jpg", quality=60)
    findings = inspect(root)
    assert {str(each) for each in findings.found["near_across"]} == {
        "train/cat/compressed.jpg (as test/cat/003.png)",
        "train/dog/scaled.png (as test/cat/003.png)",
        "train/owl/darker.png (as test/cat/003.png)",
    }
    assert [str(each) for each in findings.found["near"] if "within" in each.path] == [
        "train/owl/within.jpg (as train/owl/003.png)"
    ]
    told = [str(each) for each in findings.found["near_labels"]]
    assert "train/dog/scaled.png (dog; cat is test/cat/003.png)" in told


def test_the_real_cifar10_has_no_twins_and_few_that_look_alike(cifar10):
    """That near-copies of test images are among CIFAR-10's training images is known: ciFAIR,
    https://arxiv.org/abs/1902.00423. That paper finds far more, with a network and by eye."""
    pixels = np.concatenate([cifar10.train_images, cifar10.test_images])
    labels = np.concatenate([cifar10.train_labels, cifar10.test_labels])
    looks = [looks_of(pixels[start : start + 500]) for start in range(0, 60_000, 500)]
    hashes, shapes = (np.concatenate(column) for column in zip(*looks, strict=True))
    usable = np.ones(60_000, bool)
    digests = np.arange(60_000 * 16, dtype=np.uint32).reshape(-1, 16)
    decoded = Decoded(32, usable, ~usable, digests, digests, hashes, shapes, file=None)
    pairs = np.array(duplicates.near_pairs(decoded, range(60_000)))
    across = (pairs[:, 0] < 50_000) & (pairs[:, 1] >= 50_000)
    assert 100 < len(pairs) < 250
    assert 20 < across.sum() < 60
    assert (labels[pairs[:, 0]] == labels[pairs[:, 1]]).all()
