"""The command `normscope`: its groups of commands, and how it ends."""

import os
import sys
from typing import Annotated, Any

import typer

from normscope.cli.data import data_app
from normscope.cli.diff import diff
from normscope.cli.doctor import doctor
from normscope.cli.experiments import compare, investigate, report, retry
from normscope.cli.information import check_norm, cost, norms, plan, summary
from normscope.cli.inside import explain, probe
from normscope.cli.interrupt import exit_code, signals_heard
from normscope.cli.judge import judge
from normscope.cli.names import HelpWithNames
from normscope.cli.options import figures_without_a_home
from normscope.cli.selftest import selftest
from normscope.cli.status import status
from normscope.cli.streams import prepare_streams
from normscope.cli.suite import suite
from normscope.cli.tables import show, table
from normscope.cli.write_up import write_up
from normscope.errors import RunError
from normscope.words import visible

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which normalization layer should your CNN use, by how much, and why.",
)
COMMANDS = (
    compare, suite, investigate, status, retry, report, show, table, write_up, judge, diff, probe,
    explain, norms, check_norm, cost, plan, summary, doctor, selftest,
)  # fmt: skip
for command in COMMANDS:
    app.command(cls=HelpWithNames)(command)
app.add_typer(data_app, name="data")

# What is raised for arguments that cannot be read. Some versions of typer bring their own copy of
# click, so the class has no other name that is always there.
BadArguments: Any = typer.BadParameter.__base__


def main() -> None:
    """Entry point of the `normscope` command."""
    prepare_streams()
    try:
        with signals_heard(), figures_without_a_home():
            code = app(prog_name="normscope", standalone_mode=False)
            sys.stdout.flush()
            sys.exit(code)
    except KeyboardInterrupt as stop:  # before a command began, or while it ended
        sys.exit(exit_code(stop))
    except typer.Abort as abort:  # the same while arguments were read
        sys.exit(exit_code(abort.__cause__))
    except BadArguments as error:
        _show_bad_arguments(error)
        sys.exit(error.exit_code)
    except RunError as error:  # standard output cannot be written
        print(f"normscope: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(1)


def _show_bad_arguments(error: Any) -> None:
    """In one line, as every other error; a command without its arguments shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    message = visible(error.format_message().rstrip("."))
    command = error.ctx.command_path if error.ctx else "normscope"
    advice = f"`{command} --help` shows what there is"
    print(f"normscope: {message}; {_data_set_meant(message) or advice}", file=sys.stderr)


def _data_set_meant(message: str) -> str:
    """What to write for ``compare shapes``, if that is what was written."""
    if "unexpected extra argument" not in message:
        return ""
    from normscope.data import DATASETS

    named = [word for word in sys.argv[1:] if word in DATASETS]
    return f"did you mean --dataset {named[0]}?" if named else ""


def _print_version(wanted: bool) -> None:
    if wanted:
        from normscope.version import __version__

        print(f"normscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Which normalization layer should your CNN use, by how much, and why."""
