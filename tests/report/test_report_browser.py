"""The report as a browser shows it: it fits, it is legible in the dark, and it asks for nothing."""

import json
import re
import shutil
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image
from report_fakes import diverged, make_analysis, make_labels, right_in

from normscope.experiment import HeatMaps, NormHeat
from normscope.report import write_report
from normscope.report.figures import make_figures
from normscope.report.html import render_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
TABLET = {"width": 700, "height": 900}
LEAST_PIXELS = 10  # of the words in a figure


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium or google-chrome on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def analysis():
    """Of long names, with a long command and a trial that diverged."""
    return make_analysis(
        epochs=6,
        test_size=100,
        class_names=("ant", "<b>bee</b>", "averylongnameofaclass"),
        command="normscope compare --out /" + "a/very/long/path" * 20,
        change=lambda results: [diverged(results[0], after=3), *results[1:]],
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory, analysis):
    """The address of its page, with pictures, of which one is absent."""
    pictures = tmp_path_factory.mktemp("pictures")
    for index in sorted(analysis.mistakes.pictures())[1:]:
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{index}.png")
    return write_report(analysis, pictures, tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """The address of the page of twenty norms, without pictures and the other files of a report."""
    norms = ("bn", "gn", "ln", *(f"norm{i}" for i in range(3, 20)))
    analysis = make_analysis(norms=norms, epochs=6, class_names=("ant", "bee", "cat"))
    page = tmp_path_factory.mktemp("twenty") / "report.html"
    html = render_page(analysis, make_figures(analysis), page.parent / "pictures")
    page.write_text(html, encoding="utf-8")
    return page.as_uri()


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """The address of a page with heat maps of every picture, and without other files."""
    analysis = make_analysis(epochs=2, test_size=100)
    pictures = tmp_path_factory.mktemp("explained")
    indexes = np.array(sorted(analysis.mistakes.pictures()))
    for index in indexes:
        Image.new("RGB", (32, 32), (90, int(index) % 256, 30)).save(pictures / f"{index}.png")
    maps = np.random.default_rng(0).random((len(indexes), 7, 7), dtype=np.float32)
    heat = NormHeat("layers.26 (Norm)", np.zeros(len(indexes), dtype=np.int64), maps)
    found = HeatMaps("grad-cam", 0, indexes, dict.fromkeys(("bn", "gn", "ln"), heat))
    page = pictures / "report.html"
    html = render_page(replace(analysis, heat_maps=(found,)), [], pictures)
    page.write_text(html, encoding="utf-8")
    return page.as_uri()


@pytest.fixture(scope="module")
def spared(tmp_path_factory):
    """The address of a page whose gn errs nowhere, and of a class that is written with two spaces.

    No image is misclassified with every norm.
    """
    analysis = make_analysis(
        epochs=2,
        test_size=100,
        class_names=("ant  lion", "bee", "cat"),
        change=lambda results: [
            right_in(r, make_labels(100, 3), 100) if r.trial.norm == "gn" else r for r in results
        ],
    )
    page = tmp_path_factory.mktemp("spared") / "report.html"
    page.write_text(render_page(analysis, [], page.parent / "pictures"), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def visit(browser, report):
    """Open the report; `settings` are those of a browser context. Contexts close by themselves."""
    contexts = []

    def open_page(listen=lambda page: None, address=report, **settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        listen(page)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scripts", [False, True])
def test_it_asks_for_nothing_and_complains_of_nothing(visit, report, scripts):
    requests, complaints = [], []

    def listen(page):
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))

    page = visit(listen, java_script_enabled=scripts, viewport=DESK)
    page.wait_for_load_state("networkidle")
    assert [url for url in requests if not url.startswith("data:")] == [report]
    assert complaints == []


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_without_scripts_every_section_and_figure_is_seen(visit, viewport):
    page = visit(java_script_enabled=False, viewport=viewport)
    sections = ("answer", "evidence", "findings", "curves", "convergence", "mistakes", "provenance")
    for section in sections:
        assert page.locator(f"#{section}-title").is_visible()
    figures = page.locator(f".drawing.{'narrow' if viewport is PHONE else 'wide'} svg")
    assert figures.count() == 13
    assert page.locator("figure svg:visible").count() == 13
    for figure in figures.all():
        box = figure.bounding_box()
        assert box is not None
        assert box["width"] > 300
        assert box["height"] > 80
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_does_not_scroll_sideways(visit, viewport):
    page = visit(viewport=viewport)
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    width, room = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert room > viewport["width"] - 20  # less the bar that scrolls
    assert width <= room


# The cells of tables, with whether all of each is within the page and within itself.
WHOLE = """all => all.filter(e => e.checkVisibility()).map(e => {
    const {left, right} = e.getBoundingClientRect();
    return [e.textContent, left >= 0 && right <= innerWidth && e.scrollWidth <= e.clientWidth];
})"""


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_no_number_of_a_table_is_cut_off(visit, viewport):
    page = visit(viewport=viewport)
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    cells = page.locator("td, tbody th").evaluate_all(WHOLE)
    assert len(cells) > 200
    assert [words for words, whole in cells if not whole] == []


def test_on_a_phone_each_number_stands_below_the_heading_of_its_column(visit):
    page = visit(viewport=PHONE)
    row = page.locator("table.leading tbody tr", has_text="gn")
    label = "e => getComputedStyle(e, '::before').content"
    labels = [cell.evaluate(label) for cell in row.locator("td:visible").all()]
    headings = page.locator("table.leading thead th").all_text_contents()
    assert labels == [f'"{heading}"' for heading in headings[1:]]
    chip = row.locator(".chip").bounding_box()
    assert chip["x"] + chip["width"] < PHONE["width"]


# Words smaller than they should be, and words that leave their figure.
HARD_TO_READ = """(svg, least) => {
    const frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll("text")].filter(text => {
        const {left, right} = text.getBoundingClientRect();
        const size = parseFloat(getComputedStyle(text).fontSize) * scale;
        return size < least || left < frame.left - 2 || right > frame.right + 2;
    }).map(text => text.textContent);
}"""


def test_on_a_phone_every_word_of_a_figure_is_large_enough_and_inside_of_it(visit, twenty):
    for address in (None, twenty):
        page = visit(viewport=PHONE, **({"address": address} if address else {}))
        for figure in page.locator("figure svg:visible").all():
            words = figure.evaluate(HARD_TO_READ, LEAST_PIXELS)
            assert words == [], figure.get_attribute("aria-label")


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_axe_finds_nothing(visit, viewport, scheme):
    """Contrast, alternative texts, headings, names of controls: axe-core's rules, all of them."""
    page = visit(viewport=viewport, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


# -- the script ------------------------------------------------------------------------------------


def column(table, number):
    return [words.split("sd")[0] for words in table.locator(f"tbody tr > :nth-child({number})")
            .all_text_contents()]  # fmt: skip


def test_a_click_on_a_heading_sorts_by_its_column_and_another_turns_it_round(visit):
    page = visit(viewport=DESK)
    table = page.locator("#provenance table")
    heading = table.locator("thead th", has_text="Test accuracy (%)")
    before = column(table, 3)
    heading.locator("button").click()
    up = column(table, 3)
    numbers = [float(words) for words in up if words != "–"]
    assert numbers == sorted(float(words) for words in before if words != "–")
    assert up[-1] == "–"  # the trial that diverged has none
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    down = column(table, 3)
    assert [float(words) for words in down[:-1]] == numbers[::-1]
    assert down[-1] == "–"
    assert heading.get_attribute("aria-sort") == "descending"
    table.locator("thead button", has_text="Status").click()
    assert heading.get_attribute("aria-sort") is None
    assert column(table, 2) == sorted(column(table, 2))


def test_differences_are_sorted_by_their_sign(visit):
    table = visit(viewport=DESK).locator("#evidence table").first
    table.locator("thead button").nth(1).click()
    found = [float(words.replace("−", "-")) for words in column(table, 2)]
    assert found == sorted(found)
    assert found[0] < 0


def test_intervals_are_sorted_by_their_lower_ends(visit, twenty):
    page = visit(viewport=DESK, address=twenty)
    table = page.locator("#evidence table", has_text="Simultaneous")
    heading = table.locator("thead th", has_text="Simultaneous")
    place = heading.evaluate("e => e.cellIndex") + 1

    def lower_ends():
        ends = [words.split(" to ")[0] for words in column(table, place)]
        return [float(end.replace("−", "-")) for end in ends]

    expected = sorted(lower_ends())
    assert len({*expected}) > 10
    heading.locator("button").click()
    assert lower_ends() == expected
    heading.locator("button").click()
    assert lower_ends() == expected[::-1]


def test_a_browser_that_does_not_reflect_aria_sort_sorts_and_says_so_too(visit):
    forget = "delete Element.prototype.ariaSort"
    page = visit(lambda page: page.add_init_script(forget), viewport=DESK)
    heading = page.locator("#provenance table thead th").first
    for order in ("ascending", "descending"):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == order


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_where_the_pointer_is_a_curve_says_norm_epoch_and_value(visit, viewport, analysis):
    page = visit(viewport=viewport)
    figure = page.locator("#curves svg:visible").first
    readout = figure.locator(".readout text")
    assert readout.count() == 0
    bn = [r for r in analysis.results_of("bn") if r.status == "finished"]
    means = np.mean([[e.test_accuracy_percent for e in r.history] for r in bn], axis=0)
    left, top, right, bottom, first, last, low, high = json.loads(figure.get_attribute("data-axes"))
    x = left + (3 - first) / (last - first) * (right - left)
    y = bottom - (means[2] - low) / (high - low) * (bottom - top)
    box, width = figure.bounding_box(), figure.evaluate("e => e.viewBox.baseVal.width")
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    page.mouse.move(box["x"] + x * box["width"] / width, box["y"] + y * box["width"] / width)
    assert readout.text_content() == f"bn, epoch 3: {means[2]:.2f}"
    page.mouse.move(0, 0)
    assert readout.count() == 0


def test_pictures_can_be_told_by_their_class_and_by_the_norm_that_errs(visit, analysis):
    page = visit(viewport=DESK)
    by_class, by_norm = (page.locator(".filter select").nth(place) for place in (0, 1))
    tiles = page.locator(".gallery > li")
    examples = [each for group in analysis.mistakes.groups for each in group.examples]
    assert tiles.count() == len(examples)
    by_class.select_option("ant")
    assert page.locator(".gallery > li:visible").count() == sum(e.true == "ant" for e in examples)
    by_norm.select_option("gn")
    answers = {each: analysis.images[each.index].norms[1] for each in examples}
    shown = [e for e in examples if e.true == "ant" and 2 * answers[e].wrong > answers[e].trials]
    assert 0 < len(shown) < len(examples)
    assert page.locator(".gallery > li:visible").count() == len(shown)
    assert page.locator(".filter output").text_content() == (
        f"{len(shown)} of {len(examples)} pictures"
    )
    by_class.select_option("all")
    by_norm.select_option("any")
    assert page.locator(".gallery > li:visible").count() == len(examples)


def test_a_group_without_pictures_is_there_whatever_is_chosen(visit, spared):
    page = visit(viewport=DESK, address=spared)
    empty = page.locator(".group", has_text="No test image.")
    titles = [group.locator("h3").text_content() for group in empty.all()]
    assert "Wrong with every norm 0 images" in titles
    filled = page.locator(".group", has=page.locator(".gallery"))
    for norm, shown in (("gn", 0), ("any", filled.count())):
        page.locator(".filter select").nth(1).select_option(norm)
        assert all(group.is_visible() for group in empty.all())
        assert sum(group.is_visible() for group in filled.all()) == shown


def test_a_class_is_told_by_its_name_with_every_space(visit, spared):
    page = visit(viewport=DESK, address=spared)
    page.locator(".filter select").first.select_option("ant  lion")
    shown = page.locator(".gallery > li:visible").evaluate_all(
        "all => all.map(e => e.dataset.class)"
    )
    assert {*shown} == {"ant  lion"}


def test_on_paper_every_picture_is_there_whatever_is_chosen(visit, spared):
    page = visit(viewport=DESK, address=spared)
    page.locator(".filter select").nth(1).select_option("gn")
    tiles = page.locator(".gallery > li")
    assert not any(tile.is_visible() for tile in tiles.all())
    page.emulate_media(media="print")
    assert tiles.count() > 0
    assert all(tile.is_visible() for tile in tiles.all())


def test_without_scripts_there_is_nothing_that_does_nothing(visit):
    page = visit(viewport=DESK, java_script_enabled=False)
    assert page.locator("button").count() == 0
    assert not page.locator(".filter").is_visible()


def test_contents_stay_at_the_top_and_lead_below_themselves(visit):
    page = visit(viewport=DESK)
    contents = page.get_by_role("navigation")
    contents.get_by_role("link", name="Mistakes").click()
    page.wait_for_timeout(100)
    box, heading = contents.bounding_box(), page.locator("#mistakes-title").bounding_box()
    assert box["y"] == 0
    assert box["height"] <= heading["y"] < DESK["height"]


# -- looks -----------------------------------------------------------------------------------------


def test_pictures_are_enlarged_without_smoothing(visit):
    images = visit(viewport=DESK).locator("img")
    assert images.count() > 5
    for image in images.all():
        assert image.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [32, 32]
        assert image.evaluate("e => [e.clientWidth, e.clientHeight]") == [96, 96]
        assert image.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"


def lightness(color: str) -> float:
    """The mean of red, green and blue of a computed colour, from 0 to 1."""
    return float(np.mean([int(part) for part in re.findall(r"\d+", color)[:3]])) / 255


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_page_and_drawings_follow_the_scheme_of_the_reader(visit, scheme):
    page = visit(viewport=DESK, color_scheme=scheme)
    style = "e => getComputedStyle(e)"
    paper = lightness(page.locator("html").evaluate(f"{style}.backgroundColor"))
    title = page.locator("figure svg text", has_text="Test accuracy (%)").first
    fill = lightness(title.evaluate(f"{style}.fill"))
    text = lightness(page.locator("p.lead").evaluate(f"{style}.color"))
    backgrounds = page.locator("figure svg path").evaluate_all(
        "all => all.slice(0, 1).map(e => getComputedStyle(e).fill)"
    )
    assert [lightness(background) for background in backgrounds] == [paper]
    if scheme == "dark":
        assert paper < 0.2
        assert fill > 0.8
        assert text > 0.5
    else:
        assert paper > 0.9
        assert fill < 0.2
        assert text < 0.5


def colors_of_figures(page):
    look = "e => [getComputedStyle(e).fill, getComputedStyle(e).stroke]"
    return page.locator("figure svg *").evaluate_all(f"all => all.map({look})")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_figures_keep_their_colours_where_inline_styles_are_forbidden(visit, browser, scheme):
    """As on a site that allows the page's own style sheet by its hash, and nothing else."""
    page = visit(viewport=DESK, color_scheme=scheme)
    html, usual = page.content(), colors_of_figures(page)
    (sheet,) = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    digest = b64encode(sha256(sheet.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    context = browser.new_context(viewport=DESK, color_scheme=scheme)
    strict = context.new_page()
    strict.route(
        "http://report.test/",
        lambda route: route.fulfill(
            body=html, content_type="text/html", headers={"Content-Security-Policy": policy}
        ),
    )
    strict.goto("http://report.test/")
    found = colors_of_figures(strict)
    context.close()
    assert found == usual
    assert len({fill for fill, _ in found}) > 5


def test_a_figure_may_be_printed_in_ink_though_the_screen_is_dark(visit):
    page = visit(viewport=DESK, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    title = page.locator("figure svg text", has_text="Test accuracy (%)").first
    assert lightness(title.evaluate("e => getComputedStyle(e).fill")) < 0.2
    assert not page.locator("nav").is_visible()


def test_on_paper_nothing_is_cut_off_and_layers_are_there_once(visit):
    page = visit(viewport={"width": 680, "height": 960})  # A4 less its margins
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    tables = page.locator("#network details table")
    assert [table.is_visible() for table in tables.all()] == [True, False, False]


def test_on_a_screen_the_layers_are_closed(visit):
    assert visit(viewport=DESK).locator("#network details[open]").count() == 0


def test_markup_in_names_is_shown_as_text(visit):
    page = visit(viewport=DESK)
    assert page.locator(".names", has_text="<b>bee</b>").count() > 0
    assert page.locator(".wide svg text", has_text="<b>bee</b>").count() == 6


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_where_networks_looked_is_seen_without_scripts_once_a_picture_is_opened(
    browser, explained, viewport
):
    context = browser.new_context(viewport=viewport, java_script_enabled=False)
    page = context.new_page()
    page.goto(explained)
    tile = page.locator(".gallery li", has=page.locator("> details")).first
    looks = tile.locator(".looks img")
    assert not looks.first.is_visible()
    tile.locator("summary").click()
    assert looks.count() == 3
    for image in looks.all():
        box = image.bounding_box()
        assert (box["width"], box["height"]) == (96, 96)
        assert 0 <= box["x"] <= viewport["width"] - 96
        assert image.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [32, 32]
        assert image.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
    table = tile.locator("table.shares")
    assert table.evaluate("e => e.scrollWidth <= e.parentElement.clientWidth")
    bars = tile.locator("tbody tr").first.locator("svg")
    for bar, cell in zip(
        bars.all(), tile.locator("tbody tr").first.locator("td").all()[1:], strict=True
    ):
        percent = float(cell.inner_text().split()[0])
        room = cell.evaluate("e => e.clientWidth - 2 * parseFloat(getComputedStyle(e).paddingLeft)")
        assert bar.bounding_box()["width"] == pytest.approx(room * percent / 100, abs=1)
    context.close()


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_twenty_norms_fit_and_what_is_folded_opens_without_scripts(visit, twenty, viewport):
    page = visit(address=twenty, viewport=viewport, java_script_enabled=False)
    width, height = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert width <= viewport["width"]
    assert height < (65 if viewport is PHONE else 33) * viewport["height"]
    group = page.locator("details", has_text="Wrong only with norm19")
    assert not group.locator(".gallery").is_visible()
    group.locator("summary").first.click()
    assert group.locator(".gallery").is_visible()


def test_the_names_of_the_norms_stay_while_a_row_scrolls(visit, twenty):
    page = visit(address=twenty, viewport=TABLET)
    name = page.locator(".results tbody th").first
    before = name.bounding_box()
    page.locator(".scroll").first.evaluate("e => e.scrollLeft = 200")
    assert name.bounding_box() == before
