import io

import numpy as np
import pytest
from html_parts import Parts
from matplotlib.figure import Figure
from PIL import Image
from report_fakes import make_analysis

from normscope.errors import UsageError
from normscope.report import PAGE, write_report
from normscope.report.figures import FIGURES, make_figures
from normscope.report.in_notebook import PIXELS_PER_INCH, render_in_notebook
from normscope.study.comparison import Comparison


@pytest.fixture(scope="module")
def analysis():
    return make_analysis(titles={"bn": "BatchNorm"})


@pytest.fixture
def comparison(analysis, tmp_path):
    return Comparison(tmp_path, analysis)


def test_it_shows_the_recommendation_the_verdicts_and_where_the_page_is(comparison):
    html = comparison._repr_html_()
    texts = Parts(html).texts
    analysis = comparison.analysis
    assert str(analysis.recommendation).replace(" %", "\u00a0%") in texts
    heads = ["Norm", "n", "Test accuracy (%)", "Difference to bn (points)", "Verdict"]
    first = texts.index("Norm")
    assert texts[first : first + 5] == heads
    for norm in analysis.norms:
        assert f"{norm.test_accuracy_percent.mean:.1f}" in texts
    outcomes = [text.split()[-1] for text in texts if text[0] in "▲▼≈?"]
    assert outcomes == [verdict.outcome for verdict in analysis.verdicts]
    assert "comparison.report()" in texts
    (comparison.folder / PAGE).touch()
    assert str(comparison.page) in Parts(comparison._repr_html_()).texts


def test_nothing_is_loaded_and_no_colour_is_set_but_those_of_norms(comparison):
    parts = Parts(comparison._repr_html_())
    assert {*parts.tags} <= {
        "div", "table", "thead", "tbody", "tr", "th", "td", "span", "code", "b",
    }  # fmt: skip
    assert {name for name, _ in parts.attributes} == {"style", "scope"}
    styles = [value for name, value in parts.attributes if name == "style"]
    colored = [style.rpartition("background:")[2] for style in styles if "#" in style]
    assert colored == ["#0072B2", "#D55E00", "#009E73"]
    assert not any("color:" in style for style in styles)


def test_synthetic_data_and_the_batch_size_are_named():
    html = render_in_notebook(make_analysis(synthetic=True, batch_sizes=(64, 512)), None)
    text = " ".join(Parts(html).texts)
    assert "synthetic data" in text
    assert "batch size 512" in text


def test_hostile_names_are_text(tmp_path):
    norms = ("<svg onload=alert(1)>", '"><script>alert(1)<!--', "<b>b")
    analysis = make_analysis(norms=norms, epochs=2, test_size=100)
    page = tmp_path / "<img src=x onerror=alert(1)>\x1b[31m"
    parts = Parts(render_in_notebook(analysis, page))
    assert not {"svg", "script", "img"} & {*parts.tags}
    assert {name for name, _ in parts.attributes} == {"style", "scope"}
    for norm in norms:
        assert norm in parts.texts
    assert str(page).replace("\x1b", r"\x1b") in parts.texts


def test_what_it_is_called_is_one_line(comparison):
    assert repr(comparison).startswith(f"Comparison({str(comparison.folder)!r}, <Analysis of ")
    assert "\n" not in repr(comparison)


# -- figures ---------------------------------------------------------------------------------------


def test_every_figure_of_the_report_can_be_had_by_the_name_of_its_file(comparison):
    write_report(comparison.analysis, comparison.folder / "pictures", comparison.folder)
    names = {path.stem for path in (comparison.folder / "figures").iterdir()}
    assert {"differences", "paired", "drops", "confusion_2", "mistakes_0"} <= names
    for name in names:
        assert isinstance(comparison.figure(name), Figure), name


def test_a_part_of_the_page_is_its_first_figure(comparison):
    titles = {each.name: title_of(each.drawing) for each in make_figures(comparison.analysis)}
    assert title_of(comparison.figure("curves")) == titles["test_accuracy_percent"]
    assert title_of(comparison.figure("answer")) == titles["differences"]
    names = {name for entry in FIGURES for name in entry.names}
    assert not names & {entry.section for entry in FIGURES} - {"calibration"}


def title_of(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_an_unknown_figure_is_an_error_that_lists_those_there_are(comparison):
    with pytest.raises(
        UsageError, match=r"unknown figure 'paird'; known: differences, paired, .*mis"
    ):
        comparison.figure("paird")
    with pytest.raises(UsageError, match="did you mean paired"):
        comparison.figure("paird")
    with pytest.raises(UsageError, match="unknown figure 'confusion_3'; known: "):
        comparison.figure("confusion_3")


def test_a_notebook_gets_a_picture_of_the_figure_and_its_size(comparison):
    figure = comparison.figure("paired")
    png, size = figure._repr_png_()  # what IPython asks for
    image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    inches = figure.get_size_inches()
    assert (size["width"], size["height"]) == tuple(np.round(PIXELS_PER_INCH * inches))
    assert image.shape[1] / size["width"] == pytest.approx(200 / PIXELS_PER_INCH, rel=0.01)
    assert image.min() < 100 < 250 < image.max()  # ink on paper
