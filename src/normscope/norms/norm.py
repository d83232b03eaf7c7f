"""A norm of the table, and a norm as it is asked for: ``gn:groups=2:pre``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from normscope.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

MakeNorm: TypeAlias = "Callable[..., nn.Module]"  # num_channels -> a layer for (N, C, H, W)
Placement: TypeAlias = Literal["post", "pre"]  # after or before the activation
PLACEMENTS: tuple[Placement, ...] = ("post", "pre")

# Which channels a group is made of: the next ones, any, or by how alike their scales are or how
# they correlate, in the network before its training or in the same one after it.
GIVEN = "given"
ORDERS = (
    GIVEN,
    "random",
    *(
        f"{likeness}-{what}-{when}"
        for what in ("scale", "correlation")
        for when in ("initial", "trained")
        for likeness in ("similar", "dissimilar")
    ),
)
Value: TypeAlias = int | float | str | bool | None


@dataclass(frozen=True)
class Norm:
    """A norm that can be named, and told of, before it is imported.

    `title` is its full name, for people. `home` says where the function or class that makes its
    layers is, as ``"module:name"``, and `options` the keywords that it takes besides the number of
    channels, with their defaults. `formula`, what statistics run `over`, what differs in
    `evaluation`, `parameters` per channel and `source` are for people, too.

    A network has no activation beside a norm that `replaces_activation`, and makes its convolutions
    as the class at `convolution_home` where there is one. A norm that is not `placed` does the same
    before and after an activation. `running_statistics` are averages over past batches that a
    network is tested with. `choices` are options that whoever builds a network sees to, and not the
    layer, each with the words that it may be; the first is the default. `words` are what an option
    may be besides a number.
    """

    title: str
    home: str
    formula: str = ""
    over: str = ""
    evaluation: str = ""
    parameters: str = ""
    source: str = ""
    options: Mapping[str, Value] = field(default_factory=dict)
    replaces_activation: bool = False
    convolution_home: str | None = None
    placed: bool = True
    running_statistics: bool = False
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __call__(self, num_channels: int, **options: Any) -> "nn.Module":
        """A layer for x (N, num_channels, H, W); `options` are those of the object at `home`."""
        return resolve_name(self.home)(num_channels, **options)

    @property
    def convolution(self) -> "type[nn.Conv2d] | None":
        """The class that a network's convolutions are made as, if it is not the usual one."""
        return resolve_name(self.convolution_home) if self.convolution_home else None


@dataclass(frozen=True)
class Asked:
    """A norm as it is asked for: called with a number of channels, it makes a layer.

    `make` is its entry in the table, `options` those that differ from the defaults, and `order` the
    order in which channels are grouped: see `ORDERS`.
    """

    make: MakeNorm
    options: Mapping[str, Value]
    placement: Placement
    order: str

    def __call__(self, num_channels: int) -> "nn.Module":
        return self.make(num_channels, **self.options)

    @property
    def convolution(self) -> "type[nn.Conv2d] | None":
        """As for `Norm`; a function of a script has none."""
        return getattr(self.make, "convolution", None)


@dataclass(frozen=True)
class Spec:
    """What a text such as ``gn:groups=2:pre`` says: a name, options in the order written, place."""

    name: str
    options: Mapping[str, str]
    placement: Placement | None


def parse(text: str) -> Spec:
    """Read a norm as a user writes it; raises `UsageError` if an option or place comes twice.

    Parts between colons that are neither ``key=value`` nor a placement belong to the name, as in
    ``layers.py:MyNorm``.
    """
    parts = text.split(":")
    name, options, places = [parts[0]], {}, []
    for part in parts[1:]:
        key, equals, value = part.partition("=")
        if equals:
            if key in options:
                raise UsageError(f"{text}: the option {key} comes twice")
            options[key] = value
        elif part in PLACEMENTS:
            places.append(part)
        else:
            name.append(part)
    if len(places) > 1:
        raise UsageError(f"{text}: a norm sits either post or pre, after or before the activation")
    return Spec(":".join(name), options, places[0] if places else None)


def value_of(text: str) -> Value:
    """An option's value as written: a whole number, a number, true or false, or else text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def checked_options(name: str, norm: Norm, options: Mapping[str, str]) -> dict[str, Value]:
    """The options of a packaged norm that differ from its defaults, in the table's order.

    Raises `UsageError` for one that it does not have, or a value of another kind.
    """
    for key in options:
        if key not in norm.options and key not in norm.choices:
            known = ", ".join([*norm.options, *norm.choices]) or "none"
            raise UsageError(f"{name} has no option {key!r}; it has: {known}")
    found = {}
    for key, usual in norm.options.items():
        if key in options:
            value = _checked_value(name, key, options[key], usual, norm.words.get(key, ()))
            if value != usual:
                found[key] = value
    for key, words in norm.choices.items():
        if key in options and options[key] != words[0]:
            if options[key] not in words:
                raise UsageError(f"{name}: {key} is one of {', '.join(words)}")
            found[key] = options[key]
    return found


def _checked_value(name: str, key: str, text: str, usual: Value, words: Sequence[str]) -> Value:
    """An option's value, of the kind of its default or one of the words."""
    value = value_of(text)
    kinds = (int, float) if isinstance(usual, float) else (int,)
    if value in words or (isinstance(value, kinds) and not isinstance(value, bool)):
        return value
    wanted = " or ".join(["a number" if isinstance(usual, float) else "a whole number", *words])
    raise UsageError(f"{name}: {key} must be {wanted}, not {text!r}")


def written(name: str, options: Mapping[str, Value], placement: Placement) -> str:
    """The one way in which a norm is written: ``gn:groups=2:pre``."""
    parts = [f"{key}={_text(value)}" for key, value in options.items()]
    return ":".join([name, *parts, *(["pre"] if placement == "pre" else [])])


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
