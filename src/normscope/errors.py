"""The errors a user can act on; the message is one line that says what to do."""


class NormscopeError(Exception):
    """Base of the errors that the command line prints without a traceback."""

    exit_code = 3


class UsageError(NormscopeError):
    """What was asked cannot be done as asked: an unknown name, a wrong value, a wrong folder."""

    exit_code = 2


class RunError(NormscopeError):
    """Something failed while working: data missing or altered, no network, a trial that raised."""

    exit_code = 3


def lookup(table: dict, kind: str, name: str):
    """Return ``table[name]``, or raise a `UsageError` that lists the names there are."""
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}; known: {', '.join(table)}")
    return table[name]
