"""A drawn figure -> PNG and SVG for a folder, and SVG for a page; always the same bytes."""

import io
import re
from html import escape

from matplotlib.figure import Figure

from normscope.report.plots.style import GRID, INK, MUTED, PAPER, in_style

PNG_DOTS_PER_INCH = 200


def to_png(figure: Figure) -> bytes:
    """The figure on white, as PNG."""
    target = io.BytesIO()
    with in_style():
        figure.savefig(target, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
    return target.getvalue()


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as SVG of its own, text as text, without date; `name` makes its ids unique."""
    target = io.StringIO()
    with in_style(**{"svg.hashsalt": name}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", target.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: _shorten_numbers(tag[0]), svg)
    svg = _unique_ids(svg, name)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)


def for_page(svg: str) -> str:
    """The same figure for use inside an HTML page: its ink and its width are those of the page."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r' ?font-family: [^;"]*;?', "", svg)
    inks = {INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)"}
    for ink, value in inks.items():
        svg = svg.replace(ink, value)
    return svg


def _shorten_numbers(tag: str) -> str:
    """Two decimals of a point are finer than any screen or printer."""
    return re.sub(
        r"\d+\.\d{3,}(?!\d*e)",
        lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."),
        tag,
    )


def _unique_ids(svg: str, name: str) -> str:
    """Drop the ids that nothing refers to, and prefix the others by the figure's name."""
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda i: f' id="{name}-{i[1]}"' if i[1] in used else "", svg)
    return re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
