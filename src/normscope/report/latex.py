"""What goes into a paper: tables in LaTeX with the rules of booktabs, the method, BibTeX."""

import re
from collections.abc import Sequence

from normscope.analysis import Analysis
from normscope.analysis.summaries import NormSummary
from normscope.report.method import method_paragraph, reservations
from normscope.report.result_table import main_size, setting, trials_cell
from normscope.report.tables import network_tables
from normscope.stats import Estimate
from normscope.words import NONE, confidence, number, signed, visible

# As in CITATION.cff.
KEY = "normscope"
TITLE = "normscope: which normalization layer should a CNN use, by how much, and why"
AUTHORS = "The normscope authors"
YEAR = "2026"

# What LaTeX takes for markup, and how it is written as text.
MARKUP = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # Not a backslash and the brace, which BibTeX counts.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    # What the end of the row above would take for its own.
    "[": "{[}",
    "*": "{*}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
    "±": r"$\pm$",
    "×": r"$\times$",
}
LIGATURE = re.compile(r"([-,'`?!])(?=[-,'`])")  # two signs that fonts make one of: -- is a dash


def render_latex(analysis: Analysis) -> str:
    """A table with a row per norm, and a caption that says how its numbers were made."""
    sure = escape(confidence(analysis.rules.alpha))
    headings = [
        "Norm",
        "$n$",
        r"Test accuracy (\%)",
        f"Difference [{sure} interval]",
        "Verdict",
    ]
    rows = [_row(norm, analysis) for norm in analysis.norms]
    return _booktabs("lrrrl", _caption(analysis), "results", headings, rows)


def render_network(analysis: Analysis) -> str:
    """The layers of the baseline's network, with their output shapes and parameters."""
    table = network_tables(analysis)[0]
    cells = [[escape(str(cell)) for cell in row] for row in table.rows]
    caption = escape(f"{table.title}. {table.caption}")
    return _booktabs("llrr", caption, "network", [*map(escape, table.headings)], cells)


def render_method(analysis: Analysis) -> str:
    """The paragraph on the method, with a reference to `bibtex`."""
    return f"{escape(method_paragraph(analysis))} We used normscope~\\cite{{{KEY}}}.\n"


def bibtex(analysis: Analysis) -> str:
    """The entry for normscope, with the version that trained the networks; of several, all."""
    versions = sorted({result.environment.normscope for result in analysis.all_results})
    version = f", version {escape(', '.join(versions))}" if versions else ""
    fields = {
        "author": f"{{{AUTHORS}}}",
        "title": f"{{{TITLE}}}",
        "howpublished": f"Computer software{version}",
        "year": YEAR,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{KEY},", *lines, "}"]) + "\n"


def _booktabs(
    columns: str,
    caption: str,
    label: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> str:
    """A table of cells that are LaTeX already; `columns` as tabular takes them."""
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{caption}}}",
        f"  \\label{{tab:{label}}}",
        f"  \\begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {' & '.join(headings)} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(row)} \\\\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text from data stays text: no markup of LaTeX in it takes effect."""
    text = visible(" ".join(text.split()))
    text = "".join(MARKUP.get(sign, sign) for sign in text)
    text = LIGATURE.sub(r"\1{}", text)
    return re.sub(r"−(\d)", r"$-$\1", text)


def _caption(analysis: Analysis) -> str:
    facts = analysis.facts
    synthetic = " Synthetic data." if facts.synthetic else ""
    baseline = analysis.experiment.baseline
    means = (
        "Test accuracy as mean and standard deviation over seeds. Differences to "
        f"{analysis.titles.get(baseline, baseline)} are taken within seeds, in points."
    )
    late = " ".join(reservations(analysis))
    return escape(
        f"{main_size(analysis)}{facts.name}. {setting(analysis)}{synthetic} {means} "
        f"{analysis.method} {late}"
    )


def _row(norm: NormSummary, analysis: Analysis) -> list[str]:
    return [
        _name(norm.norm, analysis),
        escape(str(trials_cell(norm))),
        _mean_sd(norm.test_accuracy_percent),
        _difference(norm),
        norm.verdict.outcome if norm.verdict else "baseline",
    ]


def _name(norm: str, analysis: Analysis) -> str:
    return escape(analysis.titles.get(norm, norm))


def _mean_sd(estimate: Estimate) -> str:
    if estimate.mean is None:
        return escape(NONE)
    mean = number(estimate.mean, 1)
    return f"${mean}$" if estimate.sd is None else f"${mean} \\pm {number(estimate.sd, 2)}$"


def _difference(norm: NormSummary) -> str:
    if norm.verdict is None:
        return ""
    found = norm.verdict.difference
    if found.mean is None:
        return escape(NONE)
    words = f"${signed(found.mean)}$"
    if found.low is not None:
        words += f" [${signed(found.low)}$, ${signed(found.high)}$]"
    return words.replace("−", "-")
