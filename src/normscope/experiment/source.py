"""Where a norm or a network of a user's own comes from."""

from normscope.experiment.frozen import Frozen


class Source(Frozen):
    """`home` is how its user named it; `fingerprint` changes when its source is edited."""

    home: str
    fingerprint: str
