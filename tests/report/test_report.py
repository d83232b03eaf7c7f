"""The report: numbers recomputed from the results, text escaped, nothing fetched, odd cases."""

import csv
import io
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import combinations
from statistics import mean, stdev

import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from report_fakes import (
    CIFAR10,
    MACHINE,
    collapsed,
    diverged,
    failed,
    fitting,
    make_analysis,
    make_costs,
    make_everything,
    make_labels,
    make_probes,
)

from normscope.analysis.answers import ONE_SEED
from normscope.cli.show import show_analysis
from normscope.errors import RunError
from normscope.experiment import Design
from normscope.report import write_report
from normscope.report.as_json import as_json
from normscope.report.figures import FIGURE_FILE, WHY, make_figures
from normscope.report.html import render_page
from normscope.report.markdown import render_markdown
from normscope.report.plots.style import NARROW_INCHES, PANEL_INCHES, panels_of
from normscope.report.result_table import SECONDS_NOTE, setting
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.words import moment, number, typeset

HOSTILE = ("<script>alert(1)</script>", "a$b$c", "café", '"q" onload=x', "a|b")
FEW = {"norms": ("bn", "gn"), "epochs": 3, "class_names": CIFAR10[:3]}  # quick to draw


class Page(HTMLParser):
    """What a browser would see of a page: tags with their attributes, text, tables."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.rows = [], [], []
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.in_cell = True
            self.rows[-1].append("")
        elif self.in_cell and tag == "small":
            self.rows[-1][-1] += " "

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        self.words.append(data)
        if self.in_cell:
            self.rows[-1][-1] += " ".join(data.split())

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def attribute_values(self):
        return [value for _, attributes in self.tags for value in attributes.values() if value]

    def row(self, norm):
        """The row of the result table, the first of the page, that belongs to a norm."""
        return next(row for row in self.rows if row[0] == norm)


def save_pictures(tmp_path, pictures):
    for index in pictures:
        tmp_path.joinpath("pictures").mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (index % 256, 90, 30)).save(tmp_path / f"pictures/{index}.png")


def report(tmp_path, analysis, pictures=()):
    save_pictures(tmp_path, pictures)
    return write_report(analysis, tmp_path / "pictures", tmp_path / "out")


def page_without_figures(tmp_path, analysis, pictures=()):
    """The page for tests of its words, which need not wait until seconds of drawing are over."""
    save_pictures(tmp_path, pictures)
    return render_page(analysis, [], tmp_path / "pictures")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A report of three norms and three seeds, whose costs are known: analysis, folder and page."""
    analysis = make_analysis(costs=make_costs())
    path = report(tmp_path_factory.mktemp("plain"), analysis, analysis.mistakes.pictures())
    return analysis, path.parent, path.read_text(encoding="utf-8")


def final(analysis, norm, field="test_accuracy_percent"):
    return {
        r.trial.seed: getattr(r.history[-1], field)
        for r in analysis.results
        if r.trial.norm == norm and r.status == "finished"
    }


# -- the numbers ---------------------------------------------------------------------------------


def test_the_result_table_holds_the_numbers_of_the_trials(plain):
    analysis, _, html = plain
    row = Page(html).row("gn")
    test, train = final(analysis, "gn"), final(analysis, "gn", "train_accuracy_percent")
    gap = [train[seed] - test[seed] for seed in test]
    assert row[1] == "3 of 3"
    assert row[2] == f"{mean(test.values()):.1f} sd {stdev(test.values()):.2f}"
    assert row[5] == f"{mean(train.values()):.1f} sd {stdev(train.values()):.2f}"
    assert row[6] == f"{mean(gap):.1f} sd {stdev(gap):.2f}"
    assert row[10].startswith("13.9 ")  # 13 s, 0.1 s more for every seed, and 0.8 s to evaluate


def test_the_difference_is_paired_and_carries_its_interval_and_n(plain):
    analysis, _, html = plain
    bn, gn = final(analysis, "bn"), final(analysis, "gn")
    paired = [gn[seed] - bn[seed] for seed in range(3)]
    # Student's t at 1 - 0.05/2/2 with 2 degrees of freedom: Holm's first of two comparisons.
    half = 6.205346816 * stdev(paired) / 3**0.5
    low, high = mean(paired) - half, mean(paired) + half
    expected = f"{mean(paired):+.2f} {low:+.2f} to {high:+.2f}, n 3".replace("-", "−")
    row = Page(html).row("gn")
    assert row[3] == expected
    assert row[4] in ("better", "worse", "undecided")
    assert (row[4] == "undecided") == (low <= 0 <= high)


def test_every_sentence_of_the_analysis_is_in_the_page_and_in_markdown(plain):
    analysis, folder, html = plain
    text = Page(html).text
    markdown = folder.joinpath("summary.md").read_text(encoding="utf-8")
    assert len(analysis.answers) == 2
    for sentence in map(str, (*analysis.answers, *analysis.findings, *analysis.caveats)):
        assert " ".join(typeset(sentence).split()) in text
        assert f"- {sentence}\n" in markdown


def test_a_norm_at_both_places_has_a_row_with_the_difference_of_the_places(tmp_path):
    analysis = make_analysis(**{**FEW, "norms": ("bn", "gn", "gn:pre")})
    post, pre = final(analysis, "gn"), final(analysis, "gn:pre")
    paired = [pre[seed] - post[seed] for seed in range(3)]
    half = 4.302652730 * stdev(paired) / 3**0.5  # Student's t at 0.975 with 2 degrees of freedom
    low, high = mean(paired) - half, mean(paired) + half
    cells = [
        "gn",
        *(f"{mean(x.values()):.1f} sd {stdev(x.values()):.2f}" for x in (post, pre)),
        f"{mean(paired):+.2f} {low:+.2f} to {high:+.2f}, n 3".replace("-", "−"),
    ]
    path = report(tmp_path, analysis)
    rows = Page(path.read_text(encoding="utf-8")).rows
    heading = next(i for i, row in enumerate(rows) if row[:3] == ["Norm", "Post (%)", "Pre (%)"])
    assert rows[heading + 1][:4] == cells
    words = re.escape("| gn | ") + ".*" + re.escape(cells[3].split()[0])
    assert re.search(words, path.with_name("summary.md").read_text(encoding="utf-8"))


def test_best_is_marked_only_where_every_difference_is_decided(plain, tmp_path):
    analysis, _, html = plain
    assert {n.verdict.outcome for n in analysis.norms if n.verdict} & {"undecided"}
    assert 'class="best"' not in html
    two = make_analysis(**FEW, seeds=8)
    decided = page_without_figures(tmp_path, two)
    assert [n.verdict.outcome for n in two.norms if n.verdict] == ["worse"]
    assert decided.count('<b class="best">') == 1
    assert f'<b class="best">{mean(final(two, "bn").values()):.1f}</b>' in decided


def test_results_csv_has_a_row_per_trial_and_epoch(plain):
    analysis, folder, _ = plain
    with folder.joinpath("results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("trial", "dataset", "model", "norm", "batch_size", "seed", "epoch"),
        *("train_loss_nats", "train_accuracy_percent", "test_loss_nats"),
        *("test_accuracy_percent", "learning_rate", "train_seconds", "test_seconds"),
    ]
    assert len(rows) == 3 * 3 * 15
    last = next(r for r in rows if (r["norm"], r["seed"], r["epoch"]) == ("ln", "2", "15"))
    assert float(last["test_accuracy_percent"]) == final(analysis, "ln")[2]
    assert last["batch_size"] == "512"


def test_trials_csv_has_a_row_per_trial_whatever_became_of_it(tmp_path):
    def change(results):
        return [diverged(results[0], 4), failed(results[1], "Traceback\nValueError: a, b"),
                *results[2:-1]]  # fmt: skip

    analysis = make_analysis(change=change, levels_percent=(75.5, 1.0))
    report(tmp_path, analysis)
    table = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert list(table.columns[:7]) == [
        *("trial", "dataset", "model", "norm", "batch_size", "seed", "status")
    ]
    assert table.columns[7:24].tolist() == [
        *("test_accuracy_percent", "train_accuracy_percent", "gap_points"),
        *("epochs_to_75.5_percent", "epochs_to_1_percent"),
        *("drop_sum_points", "largest_drop_points", "largest_drop_epoch", "area_percent"),
        *("test_loss_nats", "calibration_error_points", "temperature"),
        *("scaled_test_loss_nats", "scaled_calibration_error_points", "seconds_per_epoch"),
        *("inference_us_per_image", "peak_memory_mib"),
    ]
    assert table["epochs_to_1_percent"].tolist()[2:] == [1.0] * 6
    assert table["status"].tolist() == ["diverged", "failed"] + ["finished"] * 6
    assert table["error"][1] == "ValueError: a, b"
    assert table["test_accuracy_percent"].isna().tolist() == [True, True] + [False] * 6
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert len(rows) == 4 + 0 + 6 * 15
    assert ".0," not in io.StringIO(table["largest_drop_epoch"].astype("Int64").to_csv()).read()


# -- the page ------------------------------------------------------------------------------------


def test_the_page_needs_no_other_file_and_no_network_and_runs_one_script_of_ours(plain):
    _, folder, html = plain
    tags = Page(html).tags
    assert "http://" not in html
    assert "https://" not in html
    assert not {"link", "iframe", "object"} & {tag for tag, _ in tags}
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert any(f"script-src 'sha256-{digest}';" in value for value in Page(html).attribute_values)
    assert "@import" not in html
    assert "url(http" not in html
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")]
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
        if "href" in attributes:
            beside = tag == "a" and folder.joinpath(attributes["href"]).exists()
            assert beside or attributes["href"].startswith(("#", "data:")), (tag, attributes)


def test_the_page_links_to_what_lies_beside_it(plain, tmp_path):
    links = [a["href"] for tag, a in Page(plain[2]).tags if tag == "a" and a["href"][0] != "#"]
    assert links == ["results.csv", "trials.csv", "summary.md", "figures/"]
    alone = page_without_figures(tmp_path, plain[0])
    assert "Beside this page" not in alone


def test_ids_are_unique_and_links_lead_somewhere(plain):
    _, _, html = plain
    tags = Page(html).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    links = [a["href"][1:] for t, a in tags if t in ("a", "use") and a.get("href", "")[0] == "#"]
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)
    assert len(links) > 20


def test_every_figure_has_an_alternative_text_with_numbers_and_a_file(plain):
    _, folder, html = plain
    drawings = [a for tag, a in Page(html).tags if tag == "svg" and a.get("role") == "img"]
    assert len(drawings) == 2 * (11 + 3)  # for a wide and for a narrow screen
    assert all(re.search(r"\d", drawing["aria-label"]) for drawing in drawings)
    svgs = re.findall(r"<svg role=.*?</svg>", html, flags=re.DOTALL)
    assert max(map(len, svgs)) < 300_000
    files = {path.name for path in folder.joinpath("figures").iterdir()}
    assert len(files) == len(drawings) + 2 * 4  # mistakes of each norm, and of all, are in no page
    assert {name.rpartition(".")[2] for name in files} == {"png", "svg"}
    markdown = folder.joinpath("summary.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(figures/([^)]+)\)", markdown))
    assert linked == {name for name in files if name.endswith(".png")}


def test_headings_sections_and_tables_are_marked_up(plain):
    _, _, html = plain
    tags = Page(html).tags
    names = [tag for tag, _ in tags]
    assert names.count("h1") == names.count("main") == names.count("nav") == 1
    assert names.count("section") == names.count("h2") == 8
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")


def test_pictures_are_embedded_and_missing_ones_are_said_to_be_missing(tmp_path):
    analysis = make_analysis(**FEW)
    absent, *kept = sorted(analysis.mistakes.pictures())
    html = page_without_figures(tmp_path, analysis, kept)
    shown = [e.index for group in analysis.mistakes.groups for e in group.examples]
    missing = shown.count(absent)
    assert html.count("<img ") == len(shown) - missing
    assert html.count("This picture is not in the folder") == missing > 0


def test_a_tile_says_what_was_taken_for_what_how_surely_and_how_often(plain):
    analysis, _, html = plain
    example = analysis.mistakes.groups[0].examples[0]
    assert (
        f"{example.true} → {example.predicted} {example.confidence_percent:.1f} %, "
        f"{example.wrong} of {example.trials}, #{example.index}"
    ) in Page(html).text


def test_below_a_picture_there_is_what_every_norm_says_of_it(plain):
    """A row for each norm: how many trials err, and its mean percent and the lowest to highest."""
    analysis, _, html = plain
    example = analysis.mistakes.groups[0].examples[0]
    image, names = analysis.images[example.index], analysis.facts.class_names
    tile = html[html.index(f"#{example.index}</span>") :]
    page = Page(tile[: tile.index("</details>")])
    assert image.agreement in page.text
    assert page.rows[0] == [
        "Norm",
        "Wrong",
        f"{example.true} true",
        *(names[c] for c in image.classes[1:]),
    ]
    for row, norm in zip(page.rows[1:], ("bn", "gn", "ln"), strict=True):
        kept = [r.predictions for r in analysis.results if r.trial.norm == norm]
        wrong = sum(int(names[p.classes[example.index]] != example.true) for p in kept)
        percent = [100 * p.probabilities()[example.index] for p in kept]
        cells = []
        for each in image.classes:
            low, high = (round(f(p[each] for p in percent)) for f in (min, max))
            spread = f"{low}–{high}" if low != high else f"{low}"
            cells.append(f"{mean(float(p[each]) for p in percent):.1f} {spread}")
        assert row == [norm, f"{wrong} of 3", *cells]


@pytest.mark.parametrize(("count", "bars"), [(8, 8 * 3), (9, 0)])
def test_with_many_norms_shares_are_numbers_without_bars(tmp_path, count, bars):
    norms = tuple(f"norm{i}" for i in range(count))
    html = page_without_figures(tmp_path, make_analysis(**{**FEW, "norms": norms}, seeds=2))
    gallery = html[html.index('<ol class="gallery">') :]
    tile = gallery[: gallery.index("</li>")]
    assert tile.count("<svg ") == bars  # three classes
    assert tile.count("<small>") == (1 + bars if bars else 1)  # "true", and the spreads


def test_the_agreement_of_trials_is_on_the_page_in_markdown_and_in_json(plain):
    analysis, folder, html = plain
    markdown = folder.joinpath("summary.md").read_text(encoding="utf-8")
    words, found = as_json(analysis)["agreement"], analysis.agreement
    assert len(words["sentences"]) == 2
    for sentence in words["sentences"]:
        assert " ".join(typeset(sentence).split()) in Page(html).text
        assert sentence.replace("|", r"\|") in markdown
    shares = [f"{percent:.1f}" for percent in found.shared.percent[1]]
    assert ["gn", *shares] in Page(html).rows
    assert f"| gn | {shares[0]} | **{shares[1]}** | {shares[2]} |" in markdown
    assert f"<b>{shares[1]}</b>" in html
    split = found.splits["gn"]
    counts = [f"{n:,}" for n in (split.right, split.wrong, split.mixed)]
    assert ["gn", *counts] in Page(html).rows
    assert words["shared_mistakes"]["percent"][1] == found.shared.percent[1].tolist()


def test_provenance_lists_what_a_reader_needs_to_repeat_and_to_doubt(plain):
    analysis, _, html = plain
    text = Page(html).text
    assert "normscope compare --dataset cifar10" in text
    assert "2026-01-01 00:00 UTC" in text
    recipe = "s8: 15 epochs with batches of 512 images, precision fp32. SGD with OneCycleLR: the "
    assert recipe + "learning rate rises to 0.02" in text
    for value in ("0, 1, 2", "ab" * 32, "cd" * 32):
        assert value in text
    for value in MACHINE.model_dump().values():
        assert str(value) in text
    for result in analysis.results:
        assert result.trial.id in text


def test_the_layer_table_adds_up(plain):
    _, _, html = plain
    rows = Page(html).rows
    assert ["Conv2d-1", "16 × 30 × 30", "432", "388,800"] in rows
    assert ["Total", "", "744", "389,080"] in rows
    memory = 4 * (3 * 32 * 32 + 2 * (2 * 16 * 30 * 30 + 10) + 744) / 2**20
    assert f"total {memory:.2f} MiB." in Page(html).text


# -- one thing, one name ---------------------------------------------------------------------------


def words_of(tmp_path, **options):
    """The page and the Markdown without their figures."""
    analysis = make_analysis(**{**FEW, **options})
    return Page(page_without_figures(tmp_path, analysis)), render_markdown(analysis, [])


@pytest.mark.parametrize(("margin", "told"), [(50, True), (0.01, False)])
def test_every_table_of_intervals_says_which_of_them_equivalence_is_not_by(
    tmp_path, capsys, margin, told
):
    """The answer quotes the interval of equivalence, the tables that of a difference."""
    options = {"norms": ("bn", "bn:pre"), "seeds": 3, "design": Design(margin_points=margin)}
    page, markdown = words_of(tmp_path, **options)
    show_analysis(make_analysis(**{**FEW, **options}))
    terminal = " ".join(capsys.readouterr().out.split())
    note, with_placement = "Equivalence is judged by a 90 % interval of its own.", 2
    for text, tables in (
        (page.text.replace("\u00a0", " "), with_placement),
        (markdown, with_placement),
        (terminal, 1),
    ):
        assert "their 95 % interval" in text or text is terminal
        assert text.count(note) == tables * told
        assert text.count("all of it within ±50; 3 seeds") == told


def test_costs_are_told_with_their_spread_wherever_tables_are(plain):
    analysis, folder, html = plain
    step, one = "100 90.0 to 130", "2.00 1.90 to 2.75"
    assert ["bn", step, one, step, one, step, "240.0"] in Page(html).rows
    markdown = folder.joinpath("summary.md").read_text(encoding="utf-8")
    assert "## Network and cost" in markdown
    step, one = "102 (90.0 to 130)", "2.20 (1.90 to 2.75)"
    assert f"| ln | {step} | {one} | {step} |  |  | 240.0 |" in markdown
    assert "| ln | 0.10 | 0.24 | 0.500 | 0.250 |" in markdown
    assert as_json(analysis)["costs"]["norms"][2]["folded_ms"] is None
    assert "in 7 rounds of alternating order" in Page(html).text


def test_why_is_told_in_plain_words_before_every_number(tmp_path, capsys):
    analysis = make_analysis(**FEW, seeds=5, probes=make_probes(0.7))
    html, markdown = render_page(analysis, [], tmp_path), render_markdown(analysis, [])
    page = Page(html)
    show_analysis(analysis, verbose=True)
    terminal = " ".join(capsys.readouterr().out.split())
    plain = as_json(analysis)["why"]
    assert [each["outcome"] for each in plain[:2]] == ["supported"] * 2
    assert len(analysis.why) == len(plain) > 2
    for reading in analysis.why:
        outcome = reading.outcome.capitalize()
        words = typeset(f"{outcome}. {reading.plain}").replace("\u00a0", " ")
        assert " ".join(words.split()) in " ".join(page.text.replace("\u00a0", " ").split())
        assert f"**{outcome}.** {reading.plain}" in markdown
        assert f"{reading.claim}: {reading.outcome}. {reading.plain}" in terminal
    assert plain[0]["outcome"] == "supported"
    (row,) = [row for row in page.rows if row[:2] == ["gn", "0.60"]]
    assert row == ["gn", "0.60", "0.70", "0.12", "0.65", "0.69", "0.71", "0.25", "–", "–", "–", "5"]
    assert "why" in [tag[1].get("id") for tag in page.tags]
    without = render_page(make_analysis(**FEW), [], tmp_path)
    assert 'id="why"' not in without


def test_the_figures_of_the_probes_stand_under_why_and_say_what_to_see(tmp_path):
    analysis = make_analysis(**FEW, seeds=2, probes=make_everything)
    figures = make_figures(analysis)
    html = render_page(analysis, figures, tmp_path)
    inside = html[html.index('<section id="why"') : html.index('<section id="network"')]
    drawn = [figure for figure in figures if figure.section == WHY]
    assert 2 * len(drawn) == inside.count("<svg ") >= 14
    for figure in drawn:
        assert figure.alt
        assert f"<figcaption>{Markup.escape(figure.caption)}</figcaption>" in inside


def test_the_navigation_has_the_headings_of_the_sections(plain):
    html = plain[2]
    headings = dict(re.findall(r'<h2 id="(\w+)-title">([^<]+)</h2>', html))
    nav = html[html.index("<nav") : html.index("</nav>")]
    links = dict(re.findall(r'<a href="#(\w+)">([^<]+)</a>', nav))
    assert links == headings
    assert len(links) == 8


def test_a_section_has_one_name_on_the_page_in_markdown_and_in_the_terminal(tmp_path, capsys):
    analysis = make_analysis(**FEW, seeds=1)
    html, markdown = page_without_figures(tmp_path, analysis), render_markdown(analysis, [])
    show_analysis(analysis, verbose=True)
    terminal = capsys.readouterr().out.splitlines()
    for name in ("Answer", "Caveats", "Findings"):
        assert re.search(f"<h[23][^>]*>{name}</h[23]>", html)
        assert re.search(f"^##+ {name}$", markdown, re.MULTILINE)
        assert name in terminal


def test_findings_wait_to_be_asked_for(plain, capsys):
    analysis, _, _ = plain
    show_analysis(analysis)
    short = capsys.readouterr().out
    assert "Findings" not in short
    assert f"{len(analysis.findings)} findings more in the report; with --verbose" in short
    show_analysis(analysis, verbose=True)
    long = capsys.readouterr().out
    assert "\nFindings\n- " in long
    assert "with --verbose" not in long


def test_the_same_words_with_the_same_minus_sign_are_on_every_surface(plain, capsys):
    analysis, folder, html = plain
    sentence = str(analysis.answers[0])
    assert "−" in sentence
    assert sentence in as_json(analysis)["answers"]
    assert f"\n- {sentence}\n" in folder.joinpath("summary.md").read_text(encoding="utf-8")
    assert typeset(sentence) in html
    show_analysis(analysis)
    out = capsys.readouterr().out
    assert f"- {sentence} " in " ".join(out.split())
    assert not re.search(r"(?<![\w-])-\d", out)


def test_every_norm_is_named_in_full_once_and_in_the_recommendation(tmp_path, capsys):
    titles = {"bn": "BatchNorm", "gn": "GroupNorm, 4 groups"}
    names = "bn: BatchNorm; gn: GroupNorm, 4 groups"
    analysis = make_analysis(**FEW, titles=titles)
    path = report(tmp_path, analysis)
    page, markdown = Page(path.read_text("utf-8")), path.with_name("summary.md").read_text("utf-8")
    show_analysis(analysis)
    for text in (page.text, markdown, capsys.readouterr().out):
        assert text.count(names) == 1
        assert text.count("GroupNorm, 4 groups") == 2
        assert str(analysis.recommendation)[:30] in text


def test_full_names_are_left_out_where_they_are_not_known(tmp_path):
    page, markdown = words_of(tmp_path, titles={"ln": "LayerNorm"})
    assert "LayerNorm" not in page.text + markdown


def test_limits_on_the_images_are_told(tmp_path, capsys):
    page, markdown = words_of(tmp_path, train_limit=4000, test_limit=900)
    show_analysis(make_analysis(**FEW, train_limit=4000, test_limit=900))
    words = "learning rate 0.02, the first 4,000 training and the first 900 test images"
    for text in (page.text, markdown, " ".join(capsys.readouterr().out.split())):
        assert words in text
    page, markdown = words_of(tmp_path)
    assert "learning rate 0.02, all 50,000 training and all 1,000 test images" in page.text
    assert "learning rate 0.02, all 50,000 training and all 1,000 test images" in markdown


def test_a_short_training_is_told_beside_the_answer_on_every_surface(tmp_path, capsys):
    page, markdown = words_of(tmp_path, train_limit=4000)
    show_analysis(make_analysis(**FEW, train_limit=4000))
    words = "24 of 1,470 steps."
    for text in (page.text, markdown, " ".join(capsys.readouterr().out.split())):
        assert text.index("bn after 24 steps") < text.index(words)
    assert page.text.index(words) < page.text.index("Sum of drops (points)")
    plain_values = as_json(make_analysis(**FEW, train_limit=4000))
    assert any(words in caveat for caveat in plain_values["caveats"])


@pytest.mark.parametrize(
    ("low", "words"), [(range(3), "never reached"), ([0], "2 of 3 reached it")]
)
def test_a_level_that_was_not_always_reached_says_by_how_many(low, words, tmp_path):
    def change(results):
        return [
            r.model_copy(
                update={
                    "history": tuple(
                        replace(e, **{"test_accuracy_percent": 50.0}) for e in r.history
                    )
                }
            )
            if r.trial.norm == "gn" and r.trial.seed in low
            else r
            for r in results
        ]

    page, markdown = words_of(tmp_path, epochs=15, change=change)
    assert page.row("gn")[7] == words
    assert f"| {words} |" in markdown


def test_no_element_of_the_page_but_its_drawings_has_a_style_of_its_own(plain):
    outside = re.sub(r"<svg.*?</svg>", "", plain[2], flags=re.DOTALL)
    assert "style=" not in outside
    for place, norm in enumerate(("bn", "gn", "ln")):
        assert f'<span class="swatch norm-{place}"></span>{norm}</th>' in outside
        assert re.search(rf"\.norm-{place} {{ background: #[0-9A-F]{{6}}; }}", outside)


# -- odd cases -----------------------------------------------------------------------------------


def all_failed(results):
    return [failed(result, "Traceback\n  File x\nMemoryError: <none> left") for result in results]


def never_wrong(results):
    labels = make_labels()
    return [
        r.model_copy(update={"predictions": type(r.predictions)(labels, r.predictions.logits)})
        for r in results
    ]


def one_norm_collapsed(results):
    return [collapsed(r) if r.trial.norm == "gn" else r for r in results]


def one_norm_diverged(results):
    return [diverged(r, 3) if r.trial.norm == "gn" else r for r in results]


ODD = {
    "one norm": {**FEW, "norms": ("bn",)},
    "one seed": {"seeds": 1, "class_names": CIFAR10[:3]},
    "one norm, one seed, one epoch": {**FEW, "norms": ("bn",), "seeds": 1, "epochs": 1},
    "one epoch": {**FEW, "epochs": 1},
    "two epochs": {**FEW, "epochs": 2},
    "interrupted": {**FEW, "change": lambda results: results[:3]},
    "not begun": {"change": lambda results: []},
    "all failed": {"change": all_failed},
    "a norm that always collapsed": {**FEW, "epochs": 6, "change": one_norm_collapsed},
    "a norm that always diverged": {**FEW, "epochs": 6, "change": one_norm_diverged},
    "no mistakes": {"norms": ("bn", "gn"), "change": never_wrong},
    "level never reached": {**FEW, "levels_percent": (99.0,)},
    "twelve norms": {**FEW, "norms": tuple(f"norm{i}" for i in range(12)), "seeds": 2},
    "hostile": {**FEW, "class_names": HOSTILE, "command": "normscope '<img src=x>' \n# **b**"},
}


@pytest.mark.parametrize("case", ODD)
def test_odd_experiments_render_without_holes(case, tmp_path):
    path = report(tmp_path, make_analysis(**ODD[case]))
    page = Page(path.read_text(encoding="utf-8"))
    markdown = path.with_name("summary.md").read_text(encoding="utf-8")
    for text in (page.text, markdown, *page.attribute_values):
        assert not re.search(r"\b(nan|NaN|None|inf|undefined)\b", text)
    assert all(len(p.read_bytes()) < 300_000 for p in path.parent.glob("figures/*.svg"))


@pytest.mark.parametrize("epochs", [1, 2, 6])
def test_where_nothing_fell_a_sentence_says_so_instead_of_an_empty_figure(epochs, tmp_path):
    def change(results):
        """Every trial rises; but the first falls in its last epoch, of six."""
        risen = []
        for i, r in enumerate(results):
            last = 5 if (i, epochs) == (0, 6) else 90
            percent = [*range(10, 10 + epochs - 1), last]
            history = [
                replace(e, test_accuracy_percent=float(p))
                for e, p in zip(r.history, percent, strict=True)
            ]
            risen.append(r.model_copy(update={"history": tuple(history)}))
        return risen

    analysis = make_analysis(**{**FEW, "epochs": epochs}, change=change)
    html = page_without_figures(tmp_path, analysis)
    drawn = [figure.name for figure in make_figures(analysis)]
    sentence = "Test accuracy never fell from one epoch to the next, in "
    assert (sentence in html, "drops" in drawn) == (epochs == 2, epochs == 6)


def one_of_each(results):
    """Of gn, seed 0 diverged and seeds 1 and 2 collapsed."""
    ends = {0: lambda r: diverged(r, 1), 1: collapsed, 2: collapsed}
    return [ends.get(r.trial.seed, lambda r: r)(r) if r.trial.norm == "gn" else r for r in results]


def test_a_narrow_terminal_counts_them_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    show_analysis(make_analysis(**FEW, seeds=4, change=one_of_each))
    shown = capsys.readouterr().out
    assert re.search(r"\n  test acc. %, mean ± sd: [\d.]+, 1 diverged, 2 collapsed\n", shown)


def test_collapsed_trials_are_counted_apart_and_named_on_every_surface(tmp_path, capsys):
    analysis = make_analysis(**FEW, seeds=4, change=one_of_each)
    path = report(tmp_path, analysis)
    page = Page(path.read_text(encoding="utf-8"))
    markdown = path.with_name("summary.md").read_text(encoding="utf-8")
    show_analysis(analysis)
    terminal = capsys.readouterr().out
    words = "gn diverged in 1 and collapsed in 2 of 4 seeds, which counts as guessing"
    counts = "gn: 1 of 4 trials finished (1 diverged, 2 collapsed, 0 failed, 0 not run)."
    for text in (page.text, markdown, " ".join(terminal.split())):
        assert text.index(words) < text.index(counts)
    assert page.row("gn")[1] == "1 of 4 1 diverged, 2 collapsed"
    assert "| gn | 1 of 4 (1 diverged, 2 collapsed) |" in markdown
    assert "A cross ends the curve of one that diverged, collapsed or failed." in page.text
    assert page.text.count("collapsed: train accuracy in the last epoch was 10.0 %") == 2
    (row,) = [line for line in terminal.splitlines() if line.startswith("gn ")]
    assert " 1/4 " in row
    after = terminal.splitlines()[terminal.splitlines().index(row) + 1 :]
    assert [line.strip() for line in after[:2]] == ["1 diverged", "2 collapsed"]
    (verdict,) = as_json(analysis)["verdicts"]
    assert {k: v for k, v in verdict.items() if "verged" in k or "lapsed" in k} == {
        "diverged": 1, "baseline_diverged": 0, "collapsed": 2, "baseline_collapsed": 0,
    }  # fmt: skip
    gn = as_json(analysis)["norms"][1]
    assert (gn["diverged"], gn["collapsed"], gn["finished"]) == (1, 2, 1)
    table = pd.read_csv(path.with_name("trials.csv"))
    assert table["status"].tolist()[1::2] == ["diverged", "collapsed", "collapsed", "finished"]
    assert table["test_accuracy_percent"].isna().tolist()[1::2] == [True, True, True, False]
    rows = pd.read_csv(path.with_name("results.csv"))
    assert len(rows[(rows["norm"] == "gn") & (rows["seed"] == 2)]) == 3  # every epoch


@pytest.mark.parametrize("norms", [("bn", "gn"), ("bn",)])
def test_one_seed_is_no_conclusion_and_says_so_wherever_it_is_read(tmp_path, norms):
    page, markdown = words_of(tmp_path, norms=norms, seeds=1)
    sentence = f"{ONE_SEED[0].upper()}{ONE_SEED[1:]}."
    assert page.text.index(f"Caveats {sentence}") < page.text.index("Seconds per epoch")
    assert f"\n- {sentence}\n" in markdown


def test_three_seeds_do_not_say_that_they_are_one(plain):
    assert ONE_SEED not in plain[2]


def test_synthetic_data_is_named_directly_under_the_title(tmp_path):
    analysis = make_analysis(**FEW, synthetic=True)
    html = page_without_figures(tmp_path, analysis)
    assert re.search(r"</h1>\s*<p [^>]*><strong>Synthetic data", html)
    assert "Synthetic data" in render_markdown(analysis, [])


def test_text_from_data_stays_text(tmp_path):
    analysis = make_analysis(
        **{**FEW, "class_names": HOSTILE},
        command="normscope --out '<script>x</script>' `id`",
        change=lambda rs: [failed(rs[0], 'Traceback\nError: <b onclick="x">'), *rs[1:]],
    )
    path = report(tmp_path, analysis)
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [a for _, a in page.tags if {"onload", "onclick"} & set(a)]
    for text in (*HOSTILE[:4], "<script>x</script>", '<b onclick="x">'):
        assert text in page.text
    markdown = path.with_name("summary.md").read_text(encoding="utf-8")
    outside_code = "\n".join(li for li in markdown.splitlines() if not li.startswith("    "))
    assert "<script" not in outside_code
    assert r"a\$b\$c" in outside_code or "a$b$c" not in outside_code


def test_failures_are_listed_with_their_traceback(tmp_path):
    analysis = make_analysis(
        **FEW, change=lambda rs: [failed(rs[0], "Traceback\n  in f\nE: no"), *rs[1:]]
    )
    page = Page(page_without_figures(tmp_path, analysis))
    trial = analysis.results[0].trial.id
    assert page.row(trial)[:3] == [trial, "failed", "–"]
    assert f"{trial} failed: E: no" in page.text
    assert "Traceback in f E: no" in page.text
    assert page.row("bn")[1] == "2 of 3"


def test_several_environments_are_listed_each_with_its_trials(tmp_path):
    other = MACHINE.model_copy(update={"device": "cuda:0", "processor": "NVIDIA H100"})

    def change(results):
        return [*results[:4], *[r.model_copy(update={"environment": other}) for r in results[4:]]]

    analysis = make_analysis(**FEW, change=change)
    text = Page(page_without_figures(tmp_path, analysis)).text
    assert "Trials 4 normscope" in text
    assert "Trials 2 normscope" in text
    assert "NVIDIA H100" in text


def test_pictures_that_are_damaged_or_cannot_be_read_count_as_absent(tmp_path):
    analysis = make_analysis(**FEW)
    folder, damaged, *kept = sorted(analysis.mistakes.pictures())
    without = page_without_figures(tmp_path, analysis, kept)
    page_without_figures(tmp_path, analysis, [damaged, *kept])
    pictures = tmp_path / "pictures"
    pictures.joinpath(f"{folder}.png").mkdir()
    with pictures.joinpath(f"{damaged}.png").open("r+b") as file:
        file.truncate(20)
    html = report(tmp_path, analysis).read_text(encoding="utf-8")
    absent = "This picture is not in the folder"
    assert html.count(absent) == without.count(absent) > 0
    assert html.count("<img ") == without.count("<img ")


def test_a_record_of_a_norm_that_was_not_asked_for_is_listed(tmp_path):
    stranger = make_analysis(**{**FEW, "norms": ("bn", "other")}, seeds=1).results[1]
    analysis = make_analysis(**FEW, change=lambda results: [*results, stranger])
    page = Page(report(tmp_path, analysis).read_text(encoding="utf-8"))
    assert page.row(stranger.trial.id)[1] == "finished"


def test_seconds_are_said_to_be_medians_in_the_page_and_in_markdown(plain):
    _, folder, html = plain
    assert Page(html).text.count(SECONDS_NOTE) == 2
    assert SECONDS_NOTE in folder.joinpath("summary.md").read_text(encoding="utf-8")


# -- many norms ----------------------------------------------------------------------------------

TWENTY = ("bn", "gn", "ln", *(f"norm{i}" for i in range(3, 20)))


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    analysis = make_analysis(norms=TWENTY, class_names=CIFAR10[:3], costs=make_costs(TWENTY))
    path = report(tmp_path_factory.mktemp("twenty"), analysis, analysis.mistakes.pictures())
    return analysis, path.parent, path.read_text(encoding="utf-8")


def without_galleries(html):
    """The page without what there is below its pictures, a table for each."""
    return re.sub(r'<ol class="gallery">.*?</ol>', "", html, flags=re.DOTALL)


def test_twenty_norms_are_all_in_every_table_and_have_their_figures(twenty):
    _, folder, html = twenty
    page = Page(without_galleries(html))
    markdown = folder.joinpath("summary.md").read_text(encoding="utf-8")
    for norm in TWENTY:
        assert page.row(norm)[1] == "3 of 3"
        rows = [row[0] for row in page.rows].count(norm)
        # Results, evidence, spread, agreement twice, cost, cost side by side, before training.
        assert rows == (8 if norm == TWENTY[0] else 9)
        assert f"Wrong only with {norm} " in page.text
        assert f"Most confident mistakes of {norm} " in page.text
        assert f"\n| {norm} | 3 of 3 | " in markdown
    figures = list(folder.glob("figures/*.svg"))
    assert len(figures) == 11 + 20 + 20 + 1
    assert all(figure.stat().st_size < 300_000 for figure in figures)


def test_what_is_long_with_twenty_norms_is_folded(twenty, plain):
    names = [tag for tag, _ in Page(without_galleries(twenty[2])).tags]
    # mistakes, agreement, matrices, layers, trials
    assert names.count("details") == 2 * 20 + 1 + 1 + 20 + 1
    usual = [tag for tag, _ in Page(without_galleries(plain[2])).tags]
    assert usual.count("details") == 3  # layers


def labels(figure):
    """The extents of the words in a figure, but for its ticks, and none that are turned."""
    figure.draw_without_rendering()  # it is then that the words of a legend find their places
    texts = [text for axes in figure.axes for text in axes.texts]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        texts += [axes.title, axes._left_title, axes._right_title]
    return [Text.get_window_extent(text) for text in texts if text.get_text()]


@pytest.mark.parametrize("inches", [PANEL_INCHES, NARROW_INCHES])
def test_no_words_lie_on_each_other_or_leave_the_figure_with_twenty_norms(twenty, inches):
    for figure in make_figures(twenty[0]):
        with panels_of(inches):
            drawing = figure.draw()
        frame, extents = drawing.bbox, labels(drawing)
        assert len(extents) > 1
        for extent in extents:
            assert frame.x0 <= extent.x0 < extent.x1 <= frame.x1, figure.name
            assert frame.y0 <= extent.y0 < extent.y1 <= frame.y1, figure.name
        for one, other in combinations(extents, 2):
            shared = Bbox.intersection(one, other)
            assert shared is None or min(shared.width, shared.height) < 2, figure.name


def test_the_terminal_shows_twenty_norms_in_eighty_columns(twenty, capsys):
    show_analysis(twenty[0])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert len(lines) < 105
    for norm in TWENTY:
        assert any(line.startswith(f"{norm} ") for line in lines)


# -- files ---------------------------------------------------------------------------------------


def test_the_same_analysis_gives_the_same_bytes(plain, tmp_path):
    analysis, folder, _ = plain
    again = write_report(analysis, folder.parent / "pictures", tmp_path).parent
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 4 + 36
    for file in files:
        assert again.joinpath(file).read_bytes() == folder.joinpath(file).read_bytes(), file


def test_figures_of_an_earlier_report_go_and_other_files_stay(tmp_path):
    report(tmp_path, make_analysis(**FEW))
    figures = tmp_path / "out" / "figures"
    others = {"confusion_1.txt", "my_confusion_1.png", "confusion_x.svg", "confusion_7.png"}
    for name in others - {"confusion_7.png"}:
        figures.joinpath(name).write_text("mine", encoding="utf-8")
    figures.joinpath("confusion_7.png").mkdir()
    assert figures.joinpath("paired.svg").exists()
    fewer = make_analysis(**{**FEW, "norms": ("bn",), "epochs": 1})
    report(tmp_path, fewer)
    kept = {path.name for path in figures.iterdir()}
    names = [*(figure.name for figure in make_figures(fewer)), "mistakes_0"]
    expected = {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    assert kept == expected | others
    assert "paired.svg" not in kept


def test_every_figure_has_a_name_by_which_it_can_be_removed(plain, twenty):
    for _, folder, _ in (plain, twenty):
        names = [path.name for path in folder.joinpath("figures").iterdir()]
        assert all(FIGURE_FILE.fullmatch(name) for name in names)


def test_only_whole_files_are_left(plain):
    _, folder, _ = plain
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(tmp_path):
    tmp_path.joinpath("out").write_text("a file")
    with pytest.raises(RunError, match=r"cannot write .*out.*another folder for the report"):
        report(tmp_path, make_analysis(norms=("bn",), seeds=1, epochs=1))


def test_a_folder_may_be_read_with_another_level(tmp_path):
    labels = make_labels(1000, 3)
    fit = lambda results: [fitting(result, labels) for result in results]  # noqa: E731
    analysis = make_analysis(**{**FEW, "epochs": 15}, change=fit)
    store = Store.create(tmp_path, analysis.experiment, analysis.requests[0])
    store.describe(analysis.facts, labels, analysis.models.values())
    for result in analysis.results:
        store.add(result)
    usual, low = Comparison.read(tmp_path), Comparison.read(tmp_path, levels_percent=(50.0,))
    assert usual.analysis.level_percent == 60.0
    assert usual.analysis.norms == analysis.norms
    assert usual.analysis.titles == {"bn": "BatchNorm", "gn": "GroupNorm (4 groups)"}
    assert len(repr(usual)) < 300
    sooner = low.table()["epochs_to_50_percent_mean"]
    assert (sooner < usual.table()["epochs_to_60_percent_mean"]).all()


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (None, 1, False, "–"),
        (75.84, 1, False, "75.8"),
        (-0.789, 2, True, "−0.79"),
        (0.5, 2, True, "+0.50"),
        (-0.001, 2, False, "0.00"),
        (1234567.0, 0, False, "1,234,567"),
    ],
)
def test_how_numbers_are_written(value, digits, signed, text):
    assert number(value, digits, signed) == text


def test_how_sentences_and_dates_are_set():
    assert typeset("gn-8 is −0.79 to +1 (5 %)") == "gn-8 is −0.79 to +1 (5\u00a0%)"
    assert moment("2026-11-23T11:31:22+02:00") == "2026-11-23 09:31 UTC"


def test_of_tuned_rates_the_setting_names_the_middle_of_the_search():
    tuned = setting(make_analysis(protocol="tuned"))
    assert "protocol tuned, batch size 512, peak learning rates searched around 0.02, all" in tuned
    assert "batch size 512, peak learning rate 0.02, all" in setting(make_analysis())
