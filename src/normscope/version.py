"""Which normscope this is."""

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    """The installed version; "0+unknown" where a source tree is used without being installed."""
    try:
        return version("normscope")
    except PackageNotFoundError:
        return "0+unknown"


__version__ = _installed()
