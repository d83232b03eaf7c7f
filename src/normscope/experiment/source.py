"""Where norms, a network or images of a user's own come from."""

from normscope.experiment.frozen import Frozen


class Source(Frozen):
    """`home` is how its user named it; `fingerprint` changes when its source is edited."""

    home: str
    fingerprint: str
