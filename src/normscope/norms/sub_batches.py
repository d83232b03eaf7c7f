"""bn with its statistics over fewer images than the gradient: ghost-bn by another way of asking."""

from normscope.norms.names import canonical, is_packaged, renamed
from normscope.norms.norm import parse, value_of, written
from normscope.norms.table import PACKAGED_NORMS


def over_sub_batches(text: str, size: int) -> str | None:
    """bn as it is asked for, over sub-batches of `size` images; None if it is another norm.

    ``ghost-bn:size=8:pre`` for ``BatchNorm2d:pre``: ghost-bn has all the options of bn.
    """
    norm = canonical(text)
    if not is_packaged(norm) or parse(norm).name != "bn":
        return None
    return canonical(f"{renamed(norm, 'ghost-bn')}:size={size}")


def over_whole_batches(norm: str) -> str:
    """The bn that ghost-bn is if sub-batches are whole batches; any other norm as it is."""
    if not is_packaged(norm) or parse(norm).name != "ghost-bn":
        return norm
    spec = parse(norm)
    values = {key: value_of(value) for key, value in spec.options.items() if key != "size"}
    return written("bn", values, spec.placement or "post")


def statistics_batch(norm: str, batch_size: int) -> int | None:
    """Over how many images of a batch bn or ghost-bn takes a mean; None for any other norm."""
    spec = parse(norm)
    if not is_packaged(norm) or spec.name not in ("bn", "ghost-bn"):
        return None
    usual = PACKAGED_NORMS["ghost-bn"].options["size"]
    size = batch_size if spec.name == "bn" else int(spec.options.get("size", usual))  # pyright: ignore  # a number
    return min(size, batch_size)
