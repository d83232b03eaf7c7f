"""The page to hand in and what goes into a paper: what is in them, and that names stay text."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from report_fakes import collapsed, make_analysis

from normscope.analysis.afterwards import Chosen
from normscope.analysis.sentences import Caveat
from normscope.experiment import Design
from normscope.report import latex
from normscope.report.markdown import render_markdown
from normscope.report.method import method_paragraph
from normscope.report.tables import network_tables, result_tables
from normscope.report.write_up import write_write_up

ROOT = Path(__file__).parents[2]
HOSTILE = (r"\input{/etc/passwd}", "a|b`c`\n# d <script>", r"$x^2$ & 50 % _ # ~ {\bf} ]](http://e)",
           "[1ex] --{ `")  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A write-up with LaTeX, and the analysis that it is of."""
    folder = tmp_path_factory.mktemp("write-up")
    analysis = make_analysis(epochs=3, test_size=200, titles={"gn": "GroupNorm (4 groups)"})
    write_write_up(analysis, folder / "pictures", folder / "out", latex=True)
    return analysis, folder / "out"


def test_the_page_has_what_a_course_asks_for_in_this_order(written):
    _, folder = written
    page = folder.joinpath("write-up.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == [
        "Question", "Answer", "Results", "Curves", "Convergence and smoothness", "Mistakes",
        "Findings", "Caveats", "Network and cost", "Method", "Repeat it", "Cite",
    ]  # fmt: skip
    for heading in ("Question", "Results", "Curves", "Mistakes", "Method"):
        assert not re.search(rf"## {heading}\n\n#", page)


def test_every_sentence_is_in_it_and_every_link_has_its_file(written):
    analysis, folder = written
    page = folder.joinpath("write-up.md").read_text(encoding="utf-8")
    for sentence in map(str, (*analysis.answers, *analysis.findings, *analysis.caveats)):
        assert f"- {sentence}\n" in page
    linked = re.findall(r"\]\((figures/[^)]+)\)", page)
    assert {path.relative_to(folder).as_posix() for path in folder.glob("figures/*")} == {*linked}
    assert {"figures/mistakes_of_all.png", "figures/test_accuracy_percent.png"} <= {*linked}
    assert [f"figures/mistakes_{n}.png" in linked for n in range(4)] == [True, True, True, False]


def test_commands_are_code_and_not_part_of_a_list(written):
    """Four spaces behind a list would be its next paragraph."""
    page = written[1].joinpath("write-up.md").read_text(encoding="utf-8")
    assert "## Repeat it\n\n    normscope compare --dataset cifar10\n\n" in page
    assert "- 9 trials: normscope 0.1.0, Python 3.11.7, torch 2.13.0+cpu" in page


def test_it_goes_where_it_is_told_and_touches_nothing_else(tmp_path):
    analysis = make_analysis(norms=("bn", "gn"), epochs=1, test_size=50)
    for name in ("README.md", "figures/mine.png"):
        tmp_path.joinpath(name).parent.mkdir(exist_ok=True)
        tmp_path.joinpath(name).write_text("mine")
    path = write_write_up(analysis, tmp_path / "pictures", tmp_path)
    assert path == tmp_path / "write-up.md"
    assert not tmp_path.joinpath("latex").exists()
    assert tmp_path.joinpath("README.md").read_text() == "mine"
    assert tmp_path.joinpath("figures/mine.png").read_text() == "mine"


def test_the_result_table_in_two_has_every_column_once():
    main, beside = result_tables(make_analysis(seeds=5))
    assert main.headings == [
        "Norm", "n", "Test accuracy (%)", "Difference to bn (points)", "Verdict"
    ]  # fmt: skip
    assert beside.headings[1:4] == ["Train accuracy (%)", "Train − test (points)", "Epochs to 60 %"]
    assert all(len(row) == len(table.headings) for table in (main, beside) for row in table.rows)
    analysis = make_analysis(seeds=5)
    accuracy = analysis.norms[1].test_accuracy_percent
    assert str(main.rows[1][2]) == f"{accuracy.mean:.1f} ± {accuracy.sd:.2f}"


def test_of_several_batch_sizes_each_table_says_which_it_is_for(tmp_path):
    analysis = make_analysis(batch_sizes=(512, 8), epochs=1, test_size=60)
    assert all(each.caption.startswith("Batch size 512. ") for each in result_tables(analysis))
    assert r"\caption{Batch size 512. cifar10. " in latex.render_latex(analysis)
    page = write_write_up(analysis, tmp_path, tmp_path).read_text(encoding="utf-8")
    below = page[page.index("### By batch size") : page.index("## Curves")]
    assert "| Norm | 8 | 512 |" in below
    assert "](figures/batch_sizes.png)" in below
    one = make_analysis(epochs=1, test_size=60)
    assert not any("Batch size" in each.caption for each in result_tables(one))
    assert "Batch size" not in latex.render_latex(one)


def test_one_seed_has_no_spread():
    main, _ = result_tables(make_analysis(seeds=1))
    assert re.fullmatch(r"\d\d\.\d", str(main.rows[0][2]))


def test_the_layers_are_those_of_the_baseline_and_sizes_are_told_where_they_differ():
    analysis = make_analysis()
    (layers,) = network_tables(analysis)
    own = analysis.models["bn"]
    assert [str(cell) for cell in layers.rows[0][:2]] == [
        own.layers[0].name, " × ".join(map(str, own.layers[0].output_shape))
    ]  # fmt: skip
    assert len(layers.rows) == len(own.layers) + 1
    assert str(layers.rows[-1][2]) == f"{sum(each.parameters for each in own.layers):,}"
    assert "With gn and ln all shapes and numbers are the same." in layers.caption
    larger = own.layers[0].model_copy(update={"parameters": 7_000})
    wide = own.model_copy(update={"norm": "gn", "layers": (larger, *own.layers[1:])})
    other = make_analysis()
    object.__setattr__(other, "models", {**other.models, "gn": wide})
    layers, sizes = network_tables(other)
    assert "With ln all" in layers.caption
    assert str(sizes.rows[1][1]) == f"{wide.parameters:,}"


def test_the_summary_has_the_layers_and_the_mistakes():
    markdown = render_markdown(make_analysis(), [])
    assert "### Layers of s8 with bn" in markdown
    assert "## Mistakes" in markdown


# -- how it was done -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "no result had a say in the number of seeds, and t tests were used;"),
        ({"design": Design(until_decided=True)}, "spend the error over all looks (Lan and DeMets"),
        ({"design": Design(until_decided=True), "rules": 1}, "t e-process whose prior is a Gauss"),
        ({"protocol": "tuned"}, "the learning rate was chosen on images held out"),
        ({"batch_sizes": (128, 512)}, "at the batch sizes 128 and 512"),
        ({"design": Design(alpha=0.1, margin_points=1)}, "at 10 %, and each interval"),
        ({"design": Design(margin_points=1)}, "within 1 points"),
        ({"chosen": Chosen("gn", 0.05, 0.5)}, "Exploratory: baseline gn"),
        ({"change": lambda rs: [collapsed(rs[0]), *rs[1:]]}, "signs were tested instead of means"),
    ],
)
def test_the_method_says_how_it_was_done(arguments, words):
    assert words.rstrip(";") in method_paragraph(make_analysis(**arguments))


def test_a_paper_says_what_was_decided_after_a_look():
    texts = "The alpha was changed after a look at results.", "Added after a look at results: in."
    kinds: tuple = ("changed rules", "enlarged family")
    caveats = [Caveat(*each) for each in zip(kinds, texts, strict=True)]
    analysis = replace(make_analysis(), caveats=(*caveats, Caveat("one seed", "One seed.")))
    assert method_paragraph(analysis).endswith(" ".join(texts))
    assert " ".join(texts) + "}\n" in latex.render_latex(analysis)
    assert "One seed." not in method_paragraph(analysis)


def test_of_folds_no_signs_are_tested():
    analysis = make_analysis(change=lambda results: [collapsed(results[0]), *results[1:]])
    folded = replace(analysis, rules=replace(analysis.rules, overlap=1 / 2))
    assert "counts as guessing, and the comparison is left undecided." in method_paragraph(folded)
    assert "signs" not in method_paragraph(folded)


def test_one_norm_was_tested_against_nothing():
    assert "Holm" not in method_paragraph(make_analysis(norms=("bn",)))


# -- for a paper -----------------------------------------------------------------------------------


def test_the_files_for_a_paper(written):
    analysis, folder = written
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("latex/*")}
    assert set(found) == {"results.tex", "network.tex", "method.tex", "normscope.bib"}
    layers = analysis.models["bn"].layers
    assert found["network.tex"].count(r" \\") == len(layers) + 2  # the heading and the total
    assert r"\cite{normscope}" in found["method.tex"]
    assert "@misc{normscope," in found["normscope.bib"]
    assert "version 0.1.0" in found["normscope.bib"]
    for text in found.values():
        assert text.count("{") == text.count("}")


def hostile():
    return make_analysis(
        norms=("bn", "gn"), epochs=1, test_size=60, class_names=HOSTILE, command="x `\n# y",
        titles={"bn": HOSTILE[3], "gn": "*" + HOSTILE[0] + HOSTILE[2]},
    )  # fmt: skip


def test_hostile_names_are_text_in_a_paper():
    analysis = hostile()
    for text in (latex.render_latex(analysis), latex.render_method(analysis)):
        assert r"\input" not in text
        assert r"\textbackslash{}input\textbraceleft{}/etc/passwd\textbraceright{}" in text
        assert r"\$x\textasciicircum{}2\$ \& 50 \% \_ \# \textasciitilde{}" in text
    table = latex.render_latex(analysis)
    assert "\\midrule\n    {[}1ex] -{}-\\textbraceleft{} ` &" in table
    assert "\n    {*}\\textbackslash{}input" in table
    assert latex.escape("a < b | c > d × 2") == (
        r"a \textless{} b \textbar{} c \textgreater{} d $\times$ 2"
    )


def test_hostile_names_are_text_in_the_page(tmp_path):
    page = write_write_up(hostile(), tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert not re.search(r"^# [dy]", page, re.MULTILINE)
    assert "](http" not in page.replace(r"\](http", "")


def test_a_paper_of_hostile_names_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    analysis = hostile()
    parts = {
        "results": latex.render_latex(analysis),
        "method": latex.render_method(analysis),
        "network": latex.render_network(analysis),
    }
    for name, text in parts.items():
        tmp_path.joinpath(f"{name}.tex").write_text(text, encoding="utf-8")
    tmp_path.joinpath("paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        r"\input{method}\input{results}\input{network}\end{document}"
    )
    command = [
        "pdflatex",
        "-interaction=nonstopmode",
        "-halt-on-error",
        "-no-shell-escape",
        "paper",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passwd" not in "".join(re.findall(r"\([^()\s]+", done.stdout))


def test_the_citation_is_valid_and_says_what_bibtex_says():
    """The keys that version 1.2.0 of the Citation File Format asks for, and the same facts."""
    citation = yaml.safe_load(ROOT.joinpath("CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= {*citation}
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["title"] == latex.TITLE
    assert citation["authors"] == [{"name": latex.AUTHORS}]
    project = ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8")
    for name in ("version", "license"):
        assert f'\n{name} = "{citation[name]}"\n' in project
