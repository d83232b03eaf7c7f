"""The result table in LaTeX: its numbers, and that text from data stays text."""

import pytest
from report_fakes import collapsed, make_analysis

from normscope.report.latex import escape, render_latex


def rows(text):
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    lines = [line.strip().removesuffix(r" \\") for line in body.splitlines()[1:-1]]
    return [[cell.strip() for cell in line.split(" & ")] for line in lines]


def test_a_row_has_the_numbers_of_its_norm():
    analysis = make_analysis(seeds=5, titles={"gn": "GroupNorm, 4 groups"})
    bn, gn, ln = rows(render_latex(analysis))
    found = {norm.norm: norm for norm in analysis.norms}["gn"]
    accuracy, difference = found.test_accuracy_percent, found.verdict.difference
    assert gn[:2] == ["GroupNorm, 4 groups", "5 of 5"]
    assert gn[2] == rf"${accuracy.mean:.1f} \pm {accuracy.sd:.2f}$"
    low, high = difference.low, difference.high
    assert gn[3] == f"${difference.mean:+.2f}$ [${low:+.2f}$, ${high:+.2f}$]"
    assert gn[4] == found.verdict.outcome
    assert bn[3:] == ["", "baseline"]
    assert ln[0] == "ln"


def test_the_caption_says_how_the_numbers_were_made():
    text = render_latex(make_analysis(seeds=5))
    caption = next(line for line in text.splitlines() if r"\caption" in line)
    assert "5 seeds per norm" in caption
    assert r"a chance of at most 5 \% (Holm)" in caption
    assert text.count("{") == text.count("}")


def test_what_has_no_mean_is_a_dash():
    def lost(results):
        return [collapsed(r) if r.trial.norm == "gn" else r for r in results]

    _, gn = rows(render_latex(make_analysis(seeds=3, norms=("bn", "gn"), change=lost)))
    assert gn[1:4] == ["0 of 3 (3 collapsed)", "–", "–"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"100 % & $x_1$ #2", r"100 \% \& \$x\_1\$ \#2"),
        (r"\input{secret}", r"\textbackslash{}input\textbraceleft{}secret\textbraceright{}"),
        ("a^b~c", r"a\textasciicircum{}b\textasciitilde{}c"),
        ("−0.5 ± 1", r"$-$0.5 $\pm$ 1"),
        ("two\nlines", "two lines"),
        ("[1ex] *", "{[}1ex] {*}"),
        ("--seeds ---", "-{}-seeds -{}-{}-"),
        ("?`,,it''", "?{}`{},{},it'{}'"),
    ],
)
def test_text_stays_text(text, expected):
    assert escape(text) == expected
