"""Norms by name: the table `NORMS`, and what a name with options and a place stands for."""

from normscope.errors import UsageError, lookup
from normscope.norms.norm import (
    GIVEN,
    Asked,
    MakeNorm,
    Placement,
    checked_options,
    parse,
    value_of,
    written,
)
from normscope.norms.table import ALIASES, AMBIGUOUS, PACKAGED_NORMS
from normscope.own import is_home, plain_name

# What can be trained. A script may add any function of `num_channels` that returns a layer.
NORMS: dict[str, MakeNorm] = {**PACKAGED_NORMS}


def canonical(text: str) -> str:
    """The one name of what a user asks for: ``gn`` for ``GroupNorm`` and for ``gn:groups=4``.

    Options that are the default go, the others come in the order of the table. A name that is not
    in the packaged table stays as it is. Raises `UsageError` for an option that a norm does not
    have, for a value of another kind, and for a name that means several norms.
    """
    spec = parse(text)
    name, options = spec.name, spec.options
    if name not in NORMS:
        alias = _letters(name)
        if alias in AMBIGUOUS:
            raise UsageError(f"{name}: {AMBIGUOUS[alias]}; say which")
        known = parse(ALIASES.get(alias, name))
        name, options = known.name, {**known.options, **options}
    norm = PACKAGED_NORMS.get(name)
    if norm is None or not is_packaged(name):
        values = {key: value_of(value) for key, value in options.items()}
        whole = written(name, values, spec.placement or "post")
        return whole if is_home(name) else plain_name("norm", whole)
    if norm.replaces_activation and spec.placement:
        raise UsageError(f"{text}: {name} replaces the activation, so it is neither pre nor post")
    placement = spec.placement if norm.placed and spec.placement else "post"
    return written(name, checked_options(name, norm, options), placement)


def means_another(name: str) -> bool:
    """Whether a name that is in no table stands for a packaged norm, or for several."""
    return _letters(name) in {**ALIASES, **AMBIGUOUS}


def is_packaged(text: str) -> bool:
    """Whether a norm is one of the package's own, and not replaced by a script."""
    name = parse(text).name
    return name in PACKAGED_NORMS and NORMS.get(name) is PACKAGED_NORMS[name]


def placed(text: str, placement: Placement) -> str:
    """The norm at that place, if it says no other and has a place at all."""
    spec, norm = parse(text), PACKAGED_NORMS.get(parse(canonical(text)).name)
    fixed = norm is not None and (norm.replaces_activation or not norm.placed)
    return canonical(text if spec.placement or fixed else f"{text}:{placement}")


def asked(text: str) -> Asked:
    """What makes the layers of a norm; raises `UsageError`, listing the names, if it is unknown."""
    spec = parse(canonical(text))
    make = lookup(NORMS, "norm", spec.name)
    options = {key: value_of(value) for key, value in spec.options.items()}
    order = options.pop("order", GIVEN) if "order" in getattr(make, "choices", ()) else GIVEN
    return Asked(make, options, spec.placement or "post", str(order))


def in_given_order(text: str) -> str:
    """The same norm with the channels in the order in which they are given."""
    spec = parse(text)
    values = {key: value_of(value) for key, value in spec.options.items() if key != "order"}
    return written(spec.name, values, spec.placement or "post")


def order_of(text: str) -> str | None:
    """The order in which a norm's channels are put into groups; None for that given.

    Of a norm that has such a choice: an option of that name of a user's own is something else.
    """
    return parse(text).options.get("order") if is_packaged(text) and _has_order(text) else None


def _has_order(text: str) -> bool:
    return "order" in PACKAGED_NORMS[parse(text).name].choices


def renamed(text: str, name: str) -> str:
    """The same options and place for a norm of another name."""
    spec = parse(text)
    values = {key: value_of(value) for key, value in spec.options.items()}
    return written(name, values, spec.placement or "post")


def running_momentum(text: str) -> float | None:
    """By how much a norm's running statistics move in a step; None if it is tested without any."""
    spec = parse(text)
    norm = PACKAGED_NORMS.get(spec.name)
    if norm is None or not norm.running_statistics:
        return None
    return float({**norm.options, **spec.options}["momentum"])  # pyright: ignore  # a number


def title_of(text: str) -> str:
    """The full name of a packaged norm, for people; any other norm is called as it is written."""
    spec = parse(text)
    if spec.name not in PACKAGED_NORMS:
        return text
    title = PACKAGED_NORMS[spec.name].title
    details = [f"{key} {value}" for key, value in spec.options.items()]
    if details:  # they take the place of what the title says of the defaults
        title = f"{title.split(' (')[0]} ({', '.join(details)})"
    return f"{title}, before the activation" if spec.placement == "pre" else title


def _letters(name: str) -> str:
    """In lower case, without hyphens and underscores, in which people differ."""
    return name.casefold().replace("-", "").replace("_", "")
