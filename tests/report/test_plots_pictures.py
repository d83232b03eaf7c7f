"""The picture of a norm's most confident mistakes: which ones, in true colours, and labelled."""

import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from report_fakes import CIFAR10, failed, make_analysis

from normscope.report import write_report
from normscope.report.plots.pictures import (
    draw_grid,
    mistake_figures,
    mistakes_data,
    mistakes_of_all,
    read_picture,
)
from normscope.report.plots.svg import to_png

RED = (200, 30, 40)


@pytest.fixture(scope="module")
def analysis():
    return make_analysis(epochs=1, test_size=200)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, analysis):
    """A picture of one colour for every test image, its index in the green."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in analysis.mistakes.pictures():
        Image.new("RGB", (32, 32), (250, index, 10)).save(folder / f"{index}.png")
    return folder


def pixels(png, tmp_path):
    tmp_path.joinpath("p.png").write_bytes(png)
    return np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))


def drawn(shown, images):
    return draw_grid(f"Most confident mistakes of {shown.norm}", shown.mistakes, images)


def count(image, color):
    return int((image == np.array(color)).all(axis=2).sum())


def most_confident(analysis, norm):
    """Indexes of the images that most trials get wrong, the surest mistake first; by hand."""
    votes = [r.predictions for r in analysis.results if r.trial.norm == norm and r.predictions]
    labels = np.arange(200) * 7 % 10
    sure = {}
    for i, label in enumerate(labels):
        wrong = [int(vote.classes[i]) for vote in votes if vote.classes[i] != label]
        if 2 * len(wrong) > len(votes):
            taken = max(sorted(set(wrong)), key=wrong.count)
            sure[i] = np.mean([v.confidences()[i] for v in votes if v.classes[i] == taken])
    return sorted(sure, key=lambda i: -sure[i])


def test_the_ten_surest_mistakes_of_every_norm(analysis):
    found = mistakes_data(analysis)
    assert [(one.number, one.norm, one.n) for one in found] == [
        (0, "bn", 3), (1, "gn", 3), (2, "ln", 3)
    ]  # fmt: skip
    for one in found:
        expected = most_confident(analysis, one.norm)
        assert [mistake.index for mistake in one.mistakes] == expected[:10]
        for mistake in one.mistakes:
            true = CIFAR10[mistake.index * 7 % 10]
            assert re.fullmatch(rf"{true} → \w+, \d\d\.\d %", mistake.label)


def test_a_norm_alone_has_its_mistakes_too():
    (only,) = mistakes_data(make_analysis(norms=("gn",), epochs=1, test_size=200))
    assert (only.norm, len(only.mistakes)) == ("gn", 10)


def test_numbers_are_those_of_the_confusion_matrices():
    """gn has no finished trial, so ln comes second, as in confusion_1."""
    analysis = make_analysis(
        epochs=1,
        test_size=50,
        change=lambda rs: [failed(r, "no") if r.trial.norm == "gn" else r for r in rs],
    )
    assert [(one.number, one.norm) for one in mistakes_data(analysis)] == [(0, "bn"), (1, "ln")]


def test_long_names_are_shortened_and_labels_do_not_meet():
    names = ("WWWWWWWWWWWWWWWWWWWW", "a class with a long name", "c")
    analysis = make_analysis(norms=("bn",), epochs=1, test_size=50, class_names=names)
    (shown,) = mistakes_data(analysis)
    figure = drawn(shown, {mistake.index: None for mistake in shown.mistakes})
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(axes.xaxis.label) for axes in figure.axes]
    for left, right in pairwise(boxes[:5]):
        assert left.x1 < right.x0
    assert all(0 <= box.x0 < box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)
    labels = [axes.get_xlabel().replace("\n", " ") for axes in figure.axes]
    assert any("a class with a…" in label for label in labels)


def test_pictures_stand_in_true_colours_and_each_pixel_is_a_square(tmp_path, analysis):
    shown = mistakes_data(analysis)[0]
    checks = np.zeros((32, 32, 3), np.uint8)
    checks[::2, ::2] = RED
    first = shown.mistakes[0].index
    images = {mistake.index: None for mistake in shown.mistakes} | {first: checks}
    image = pixels(to_png(drawn(shown, images)), tmp_path)
    rows, columns = np.nonzero((image == np.array(RED)).all(axis=2))
    assert len(rows) == 16 * 16 * 8 * 8
    assert len(set(rows)) == len(set(columns)) == 16 * 8


def test_the_title_names_the_norm_and_n(analysis, tmp_path):
    drawing = mistake_figures(analysis, tmp_path)[2].drawing
    assert [text.get_text() for text in drawing.texts] == ["Most confident mistakes of gn  n=3"]
    assert len(drawing.axes) == 10


def test_images_that_all_get_wrong_are_the_same_for_every_norm_with_the_answer_of_each(analysis):
    """Against a search by hand through the predictions of every trial."""
    answers = {}
    labels = np.arange(200) * 7 % 10
    for result in analysis.results:
        answers.setdefault(result.trial.norm, []).append(result.predictions.classes)
    wrong = {n: np.sum([own != labels for own in each], axis=0) for n, each in answers.items()}
    for_all = [i for i in range(200) if all(2 * wrong[n][i] > len(answers[n]) for n in answers)]
    shown = mistakes_of_all(analysis)
    assert len(shown) == min(10, len(for_all)) > 0
    for one in shown:
        assert one.index in for_all
        true, *lines = one.label.split("\n")
        assert true == f"true: {CIFAR10[labels[one.index]]}"
        for line, (norm, each) in zip(lines, answers.items(), strict=True):
            given = [int(own[one.index]) for own in each if own[one.index] != labels[one.index]]
            usual = max(sorted(set(given)), key=given.count)
            assert re.fullmatch(rf"{norm} → {CIFAR10[usual]}, \d\d\.\d %", line)


def test_the_picture_of_all_stands_for_itself(tmp_path, analysis, pictures):
    figure = mistake_figures(analysis, pictures)[0]
    assert figure.name == "mistakes_of_all"
    assert [text.get_text() for text in figure.drawing.texts] == [
        "Test images that every norm gets wrong  n=3"
    ]
    image = pixels(to_png(figure.drawing), tmp_path)
    for one in mistakes_of_all(analysis):
        assert count(image, (250, one.index, 10)) == 256 * 256
    figure.drawing.draw_without_rendering()
    boxes = [Text.get_window_extent(axes.xaxis.label) for axes in figure.drawing.axes]
    assert all(0 <= box.x0 < box.x1 <= figure.drawing.bbox.x1 and box.y0 >= 0 for box in boxes)
    below = [box for axes, box in zip(figure.drawing.axes[5:], boxes, strict=False)]
    tops = [axes.get_window_extent().y1 for axes in figure.drawing.axes[5:]]
    assert all(box.y0 > top for box, top in zip(below, tops, strict=True))


def test_a_norm_alone_has_no_picture_of_all(tmp_path):
    alone = make_analysis(norms=("gn",), epochs=1, test_size=200)
    assert [figure.name for figure in mistake_figures(alone, tmp_path)] == ["mistakes_0"]


def test_a_missing_or_broken_picture_leaves_a_tile_that_says_so(tmp_path, analysis):
    shown = mistakes_data(analysis)[0]
    first, second = (mistake.index for mistake in shown.mistakes[:2])
    Image.new("RGB", (32, 32), RED).save(tmp_path / f"{first}.png")
    tmp_path.joinpath(f"{second}.png").write_bytes(b"no picture")
    assert read_picture(tmp_path, first) is not None
    assert read_picture(tmp_path, second) is None
    drawing = mistake_figures(analysis, tmp_path)[1].drawing
    tiles = [[text.get_text() for text in axes.texts] for axes in drawing.axes]
    assert tiles == [[]] + [["This picture is\nnot in the folder"]] * 9
    assert count(pixels(to_png(drawing), tmp_path), RED) == 256 * 256


def test_they_are_files_of_the_report_and_not_shown_again_in_its_page(tmp_path, analysis, pictures):
    page = write_report(analysis, pictures, tmp_path).read_text(encoding="utf-8")
    for number, norm in enumerate(("bn", "gn", "ln")):
        image = np.asarray(Image.open(tmp_path / f"figures/mistakes_{number}.png").convert("RGB"))
        for mistake in most_confident(analysis, norm)[:10]:
            assert count(image, (250, mistake, 10)) == 256 * 256
        svg = tmp_path.joinpath(f"figures/mistakes_{number}.svg").read_text(encoding="utf-8")
        assert svg.count("<image ") == svg.count('image-rendering="pixelated"') == 10
        title = f"Most confident mistakes of {norm}  n=3"
        assert title in svg
        assert title not in page


def test_those_of_an_earlier_report_are_removed(tmp_path, analysis, pictures):
    write_report(analysis, pictures, tmp_path)
    fewer = make_analysis(norms=("bn",), epochs=1, test_size=200)
    write_report(fewer, pictures, tmp_path)
    kept = {path.name for path in tmp_path.glob("figures/mistakes*")}
    assert kept == {"mistakes_0.png", "mistakes_0.svg"}
