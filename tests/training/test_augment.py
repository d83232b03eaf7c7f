"""Augmentations against a loop over single images, and who sees which of them."""

import numpy as np
import pytest
import torch
from small_trials import CPU, trial

from normscope.training import Split
from normscope.training.augment import AUGMENTATIONS, Augment
from normscope.training.seeds import generator
from normscope.training.trial import run_fleet

COUNT, SIDE = 40, 32
ORDERS = [
    ("flip",),
    ("crop",),
    ("cutout",),
    ("flip", "crop", "cutout"),
    ("crop", "flip"),
    ("cutout", "crop", "flip"),
    ("flip", "cutout", "crop"),
]


def streams(*seeds):
    return [generator(seed, "augment") for seed in seeds]


def split(channels=3):
    """Random pixels, with a mean and deviation of each channel's own."""
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, channels), np.uint8)
    scale = [0.4 + 0.05 * c for c in range(channels)], [0.2 + 0.01 * c for c in range(channels)]
    return Split.from_numpy(pixels, np.arange(COUNT) % 10, *scale, CPU)


def drawn(name, count, stream):
    """The numbers that an augmentation draws for the images of one member."""
    if name == "flip":
        return torch.randint(2, (count,), generator=stream)[:, None].tolist()
    below = {"crop": 9, "cutout": SIDE}[name]
    pairs = [torch.randint(below, (count,), generator=stream) for _ in range(2)]
    return torch.stack(pairs, dim=1).tolist()


def one_by_one(image, black, name, numbers):
    """What an augmentation makes of one image (H, W, C), pixel by pixel."""
    made = np.empty_like(image)
    for row in range(SIDE):
        for column in range(SIDE):
            if name == "flip":
                made[row, column] = image[row, SIDE - 1 - column if numbers[0] else column]
            elif name == "crop":
                y, x = row + numbers[0] - 4, column + numbers[1] - 4
                inside = 0 <= y < SIDE and 0 <= x < SIDE
                made[row, column] = image[y, x] if inside else black
            else:
                y, x = row - numbers[0], column - numbers[1]
                cut = -4 <= y < 4 and -4 <= x < 4
                made[row, column] = 0 if cut else image[row, column]
    return made


@pytest.mark.parametrize("names", ORDERS, ids="-".join)
def test_a_batch_is_what_a_loop_over_its_images_gives(names):
    data, index = split(), torch.stack([torch.arange(COUNT), torch.arange(COUNT).flip(0)])
    x_NCHW, labels = data.batch(index, Augment(names, streams(1, 2)))
    assert x_NCHW.shape == (COUNT, 6, SIDE, SIDE)
    assert torch.equal(labels, data.labels[index])
    plain, black = data.batch(torch.arange(COUNT))[0], ((0 - data.mean) / data.std).numpy()
    for member, stream in enumerate(streams(1, 2)):
        expected = plain[index[member]].permute(0, 2, 3, 1).numpy()
        for name in names:
            expected = [
                one_by_one(image, black, name, numbers)
                for image, numbers in zip(expected, drawn(name, COUNT, stream), strict=True)
            ]
        found = x_NCHW[:, 3 * member : 3 * member + 3].permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(found, expected)


def test_pixels_do_not_change_in_the_data_set():
    data = split()
    before = data.images_NHWC.clone()
    data.batch(torch.arange(COUNT)[None], Augment(ORDERS[3], streams(0)))
    assert torch.equal(data.images_NHWC, before)


def test_how_often_and_how_far():
    """A line of images in which each pixel knows where it is."""
    count = 4000
    place = torch.arange(SIDE * SIDE).float().add(1).view(SIDE, SIDE, 1)
    images, black = place.expand(1, count, SIDE, SIDE, 1), torch.zeros(1)
    flipped = AUGMENTATIONS["flip"](images, black, streams(0))[0, :, 0, 0, 0] == SIDE
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.03)
    centre = AUGMENTATIONS["crop"](images, black, streams(0))[0, :, 16, 16, 0] - 1
    shifts = torch.stack([centre // SIDE - 16, centre % SIDE - 16])
    for found in shifts:
        values, counts = found.unique(return_counts=True)
        assert values.tolist() == list(range(-4, 5))
        assert counts.min() > 0.8 * count / 9
    lost = (AUGMENTATIONS["cutout"](images, black, streams(0)) == 0).sum(dim=(2, 3, 4))[0]
    assert (lost.min(), lost.max()) == (16, 64)  # 4x4 in the corner 0, 0, 8x8 inside
    assert lost.float().mean() == pytest.approx((8 - 16 / 32) ** 2, rel=0.02)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_numbers_come_from_the_stream_alone(name):
    images, black = torch.rand(1, COUNT, SIDE, SIDE, 3, generator=streams(9)[0]), torch.zeros(3)
    augment, before = AUGMENTATIONS[name], torch.get_rng_state()
    first = augment(images, black, streams(0))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        assert torch.equal(augment(images, black, streams(0)), first)
    assert not torch.equal(augment(images, black, streams(1)), first)
    again = streams(0)
    augment(images, black, again)
    assert not torch.equal(augment(images, black, again), first)  # another batch, other numbers


# -- in a training -------------------------------------------------------------------------------


@pytest.fixture
def images_seen(shapes, monkeypatch):
    """Trains trials as a fleet, and returns what each member saw while it trained."""

    def run(*trials):
        seen = []

        def watch(model, inputs):
            if model.training:
                seen.append(inputs[0].clone())

        def watched(model, *_):
            model.register_forward_pre_hook(watch)
            return model

        monkeypatch.setattr("normscope.training.trial.with_fastest_forward", watched)
        monkeypatch.setattr("normscope.training.trial.step_memory_mib", lambda *_: None)
        for result in run_fleet(trials, shapes, CPU):
            assert result.status == "finished", result.error
        return torch.cat(seen).chunk(len(trials), dim=1)

    return run


def augmented(norm="bn", seed=0):
    return trial(norm, seed, epochs=2, augmentation=("flip", "crop", "cutout"))


def test_the_norms_of_a_block_see_the_same_images_and_other_seeds_see_others(images_seen):
    (first,), (second,) = images_seen(augmented("bn")), images_seen(augmented("gn"))
    (other,) = images_seen(augmented("bn", seed=1))
    assert first.shape == (512, 3, 32, 32)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    (plain,) = images_seen(trial("bn"))
    assert not torch.equal(first, plain)


def test_a_member_of_a_fleet_sees_what_it_sees_alone(images_seen):
    together = images_seen(augmented(seed=0), augmented(seed=3))
    for member, seed in zip(together, (0, 3), strict=True):
        assert torch.equal(member, images_seen(augmented(seed=seed))[0])


def test_every_epoch_is_drawn_anew(images_seen):
    (seen,) = images_seen(augmented())
    epochs = [{image.numpy().tobytes() for image in epoch} for epoch in seen.split(256)]
    assert len(epochs[0] & epochs[1]) < 5


def test_without_augmentation_no_number_is_drawn(images_seen, monkeypatch):
    made = []

    def watched(seed, stream, device="cpu"):
        made.append((stream, generator(seed, stream, device)))
        return made[-1][1]

    monkeypatch.setattr("normscope.training.trial.generator", watched)
    images_seen(trial("bn"))
    states = {stream: each.get_state() for stream, each in made}
    assert torch.equal(states["augment"], generator(0, "augment").get_state())
    assert not torch.equal(states["order"], generator(0, "order").get_state())
