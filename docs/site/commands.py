"""The page of the commands, made of what their ``--help`` says."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import typer

from normscope.cli.app import app

HELP = "--help"


def commands_page() -> str:
    """Every command with its usage, what it does, its arguments and its options."""
    lead = "# Commands\n\nWhat `normscope COMMAND --help` says, for each of them."
    root = typer.main.get_command(app)
    return "\n\n".join([lead, *_parts(root, "normscope")]) + "\n"


def _parts(command: Any, path: str) -> Iterator[str]:
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from _parts(each, f"{path} {name}")
        else:
            yield from _command(each, f"{path} {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    with redirect_stdout(io.StringIO()):  # which fills in the names of norms, models and the like
        command.get_help(context)
    yield f"## {path}"
    yield f"    {path} {' '.join(command.collect_usage_pieces(context))}"
    yield _text(command.help)
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)  # None of a hidden one
        if record and HELP not in parameter.opts:
            written, does = record
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or usual
            panels.setdefault(panel, []).append((f"`{written.strip()}`", _text(does)))
    for panel, rows in panels.items():
        yield f"**{panel}**"
        yield "\n\n".join(f"{written}\n:   {does}" for written, does in rows)


def _text(text: str | None) -> str:
    """As Markdown: what might be markup in it is text, and an example is code."""
    lines = []
    for line in (text or "").strip().split("\n"):
        lead, such, example = line.partition("Such as: ")
        shown = lead.replace("<", "&lt;").replace("*", "\\*")
        lines.append(f"{shown}{such}`{example}`" if such else shown)
    return "\n".join(lines)
