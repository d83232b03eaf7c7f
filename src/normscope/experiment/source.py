"""Where a norm of a user's own comes from."""

from normscope.experiment.frozen import Frozen


class Source(Frozen):
    """`home` is how its user named a norm; `fingerprint` changes when its source is edited."""

    home: str
    fingerprint: str
