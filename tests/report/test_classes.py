"""Reports on classes that are not equally frequent, and on others as they were."""

import re
from statistics import mean, stdev

import numpy as np
import pandas as pd
import pytest
from drawn_words import assert_words_fit
from matplotlib.text import Annotation
from report_fakes import make_analysis, make_labels

from normscope.report import write_report
from normscope.report.as_json import as_json
from normscope.report.figures import make_figures
from normscope.report.html import render_page
from normscope.report.markdown import render_markdown
from normscope.report.plots.class_counts import class_figures, class_rows, draw_class_counts
from normscope.report.plots.confusion import confusion_data, confusion_figures, draw_confusion
from normscope.report.result_table import headings, result_row
from normscope.report.tables import class_tables

NAMES = ("cat", "dog", "owl")
LABELS = np.repeat([0, 1, 2], [150, 50, 10])
EPOCHS = {"class_names": NAMES, "norms": ("bn", "gn"), "epochs": 3}
EVEN = {**EPOCHS, "labels": make_labels(210, 3), "train_counts": (140, 140, 140)}
MANY = tuple(f"a class of a rather long name {i}" for i in range(100))


@pytest.fixture(scope="module")
def imbalanced():
    return make_analysis(**EPOCHS, labels=LABELS, train_counts=(300, 100, 20))


@pytest.fixture(scope="module")
def many():
    """A hundred classes: 1 to 100 training images, and one test image or two."""
    labels = np.concatenate([np.arange(100), np.arange(60, 100)])
    return make_analysis(class_names=MANY, norms=("bn", "gn"), epochs=3, labels=labels,
                         train_counts=range(1, 101))  # fmt: skip


def recalls(analysis, norm):
    """By class, the percentage that each trial recognises: loops over the images."""
    kept = [r.predictions.classes for r in analysis.results if r.trial.norm == norm]
    return [
        [100 * mean(bool(p == t) for p, t in zip(c, LABELS, strict=True) if t == k) for c in kept]
        for k in range(3)
    ]


# -- the table of results ------------------------------------------------------------------------


def test_balanced_accuracy_and_macro_f1_stand_beside_accuracy(imbalanced):
    assert headings(imbalanced)[2:5] == [
        "Test accuracy (%)", "Balanced accuracy (%)", "Macro F1 (%)"
    ]  # fmt: skip
    cells = [str(cell) for cell in result_row(imbalanced.norms[1], imbalanced)]
    assert len(cells) == len(headings(imbalanced)) == 13
    balanced = [mean(seed) for seed in zip(*recalls(imbalanced, "gn"), strict=True)]
    assert cells[3] == f"{mean(balanced):.1f} (sd {stdev(balanced):.2f})"
    f1 = [t.metrics["macro_f1_percent"] for t in imbalanced.trials if t.norm == "gn"]
    assert cells[4] == f"{mean(f1):.1f} (sd {stdev(f1):.2f})"


@pytest.mark.parametrize("labels", [make_labels(210, 3), make_labels(211, 3)])
def test_with_equally_frequent_classes_the_table_is_as_it_was(labels):
    analysis = make_analysis(**{**EVEN, "labels": labels})
    assert headings(analysis)[2:4] == ["Test accuracy (%)", "Difference to bn (points)"]
    assert len(result_row(analysis.norms[0], analysis)) == len(headings(analysis)) == 11


def test_classes_that_differ_a_little_have_the_columns_and_no_section(tmp_path):
    analysis = make_analysis(**{**EVEN, "labels": np.repeat([0, 1, 2], [80, 70, 60])})
    assert len(headings(analysis)) == 13
    assert class_tables(analysis) == class_figures(analysis) == []
    assert 'id="classes"' not in render_page(analysis, [], tmp_path)


# -- the section ---------------------------------------------------------------------------------


def test_recall_and_the_number_of_images_of_every_class_are_in_a_table(imbalanced):
    (table,) = class_tables(imbalanced)
    assert table.headings == ["Class", "Training images", "Test images", "bn (%)", "gn (%)"]
    rows = [[str(cell) for cell in row] for row in table.rows]
    assert [row[:3] for row in rows] == [
        ["cat", "300", "150"], ["dog", "100", "50"], ["owl", "20", "10"]
    ]  # fmt: skip
    for column, norm in ((3, "bn"), (4, "gn")):
        expected = [f"{mean(r):.1f} (sd {stdev(r):.2f})" for r in recalls(imbalanced, norm)]
        assert [row[column] for row in rows] == expected
    assert "3 of bn, 3 of gn" in table.caption


def test_a_class_without_test_images_has_no_recall():
    analysis = make_analysis(**EPOCHS, labels=np.repeat([0, 2], [30, 10]))
    (table,) = class_tables(analysis)
    assert table.headings[:2] == ["Class", "Test images"]  # nobody counted those of training
    assert [str(cell) for cell in table.rows[-1]] == ["dog", "0", "–", "–"]
    assert as_json(analysis)["classes"]["train_images"] is None
    assert as_json(analysis)["classes"]["recall_percent"]["bn"][1] is None
    confusion = draw_confusion(confusion_data(analysis)[0])  # and warns of no division
    assert [t.get_text() for t in confusion.axes[0].get_yticklabels()][1] == "dog (0)"


def test_it_is_told_on_every_surface(imbalanced, tmp_path):
    html = render_page(imbalanced, make_figures(imbalanced), tmp_path)
    markdown, values = render_markdown(imbalanced, []), as_json(imbalanced)
    words = "always answering cat scores 71.4 % on the test images."
    assert words.replace(" %", "\u00a0%") in html
    assert f"(cat 300, owl 20); {words}\n" in markdown
    assert any(words in caveat for caveat in values["caveats"])
    section = html[html.index('<section id="classes"') : html.index('<section id="mistakes"')]
    assert section.count("<svg ") == 2
    assert "Recall by class" in section
    assert '<a href="#classes">Classes</a>' in html
    assert "## Classes\n\n### Recall by class\n" in markdown
    found = values["classes"]
    assert (found["train_images"], found["test_images"]) == ([300, 100, 20], [150, 50, 10])
    assert found["recall_percent"]["gn"] == pytest.approx(
        [mean(each) for each in recalls(imbalanced, "gn")]
    )
    assert values["norms"][0]["balanced_accuracy_percent_n"] == 3


def test_with_equally_frequent_classes_nothing_of_it_is_there(tmp_path):
    analysis = make_analysis(**EVEN)
    html = render_page(analysis, make_figures(analysis), tmp_path)
    assert not re.search("[Bb]alanced|Macro F1|Recall|#classes", html)
    assert "numbers are images per finished trial" in " ".join(html.split())
    assert "class_counts" not in {figure.name for figure in make_figures(analysis)}
    assert not as_json(analysis)["classes"]["imbalanced"]


def test_the_metrics_of_every_trial_are_in_the_csv_file_whatever_the_classes_are(tmp_path):
    analysis = make_analysis(**EVEN)
    write_report(analysis, tmp_path / "pictures", tmp_path)
    table = pd.read_csv(tmp_path / "trials.csv")
    right = [100 * (r.predictions.classes == EVEN["labels"]).mean() for r in analysis.results]
    assert table["balanced_accuracy_percent"].tolist() == pytest.approx(right)
    assert table["macro_f1_percent"].between(50, 100).all()


# -- the figures ---------------------------------------------------------------------------------


def bars(axes):
    return [round(patch.get_width()) for patch in axes.patches]


def test_a_bar_per_class_and_split_with_its_number(imbalanced):
    (figure,) = class_figures(imbalanced)
    train, test = figure.drawing.axes
    assert (bars(train), bars(test)) == ([300, 100, 20], [150, 50, 10])
    assert [text.get_text() for text in test.texts] == ["150", "50", "10"]
    assert [label.get_text() for label in train.get_yticklabels()] == [*NAMES]
    assert "cat 300 training and 150 test images; owl 20 training and 10 test" in figure.alt
    assert_words_fit(figure.drawing)


def test_where_training_images_were_not_counted_there_are_bars_of_the_test():
    (figure,) = class_figures(make_analysis(**EPOCHS, labels=LABELS))
    (test,) = figure.drawing.axes
    assert (test.get_title(loc="left"), bars(test)) == ("Test", [150, 50, 10])
    assert "cat 150 test images; owl 10 test images" in figure.alt


def test_of_a_hundred_classes_the_ends_are_shown_and_said_to_be(many):
    (figure,), (table,) = class_figures(many), class_tables(many)
    train = figure.drawing.axes[0]
    assert bars(train) == [*range(100, 80, -1), *range(20, 0, -1)]
    assert "… 60 more" in [text.get_text() for text in train.texts]
    words = "Of 100 classes these are the 20 with the most and the 20 with the fewest training"
    assert words in figure.caption
    assert words in table.caption
    assert len(table.rows) == 40
    assert_words_fit(figure.drawing)
    assert len(figure.svg) < 300_000


def test_large_counts_do_not_leave_the_figure():
    analysis = make_analysis(**EPOCHS, labels=LABELS, train_counts=(1_234_567, 999_999, 3))
    assert_words_fit(draw_class_counts(class_rows(analysis.classes), 0))


def test_confusions_are_shares_of_the_true_class_where_test_classes_are_imbalanced(imbalanced):
    confusion = confusion_data(imbalanced)[0]
    assert confusion.cells.sum(axis=1) == pytest.approx([100, 100, 100])
    assert confusion.cells.diagonal() == pytest.approx(
        [mean(each) for each in recalls(imbalanced, "bn")]
    )
    others = [c.cells[i, j] for c in confusion_data(imbalanced) for i in range(3)
              for j in range(3) if i != j]  # fmt: skip
    assert confusion.most == pytest.approx(max(others))
    axes, scale = draw_confusion(confusion).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["cat (150)", "dog (50)", "owl (10)"]
    written = [t.get_text() for t in axes.texts if t.get_fontweight() == "bold"]
    assert written == [f"{value:.0f}" for value in confusion.cells.diagonal()]
    assert scale.get_ylabel() == "Mistakes (% of the true class)"
    assert not any(isinstance(text, Annotation) for text in axes.texts)


def test_the_caption_of_a_confusion_gives_the_largest_share(imbalanced):
    values = confusion_data(imbalanced)[0].mistakes
    true, predicted = divmod(int(values.argmax()), 3)
    assert confusion_figures(imbalanced)[0].caption == (
        f"The largest share of mistakes of bn: {values.max():.1f} % of {(150, 50, 10)[true]} test "
        f"images of {NAMES[true]} are taken for {NAMES[predicted]}."
    )


def test_a_recall_of_nothing_is_written():
    def never_owl(results):
        return [
            r.model_copy(update={"predictions": type(r.predictions)(
                np.minimum(r.predictions.classes, 1), r.predictions.logits)})
            for r in results
        ]  # fmt: skip

    analysis = make_analysis(**EPOCHS, labels=LABELS, change=never_owl)
    axes = draw_confusion(confusion_data(analysis)[0]).axes[0]
    assert [t.get_text() for t in axes.texts if t.get_fontweight() == "bold"][2] == "0"


def test_confusions_of_equally_frequent_classes_are_counts():
    analysis = make_analysis(**EVEN)
    confusion = confusion_data(analysis)[0]
    np.testing.assert_array_equal(confusion.cells, analysis.mistakes.confusions["bn"])
    axes, scale = draw_confusion(confusion).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [*NAMES]
    assert scale.get_ylabel() == "Mistakes per trial (images)"
    assert "images per trial." in confusion_figures(analysis)[0].caption
