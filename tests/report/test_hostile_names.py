"""Names that were made to do harm, in every file of a report: they are text and nothing else."""

import csv
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree

import pytest
from report_fakes import diverged, make_analysis

from normscope.report import write_report
from normscope.report.csv_files import csv_file, trials_table
from normscope.report.markdown import escape, link

RUNS = "document.title='RUN';fetch('{url}')"
PAYLOADS = (
    "<script>{js}</script>",
    "</title><script>{js}</script>",
    "</style><script>{js}</script>",
    "<img src=x onerror=\"{js}\">",
    "<img src='{url}/img'>",
    "<svg onload=\"{js}\">",
    "<svg><script>{js}</script></svg>",
    "]]><script>{js}</script>",
    "--><script>{js}</script>",
    "\" onmouseover=\"{js}\" autofocus onfocus=\"{js}",
    "' onfocus='{js}' autofocus='",
    "<body onload=\"{js}\">",
    "<iframe src=\"javascript:{js}\"></iframe>",
    "<iframe srcdoc=\"<script>parent.{js}</script>\">",
    "<object data='{url}/object'></object>",
    "<embed src='{url}/embed'>",
    "<link rel=stylesheet href='{url}/css'>",
    "<style>@import '{url}/import';</style>",
    "<meta http-equiv=refresh content='0;url={url}/refresh'>",
    "<base href='{url}/'>",
    "<form action='{url}/form'><input autofocus onfocus=\"{js}\"></form>",
    "<video src='{url}/video' onerror=\"{js}\"></video>",
    "<details open ontoggle=\"{js}\">",
    "<math><mtext></mtext><script>{js}</script></math>",
    "<template><script>{js}</script></template><noscript><img src='{url}/n'></noscript>",
    "&lt;script&gt;{js}&lt;/script&gt;",
    "\\u003cscript\\u003e{js}\\u003c/script\\u003e",
    "{{{{ ''.__class__.__mro__ }}}}{{% raw %}}<script>{js}</script>",
    "javascript:{js}",
    "<a href=\"javascript:{js}\" id=x>x</a><script src='{url}/src'></script>",
)  # fmt: skip


class Listener(ThreadingHTTPServer):
    """Counts what anybody asks of it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def listener():
    with Listener() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield server
        server.shutdown()


def written(folder, names, run, error="ValueError: x"):
    """A report in which these are names of classes, of the file, of the run and of the network."""

    def change(results):
        broken = diverged(results[0], after=1).model_copy(
            update={"status": "failed", "error": f"Traceback\n{error}"}
        )
        return [broken, *results[1:]]

    analysis = make_analysis(
        epochs=2, test_size=100, class_names=tuple(names), command=f"normscope --out {run}",
        change=change,
    )  # fmt: skip
    return write_report(analysis, folder / "pictures", folder / "out")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium or google-chrome on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def payloads(listener):
    return [each.format(js=RUNS.format(url=listener.url), url=listener.url) for each in PAYLOADS]


def visited(browser, address):
    """The page after everything on it was touched, and the requests that it made."""
    asked = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(200)
    return page, [url for url in asked if not url.startswith("data:")]


def test_thirty_payloads_run_nothing_and_ask_for_nothing(browser, payloads, listener, tmp_path):
    assert len(payloads) == 30
    report = written(tmp_path, payloads, " ".join(payloads), f"ValueError: {payloads[0]}")
    page, asked = visited(browser, report.as_uri())
    title = page.title()
    tags = page.evaluate(
        "['script', 'iframe', 'object', 'embed', 'form', 'base', 'link', 'video', 'template']"
        ".map(tag => document.querySelectorAll(tag).length)"
    )
    text = page.locator("pre, code").all_inner_texts()
    page.close()
    assert asked == [report.as_uri()]
    assert listener.asked == []
    assert title != "RUN"
    assert tags == [1] + [0] * 8  # the script of the page itself
    assert all(any(each in block for block in text) for each in payloads)


def test_where_markup_got_into_the_page_its_policy_would_stop_it(
    browser, payloads, listener, tmp_path
):
    """The second wall: the page of a report in which names had not been escaped."""
    page = written(tmp_path, ("cat", "dog", "cow"), "x").read_text(encoding="utf-8")
    page = page[: page.index("<main>")]
    for payload in payloads[:18:3]:
        (tmp_path / "broken.html").write_text(page + payload)
        opened, _ = visited(browser, (tmp_path / "broken.html").as_uri())
        title = opened.title()
        opened.close()
        assert title != "RUN", payload
        assert listener.asked == [], payload
    page = re.sub(r"<meta http-equiv=.Content-Security-Policy.*>", "", page)
    (tmp_path / "open.html").write_text(page + payloads[0])
    opened, _ = visited(browser, (tmp_path / "open.html").as_uri())
    assert opened.title() == "RUN"  # so the above was the policy's doing
    opened.close()
    listener.asked.clear()


def test_payloads_that_may_be_names_of_norms_run_nothing(browser, tmp_path):
    """Those without a slash; no norm has one in its name."""
    runs = "document.title='RUN'>"
    norms = (f"<svg onload={runs}", f"<img src=x onerror={runs}", "<b>b")
    analysis = make_analysis(norms=norms, epochs=2, test_size=100)
    out = tmp_path / "<img src=x onerror=alert(1)>"
    report = write_report(analysis, tmp_path / "pictures", out)
    page, asked = visited(browser, report.as_uri())
    title, images = page.title(), page.locator("img[src=x]").count()
    page.close()
    assert asked == [report.as_uri()]
    assert (title.startswith("<svg onload="), images) == (True, 0)


ODD = ("=cmd|' /C calc'!A0", "\x1b[31mred\x07", "a|b`c`\n# d")


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    return written(folder, ODD, "'\x1b]8;;http://evil\x07'", "\x1b[2J$x^2$\x00").parent


def test_no_file_of_a_report_holds_a_control_character(odd):
    for file in odd.rglob("*"):
        if file.suffix in (".html", ".md", ".csv", ".svg"):
            text = file.read_bytes().decode()
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), file


def test_every_figure_is_well_formed_and_names_are_literal(odd):
    svgs = list(odd.glob("figures/*.svg"))
    assert len(svgs) > 10
    texts = [text for svg in svgs for text in ElementTree.parse(svg).getroot().itertext()]
    assert any(r"\x1b[31mred\x07" in text for text in texts)


def test_cells_that_a_spreadsheet_would_run_are_text(tmp_path):
    errors = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\tx", "\rx", "＝1", "plain", "−1"]
    analysis = make_analysis(epochs=2)
    table = trials_table(analysis).assign(error=errors, norm="=x")
    rows = list(csv.DictReader(csv_file(table).decode().splitlines()))
    assert [row["error"] for row in rows] == [
        "'=1+1", "'+1", "'-1+1", "'@SUM(A1)", r"\tx", r"\rx", "'＝1", "plain", "−1",
    ]  # fmt: skip
    assert {row["norm"] for row in rows} == {"'=x"}
    assert [float(row["seconds"]) for row in rows] == table["seconds"].tolist()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a|b", r"a\|b"),
        ("`code` and ~~gone~~", r"\`code\` and \~\~gone\~\~"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("one\n# two\r\n- three", "one # two - three"),
        ("\x1b[31mred", r"\\x1b\[31mred"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown):
    assert escape(text) == shown.replace(r"\\x1b", r"\\x1b")


def test_a_link_in_markdown_leads_to_its_file_alone():
    assert link("a](http://evil) b/report.html") == (
        r"[a\](http://evil) b/report.html](a%5D%28http%3A//evil%29%20b/report.html)"
    )
