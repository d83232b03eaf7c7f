"""The result table for a paper: LaTeX with the rules of booktabs."""

import re

from normscope.analysis import Analysis
from normscope.analysis.summaries import NormSummary
from normscope.report.result_table import setting
from normscope.stats import Estimate
from normscope.words import NONE, confidence, number, signed, visible

# What LaTeX takes for markup, and how it is written as text.
MARKUP = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def render_latex(analysis: Analysis) -> str:
    """A table with a row per norm, and a caption that says how its numbers were made."""
    baseline = _name(analysis.experiment.baseline, analysis)
    sure = escape(confidence(analysis.rules.alpha))
    rows = [_row(norm, analysis) for norm in analysis.norms]
    headings = [
        "Norm",
        "$n$",
        r"Test accuracy (\%)",
        f"Difference to {baseline} (points), {sure} interval",
        "Verdict",
    ]
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{_caption(analysis)}}}",
        r"  \begin{tabular}{lrrrl}",
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
    return re.sub(r"−(\d)", r"$-$\1", text).replace("±", r"$\pm$")


def _caption(analysis: Analysis) -> str:
    facts = analysis.facts
    synthetic = " Synthetic data." if facts.synthetic else ""
    means = "Test accuracy as mean and standard deviation over seeds."
    late = f" {analysis.promised.note}" if analysis.promised else ""
    return escape(f"{facts.name}. {setting(analysis)}{synthetic} {means} {analysis.method}{late}")


def _row(norm: NormSummary, analysis: Analysis) -> list[str]:
    return [
        _name(norm.norm, analysis),
        str(norm.finished),
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
