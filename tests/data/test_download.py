"""Downloads from real servers on this machine: whole, cut, corrupted, dead."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from normscope import data
from normscope.data.download import RemoteFile, download
from normscope.errors import RunError, UsageError

CONTENT = hashlib.shake_256(b"normscope").digest(300_000)
NAME = "file.tar.gz"


class Source(ThreadingHTTPServer):
    """Serves `content`, or nothing at all if it is to `hang`; if it `holds`, once it is `closing`.

    Request number i is cut after ``cuts[i]`` bytes. `asked` holds the Range header of each one.
    With `answer` every request gets these bytes and no others, a byte per `drip_s` if that is set.
    """

    daemon_threads = True

    def __init__(
        self,
        content: bytes = CONTENT,
        ranges: bool = True,
        cuts: Sequence[int] = (),
        hang: bool = False,
        holds: bool = False,
        answer: bytes = b"",
        drip_s: float = 0,
    ):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.cuts, self.hang = content, ranges, cuts, hang
        self.holds, self.answer, self.drip_s = holds, answer, drip_s
        self.asked: list[str | None] = []
        self.closing = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests, and no news."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Source  # pyright: ignore[reportIncompatibleVariableOverride] - nothing else runs it

    def do_GET(self) -> None:
        source, asked = self.server, self.headers["Range"]
        cut = dict(enumerate(source.cuts)).get(len(source.asked))
        source.asked.append(asked)
        if source.hang:
            source.closing.wait(10)
            return
        if source.holds:
            source.closing.wait(10)
        if source.answer:
            self.say(source.answer)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if source.ranges and start >= len(source.content):
            self.send_error(416)
            return
        self.send_response(206 if source.ranges and asked else 200)
        body = source.content[start:] if source.ranges else source.content
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])

    def say(self, answer: bytes) -> None:
        size = 1 if self.server.drip_s else len(answer)
        for start in range(0, len(answer), size):
            self.wfile.write(answer[start : start + size])
            self.server.closing.wait(self.server.drip_s)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Source]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running: list[Source] = []

    def start(*args, **kwargs) -> Source:
        source = Source(*args, **kwargs)
        threading.Thread(target=source.serve_forever, kwargs={"poll_interval": 0.01}).start()
        running.append(source)
        return source

    yield start
    for source in running:
        source.closing.set()
        source.shutdown()
        source.server_close()


@pytest.fixture
def dead_url() -> str:
    """An address where nobody listens any more."""
    with Source() as source:
        return source.url


def remote(*urls: str) -> RemoteFile:
    return RemoteFile(NAME, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), urls)


def part_in(folder: Path) -> Path:
    return folder / f"{NAME}.part"


def test_whole_file(serve, tmp_path):
    seen: list[tuple[int, int]] = []
    source = serve()
    place = download(remote(source.url), tmp_path / "cache", lambda *now: seen.append(now))
    assert place == tmp_path / "cache" / NAME
    assert place.read_bytes() == CONTENT
    assert source.asked == [None]
    assert seen[-1] == (300_000, 300_000)
    assert not part_in(tmp_path / "cache").exists()


def test_cut_connection_is_resumed_where_it_broke(serve, tmp_path):
    source = serve(cuts=(1_000, 2_000))
    assert download(remote(source.url), tmp_path).read_bytes() == CONTENT
    assert source.asked == [None, "bytes=1000-", "bytes=3000-"]


def test_part_is_kept_after_failure_and_resumed_by_the_next_call(serve, tmp_path):
    source = serve(cuts=(1_000, 0))
    with pytest.raises(RunError, match="cut"):
        download(remote(source.url), tmp_path)
    assert part_in(tmp_path).read_bytes() == CONTENT[:1_000]
    assert download(remote(source.url), tmp_path).read_bytes() == CONTENT
    assert source.asked[-1] == "bytes=1000-"


def test_next_source_continues_what_the_first_began(serve, tmp_path):
    first, second = serve(cuts=(1_000, 0)), serve()
    assert download(remote(first.url, second.url), tmp_path).read_bytes() == CONTENT
    assert second.asked == ["bytes=1000-"]


@pytest.mark.parametrize("ranges", [True, False])
def test_wherever_it_is_cut_the_file_is_the_right_one(serve, tmp_path, ranges):
    for place, cut in enumerate([*range(0, len(CONTENT), len(CONTENT) // 19), len(CONTENT) - 1]):
        source = serve(ranges=ranges, cuts=(cut,))
        if cut == 0:
            with pytest.raises(RunError, match=r"127.0.0.1:\d+: "):
                download(remote(source.url), tmp_path / str(place))
        assert download(remote(source.url), tmp_path / str(place)).read_bytes() == CONTENT
        assert source.asked == [None, f"bytes={cut}-" if cut else None]


def test_twenty_cuts_in_one_call_are_each_resumed(serve, tmp_path):
    source = serve(cuts=[10_000] * 20)
    assert download(remote(source.url), tmp_path).read_bytes() == CONTENT
    assert source.asked == [None, *(f"bytes={10_000 * i}-" for i in range(1, 21))]


def test_server_without_range_starts_over(serve, tmp_path):
    part_in(tmp_path).write_bytes(CONTENT[:1_000])
    source = serve(ranges=False)
    assert download(remote(source.url), tmp_path).read_bytes() == CONTENT
    assert source.asked == ["bytes=1000-"]


def test_complete_part_needs_no_request(serve, tmp_path):
    part_in(tmp_path).write_bytes(CONTENT)
    source = serve()
    assert download(remote(source.url), tmp_path).read_bytes() == CONTENT
    assert source.asked == []


def test_corrupted_first_source_then_good_second(serve, tmp_path):
    bad, good = serve(CONTENT[:-1] + b"!"), serve()
    assert download(remote(bad.url, good.url), tmp_path).read_bytes() == CONTENT
    assert bad.asked == [None]
    assert good.asked == [None]


def test_corrupted_and_cut_first_source_does_not_spoil_the_second(serve, tmp_path):
    bad, good = serve(b"!" + CONTENT[1:], cuts=(1_000, 0)), serve()
    assert download(remote(bad.url, good.url), tmp_path).read_bytes() == CONTENT
    assert good.asked == ["bytes=1000-", None]


def test_wrong_bytes_leave_nothing_behind(serve, tmp_path):
    source = serve(CONTENT[::-1])
    with pytest.raises(RunError, match="other bytes than the official ones"):
        download(remote(source.url), tmp_path)
    assert not part_in(tmp_path).exists()
    assert not (tmp_path / NAME).exists()


def test_longer_file_is_refused_without_reading_all_of_it(serve, tmp_path):
    source, seen = serve(CONTENT * 20), []
    with pytest.raises(RunError, match="other bytes"):
        download(remote(source.url), tmp_path, lambda now, total: seen.append(now))
    assert max(seen) < 3 * len(CONTENT)


def test_shorter_file_is_left_for_the_next_source(serve, tmp_path):
    page, good = serve(b"<html>moved</html>"), serve()
    assert download(remote(page.url, good.url), tmp_path).read_bytes() == CONTENT
    assert "bytes=18-" in page.asked


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1") + body


PAGE = answer("200 OK", "Content-Type: text/html; charset=utf-8", body=b"<html>log in</html>")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (PAGE, "it answers with a web page"),
        (answer("503 Service Unavailable"), "HTTP Error 503: Service Unavailable"),
        (answer("404 Not Found"), "HTTP Error 404: Not Found"),
        (answer("204 No Content"), r"it cuts the connection|IncompleteRead"),
        (answer("302 Found", "Location: file:///etc/hosts"), "HTTP Error 302: Found - Redirection"),
        (answer("302 Found", "Location: ftp://127.0.0.1/x"), "unknown url type: ftp"),
        (answer("302 Found", "Location: /again"), "HTTP Error 302: .*infinite loop"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0"),
        (answer("200 OK", "Transfer-Encoding: chunked", body=b"no number\r\n"), "IncompleteRead"),
        (answer("200 OK", *["X: y"] * 200), "got more than 100 headers"),
    ],
)
def test_what_a_server_says_instead_of_the_file_is_one_reason(serve, tmp_path, said, reason):
    bad, good = serve(answer=said), serve()
    with pytest.raises(RunError, match=f"^127.0.0.1:{bad.server_port}: ({reason})") as caught:
        download(remote(bad.url), tmp_path)
    assert "\n" not in str(caught.value)
    assert not part_in(tmp_path).exists() or not part_in(tmp_path).read_bytes()
    assert download(remote(bad.url, good.url), tmp_path).read_bytes() == CONTENT


def test_what_a_server_says_does_not_act_on_the_terminal(serve, tmp_path):
    evil = serve(answer=answer("503 \x1b[2J\x1b]8;;http://evil\x07gone\x9b31m"))
    with pytest.raises(RunError) as caught:
        download(remote(evil.url), tmp_path)
    shown = r"503: \x1b[2J\x1b]8;;http://evil\x07gone\x9b31m"
    assert str(caught.value) == f"127.0.0.1:{evil.server_port}: HTTP Error {shown}"


def test_redirects_are_followed_to_the_file(serve, tmp_path):
    there = serve(cuts=(1_000,))
    here = serve(answer=answer("302 Found", f"Location: {there.url}"))
    assert download(remote(here.url), tmp_path).read_bytes() == CONTENT
    assert there.asked == [None, "bytes=1000-"]


HEAD = answer("200 OK", f"Content-Length: {len(CONTENT)}")


@pytest.mark.parametrize("said", [HEAD * 20, HEAD + CONTENT], ids=["headers", "the file"])
def test_a_server_that_drips_is_left_for_the_next_one(serve, tmp_path, said):
    slow, good = serve(answer=said, drip_s=0.03), serve()
    with pytest.raises(RunError, match="it sends less than 4 kB per second"):
        download(remote(slow.url), tmp_path, timeout_s=0.5)
    assert len(slow.asked) == 1
    assert download(remote(slow.url, good.url), tmp_path, timeout_s=0.5).read_bytes() == CONTENT


def test_dead_sources_are_each_named(dead_url, serve, tmp_path):
    hanging = serve(hang=True)
    with pytest.raises(RunError) as caught:
        download(remote(dead_url, hanging.url), tmp_path, timeout_s=0.2)
    dead, silent = str(caught.value).split("; ")
    assert "127.0.0.1" in dead
    assert "refused" in dead
    assert "timed out" in silent


def test_intact_file_is_not_downloaded_again_but_a_damaged_one_is(serve, tmp_path):
    source = serve()
    (tmp_path / NAME).write_bytes(CONTENT)
    download(remote(source.url), tmp_path)
    assert source.asked == []
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    assert download(remote(source.url), tmp_path).read_bytes() == CONTENT


def test_two_at_once_download_once(serve, tmp_path):
    source, results = serve(), []
    wanted = remote(source.url)
    threads = [
        threading.Thread(target=lambda: results.append(download(wanted, tmp_path).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 4
    assert source.asked == [None]


FETCH = """
import sys
from pathlib import Path
from normscope.data.download import RemoteFile, download
name, size, sha256, url, folder = sys.argv[1:]
download(RemoteFile(name, int(size), sha256, (url,)), Path(folder))
"""


def test_a_second_process_says_what_it_waits_for_and_takes_what_the_first_brought(serve, tmp_path):
    source, said = serve(holds=True), []
    wanted = remote(source.url)
    facts = (NAME, str(wanted.size), wanted.sha256, source.url, str(tmp_path))

    def notice(sentence):
        said.append(sentence)
        source.closing.set()  # the first one gets its answer

    with subprocess.Popen([sys.executable, "-c", FETCH, *facts]) as first:
        while not source.asked:
            assert first.poll() is None
        assert download(wanted, tmp_path, notice=notice).read_bytes() == CONTENT
    assert first.returncode == 0
    assert said == [f"another process downloads {NAME} into {tmp_path}: waiting for it"]
    assert source.asked == [None]


def test_source_that_is_no_web_address(tmp_path):
    with pytest.raises(UsageError, match="'/etc/hosts' is not an http"):
        download(remote("/etc/hosts"), tmp_path)


def test_fetch_says_what_else_can_be_done(dead_url, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RunError) as caught:
        data.fetch("cifar10", sources=(dead_url,))
    happened, advice = str(caught.value).split("\n")
    assert happened.startswith("cifar10 is not on this machine and could not be downloaded (127.0.")
    assert str(data.cache_dir()) in advice
    assert "cifar-10-python.tar.gz" in advice
    assert "--dataset shapes" in advice


def test_fetch_takes_only_the_official_archive(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RunError, match="could not be downloaded"):
        data.fetch("cifar10", sources=(serve().url,))
    assert not (data.cache_dir() / "cifar-10-python.tar.gz").exists()


def test_what_is_made_in_memory_cannot_be_fetched():
    with pytest.raises(UsageError, match="no file"):
        data.fetch("shapes")


def test_an_address_that_is_none(tmp_path):
    with pytest.raises(UsageError, match=r"'http://\[bad/x' is not an http or https address"):
        download(remote("http://[bad/x"), tmp_path)


def test_a_folder_that_cannot_be_made_is_no_fault_of_the_server(serve, tmp_path):
    (tmp_path / "file").touch()
    source = serve()
    with pytest.raises(RunError, match=r"cannot write .*file/cache \(Not a directory\); set XDG_"):
        download(remote(source.url), tmp_path / "file" / "cache")
    assert source.asked == []


@pytest.fixture
def read_only():
    """A cache that this user may read and not write, of a folder that holds nothing yet."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(65534)  # root may write anywhere
    yield folder
    os.seteuid(user)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_cache_that_cannot_be_written_is_one_error(serve, read_only):
    source = serve()
    with pytest.raises(RunError, match=rf"cannot write {read_only} \(Permission denied\); .*XDG_"):
        download(remote(source.url), read_only)
    assert source.asked == []


def test_what_a_cache_holds_is_used_though_it_cannot_be_written(serve, read_only):
    user = os.geteuid()
    os.seteuid(os.getuid())
    read_only.chmod(0o755)
    (read_only / NAME).write_bytes(CONTENT)
    read_only.chmod(0o555)
    os.seteuid(user)
    assert download(remote(serve().url), read_only) == read_only / NAME
    assert [path.name for path in read_only.iterdir()] == [NAME]


def test_a_cache_that_turns_read_only_is_one_error(serve, tmp_path, monkeypatch):
    def refused(old, new):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(RunError, match=r"cannot write .* \(Read-only file system\); .*set XDG_"):
        download(remote(serve().url), tmp_path)
    assert part_in(tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("refusal", [OSError(errno.ENOLCK, "No locks"), NotImplementedError()])
def test_a_file_system_that_cannot_lock(serve, tmp_path, monkeypatch, refusal):
    def acquire(lock):
        raise refusal

    monkeypatch.setattr("filelock.FileLock._acquire", acquire)
    source = serve()
    with pytest.raises(RunError, match=r"cannot lock files, so .* a local folder: set XDG_CACHE_"):
        download(remote(source.url), tmp_path)
    assert source.asked == []


def test_a_full_disk_is_no_fault_of_the_server(serve, tmp_path):
    resource = pytest.importorskip("resource")  # limits of a process are Unix's
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    source = serve()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # bytes in a file
    try:
        with pytest.raises(RunError, match=r"cannot write .*part \(File too large\); make room"):
            download(remote(source.url), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert download(remote(source.url), tmp_path).read_bytes() == CONTENT
