"""A drawn figure -> PNG and SVG for a folder, and SVG for a page; always the same bytes.

Looks are written as attributes (``fill="none"``), never as ``style="fill: none"`` or in a style
sheet inside the SVG. A page whose security policy forbids inline styles would ignore those, and
show every shape in solid black.
"""

import io
import re
from html import escape

from matplotlib.figure import Figure

from normscope.report.plots.style import in_style
from normscope.words import visible

PNG_DOTS_PER_INCH = 200


def to_png(figure: Figure) -> bytes:
    """The figure on white, as PNG."""
    target = io.BytesIO()
    with in_style():
        figure.savefig(target, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
    return target.getvalue()


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an SVG file with text as text and no date; `name` makes its ids unique."""
    target = io.StringIO()
    with in_style(**{"svg.hashsalt": name}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", target.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: _shorten_numbers(_without_style(tag[0])), svg)
    svg = _plain_marks(svg)
    svg = _unique_ids(svg, name)
    start = f'<svg role="img" aria-label="{escape(alt)}" stroke-linejoin="round" '
    return visible(svg.replace("<svg ", start, 1), keep="\n\r\t")  # all that XML allows of them


def with_axes(svg: str, figure: Figure) -> str:
    """The same figure, which says where its first axes are, for scripts.

    Their left, top, right and bottom edge in points of 1/72 inch, which are the figure's own units;
    then the values of x at the left and at the right, and those of y at the bottom and at the top.
    """
    axes = figure.axes[0]
    box = axes.get_position()
    width, height = 72 * figure.get_size_inches()
    edges = (width * box.x0, height * (1 - box.y1), width * box.x1, height * (1 - box.y0))
    places = [round(float(each), 4) for each in (*edges, *axes.get_xlim(), *axes.get_ylim())]
    return svg.replace("<svg ", f'<svg data-axes="{places}" ', 1)


def for_page(svg: str) -> str:
    """The same figure for use inside the report's page, whose style sheet sets its inks and width.

    Any rule of a style sheet overrides an attribute, so the page needs no other SVG than the file.
    """
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub(r' font-family="[^"]*"', "", svg)


def _without_style(tag: str) -> str:
    """The tag with each declaration of its style as an attribute of its own."""
    return re.sub(r' style="([^"]*)"', lambda style: _attributes(style[1]), tag)


def _attributes(style: str) -> str:
    """``fill: none; opacity: 0.5`` -> `` fill="none" opacity="0.5"``.

    `font`, which matplotlib 3.8 writes, is no attribute: it becomes the three that it stands for.
    """
    style = re.sub(
        r"\bfont: (?:(\w+) )?([\d.]+px) ([^;]+)",
        r"font-weight: \1; font-size: \2; font-family: \3",
        style,
    )
    declared = dict(re.findall(r"([a-z-]+): *([^; ][^;]*)", style))  # the last one counts
    return "".join(f' {name}="{value}"' for name, value in declared.items())


def _shorten_numbers(tag: str) -> str:
    """Round to two decimals of a point, which are finer than any screen or printer."""
    return re.sub(
        r"\d+\.\d{3,}(?!\d*e)",
        lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."),
        tag,
    )


def _plain_marks(svg: str) -> str:
    """Take the looks away from marks that are defined once: each use of one gives them again.

    A rule of the page's style sheet reaches a use, but not what is drawn inside of it.
    """
    return re.sub(r'(<defs>\s*<path id="[^"]*" d="[^"]*")[^>]*/>', r"\1/>", svg)


def _unique_ids(svg: str, name: str) -> str:
    """Drop the ids that nothing refers to, and put the figure's name before the others."""
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda i: f' id="{name}-{i[1]}"' if i[1] in used else "", svg)
    return re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
