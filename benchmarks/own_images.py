"""Images of a user's own: seconds and peak memory of the first and of the second time.

python -m benchmarks.own_images --count 10000
python -m benchmarks.own_images --count 60000 --side 32
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

CLASSES = 10
TEST_SHARE = 6  # one image of so many is a test image


def main() -> None:
    """Make so many PNG files, and open them twice, each time in a new process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=32, help="pixels")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        images = Path(folder, "images")
        make_files(images, arguments.count, arguments.side)
        print(f"{arguments.count:,} PNG files of {arguments.side}x{arguments.side} pixels")
        base = in_new_process("import normscope.data.own", folder)
        first, second = (in_new_process(f"open_and_make({str(images)!r})", folder) for _ in "12")
        for name, measured in (("imports alone", base), ("first", first), ("second", second)):
            print(f"{name:14} {measured['seconds']:7.2f} s {measured['peak_mib']:7.0f} MiB at most")
        print(f"ratio          {first['seconds'] / second['seconds']:7.1f}")


def make_files(folder: Path, count: int, side: int) -> None:
    """Images of soft spots with grain, in a folder per class under train/ and test/."""
    rng = np.random.default_rng(0)
    for number in range(count):
        split = "train" if number % TEST_SHARE else "test"
        place = folder / split / f"class{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-6, 7, (side, side, 3))
        pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:06}.png", compress_level=1)


def in_new_process(statement: str, folder: str) -> dict[str, float]:
    """Seconds and peak memory of a statement, with a cache of its own below `folder`."""
    code = f"from benchmarks.own_images import *; print_cost({statement!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XDG_CACHE_HOME": os.path.join(folder, "cache")},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def print_cost(statement: str) -> None:
    """Run a statement of this module; print what it took."""
    started = time.perf_counter()
    exec(statement, globals())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def open_and_make(folder: str) -> None:
    """Open the images and get at the arrays."""
    from normscope.data.own import open_images

    source = open_images(folder).source
    assert source.make is not None
    dataset = source.make(source.train_size, source.test_size)
    assert dataset.train_images.shape[1:] == source.image_shape


if __name__ == "__main__":
    main()
