"""The README's picture of a terminal, made anew from a real run: python docs/site/terminal.py"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "terminal.svg"
ARGUMENTS = ("show", "docs/results/cifar10-s8-s8")
COLUMNS = 100

# The inks of a report's page in the dark, and the colours of its verdicts.
THEME = TerminalTheme(
    background=(23, 23, 22),
    foreground=(236, 235, 232),
    normal=[(23, 23, 22), (240, 149, 90), (0, 158, 115), (240, 149, 90), (124, 192, 238),
            (204, 121, 167), (124, 192, 238), (236, 235, 232)],
)  # fmt: skip


def run_in_terminal(arguments: tuple[str, ...]) -> str:
    """What `normscope` writes to a terminal of so many columns, with its colours."""
    terminal = {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "normscope", *arguments],
        cwd=ROOT, env={**os.environ, **terminal}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def as_svg(shown: str, title: str) -> str:
    """A window with this text; no font is fetched for it, as rich's own pictures would."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown))
    svg = console.export_svg(title=title, theme=THEME, unique_id="terminal")
    return re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL)


def draw() -> str:
    """The picture, as SVG."""
    return as_svg(run_in_terminal(ARGUMENTS), f"normscope {' '.join(ARGUMENTS)}")


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(PICTURE)
