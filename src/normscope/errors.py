"""The errors a user can act on; the message is one line that says what to do."""

from difflib import get_close_matches


class NormscopeError(Exception):
    """Base of the errors that the command line prints without a traceback."""

    exit_code = 3


class UsageError(NormscopeError):
    """What was asked cannot be done as asked: an unknown name, a wrong value, a wrong folder."""

    exit_code = 2


class RunError(NormscopeError):
    """Something failed while working: data missing or altered, no network, a trial that raised."""

    exit_code = 3


def lookup(table: dict, kind: str, name: str, more: str = ""):
    """Return ``table[name]``, or raise a `UsageError` that lists the names there are.

    `more` says what else may be named.

    An entry with a `title` is also suggested to those who call it by that: bn for BatchNorm2d.
    """
    if name not in table:
        meant = _meant(table, name)
        hint = f"; did you mean {meant}?" if meant else ""
        known = f"{', '.join(table)}{f', or {more}' if more else ''}"
        raise UsageError(f"unknown {kind} {name!r}; known: {known}{hint}")
    return table[name]


def _meant(table: dict, name: str) -> str | None:
    """The entry that is called something like `name`, if there is one."""
    asked = _letters(name)
    for key, entry in table.items():
        title = _letters(str(getattr(entry, "title", key)).split(" (")[0])
        if asked == _letters(key) or (title and asked.startswith(title)):
            return key
    close = get_close_matches(name, table, n=1)
    return close[0] if close else None


def _letters(name: str) -> str:
    """Letters and digits alone, in lower case: ``batchnorm2d`` for Batch_Norm2d."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())
