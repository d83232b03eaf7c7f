"""`normscope data` and `normscope report` as a user types them: output, files and exit codes."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from normscope.data.layouts import CIFAR10
from normscope.experiment.reading import read_experiment
from normscope.study.compare import compare

FOLDER = "cifar-10-batches-py"
NOWHERE = "http://127.0.0.1:9"  # a proxy that refuses every connection


@pytest.fixture
def environment(tmp_path):
    """No data set but the embedded one, an empty cache, and no network but this machine."""
    kept = {key: value for key, value in os.environ.items() if key != "NORMSCOPE_DATA"}
    local = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "no_proxy": "127.0.0.1"}
    return {**kept, **local, "http_proxy": NOWHERE, "https_proxy": NOWHERE, "COLUMNS": "80"}


@pytest.fixture
def cache(tmp_path):
    """Where normscope keeps data sets in `environment`."""
    return tmp_path / "cache" / "normscope" / "data"


@pytest.fixture
def damaged(tmp_path):
    """A data folder whose only batch is cut short."""
    place = tmp_path / "mine" / FOLDER
    place.mkdir(parents=True)
    (place / "data_batch_1").write_bytes(b"short")
    return place


@pytest.fixture
def real():
    """The data folder that holds the real CIFAR-10, extracted."""
    folder = Path(os.environ.get("NORMSCOPE_DATA") or "nowhere").resolve()
    if not (folder / FOLDER).is_dir():
        pytest.skip(f"set NORMSCOPE_DATA to the folder that has {FOLDER}")
    return folder


def message(done, code):
    """What a command that ended with `code` said on stderr, which is no traceback."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("normscope: ")
    assert "Traceback" not in done.stderr
    return done.stderr


# -- verify --------------------------------------------------------------------------------------


def test_verify_where_there_is_nothing(normscope):
    done = normscope("data", "verify", "cifar10")
    said = "cifar10 is not on this machine; run `normscope data fetch cifar10`"
    assert said in message(done, 3)
    assert done.stdout == ""


def test_verify_names_each_file_and_its_fault(normscope, damaged):
    done = normscope("data", "verify", "cifar10", "--data-dir", damaged.parent)
    assert f"{damaged} is damaged" in message(done, 3)
    lines = done.stdout.splitlines()
    assert lines[0] == "truncated (5 of 31035704 bytes) data_batch_1"
    assert [line.split() for line in lines[1:]] == [
        ["missing", file] for file in list(CIFAR10.files)[1:]
    ]


def test_verify_what_is_made_in_memory(normscope):
    said = message(normscope("data", "verify", "shapes"), 2)
    assert "shapes is made in memory and has no file" in said


def test_verify_real_cifar10(normscope, real):
    done = normscope("data", "verify", "cifar10", "--data-dir", real)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["ok", file] for file in CIFAR10.files
    ]


# -- add -----------------------------------------------------------------------------------------


def test_add_refuses_a_damaged_folder_and_keeps_nothing(normscope, damaged, cache):
    said = message(normscope("data", "add", damaged), 3)
    assert "data_batch_1 is truncated (5 of 31035704 bytes)" in said
    assert not cache.exists()


def test_add_refuses_a_damaged_archive(normscope, tmp_path, cache):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"cut")
    said = message(normscope("data", "add", "cifar-10-python.tar.gz"), 3)
    assert "the archive is truncated (3 of 170498071 bytes)" in said
    assert not cache.exists()


def test_add_refuses_what_is_no_data_set(normscope, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert "nowhere does not exist" in message(normscope("data", "add", "nowhere"), 2)
    said = message(normscope("data", "add", tmp_path), 2)
    assert "holds no file of cifar10, cifar100" in said


def test_add_real_cifar10_then_list_it(normscope, process, real, cache):
    done = process("data", "add", real / FOLDER)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"verified, and copied to {cache / FOLDER}\n"
    for file in CIFAR10.files:
        assert (cache / FOLDER / file).read_bytes() == (real / FOLDER / file).read_bytes()
    assert f"cifar10    {cache / FOLDER}\n" in normscope("data", "list").stdout
    shutil.rmtree(cache)  # 180 MB


@pytest.mark.parametrize("kind", [".tar", ".zip"])  # the quick ones: the real files are 186 MB
def test_add_real_cifar10_packed_in_another_way_then_use_it(normscope, real, cache, tmp_path, kind):
    packed, kept = tmp_path / f"mine{kind}", cache / f"cifar-10-python{kind}"
    with zipfile.ZipFile(packed, "w") if kind == ".zip" else tarfile.open(packed, "w") as archive:
        put = archive.write if kind == ".zip" else archive.add
        for file in CIFAR10.files:
            put(real / FOLDER / file, f"./data/{FOLDER}/{file}")
    done = normscope("data", "add", packed)
    assert done.stdout == f"verified, and copied to {kept}\n", done.stderr
    packed.unlink()
    assert f"cifar10    {kept}\n" in normscope("data", "list").stdout
    verified = normscope("data", "verify", "cifar10").stdout.splitlines()
    assert [line.split() for line in verified] == [["ok", file] for file in CIFAR10.files]
    shown = normscope("data", "show", "cifar10", "--out", "cifar.png")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "cifar.png").read_bytes()[:4] == b"\x89PNG"
    shutil.rmtree(cache)


# -- fetch ---------------------------------------------------------------------------------------


class Zeros(BaseHTTPRequestHandler):
    """Serves as many bytes as the archive has, all of them zero."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(CIFAR10.archive.size))
        self.end_headers()
        whole, rest = divmod(CIFAR10.archive.size, 2**20)
        for _ in range(whole):
            self.wfile.write(bytes(2**20))
        self.wfile.write(bytes(rest))

    def log_message(self, format, *args):
        pass


@pytest.fixture
def zeros():
    with HTTPServer(("127.0.0.1", 0), Zeros) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"
        server.shutdown()
        thread.join()


def test_fetch_of_wrong_bytes_keeps_none_of_them(normscope, zeros, cache):
    done = normscope("data", "fetch", "cifar10", "--source", zeros)
    said = message(done, 3)
    assert "it serves other bytes than the official ones" in said
    assert str(cache) in said
    tenths = [f"downloading: {percent} % of 170 MB" for percent in range(10, 101, 10)]
    assert done.stdout.splitlines() == tenths
    assert sum(path.stat().st_size for path in cache.iterdir()) == 0


def test_fetch_from_where_nobody_listens(normscope):
    done = normscope("data", "fetch", "cifar10", "--source", f"{NOWHERE}/a", "--source", "a.tar.gz")
    assert "source 'a.tar.gz' is not an http or https address" in message(done, 2)
    done = normscope("data", "fetch", "cifar10", "--source", f"{NOWHERE}/a")
    assert "refused" in message(done, 3)


# -- list ----------------------------------------------------------------------------------------


def test_list_says_where_each_data_set_is(normscope, damaged):
    done = normscope("data", "list", "--data-dir", damaged.parent)
    assert done.returncode == 0, done.stderr
    places = [line.split() for line in done.stdout.splitlines()[::2]]
    assert places == [
        ["shapes", "made", "in", "memory"],
        ["cifar10", str(damaged)],
        ["cifar100", "not", "here"],
    ]


# -- what folders and files are called -----------------------------------------------------------


def test_a_tilde_after_an_equals_sign_is_the_home_folder(
    normscope, environment, damaged, experiment, tmp_path
):
    environment["HOME"] = str(tmp_path)
    assert str(damaged) in normscope("data", "list", "--data-dir=~/mine").stdout
    assert (
        normscope("data", "show", "shapes", "--out=~/s.png").stdout == f"wrote {tmp_path}/s.png\n"
    )
    assert normscope("report", "e", "--out=~/there").returncode == 0
    assert (tmp_path / "there" / "report.html").exists()
    environment["NORMSCOPE_DATA"] = "~/mine"
    assert str(damaged) in normscope("data", "list").stdout
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "--out"),
        ("compare", "--dataset", "cifar10", "--data-dir"),
        ("report", "e", "--out"),
        ("data", "list", "--data-dir"),
        ("data", "add"),
        ("data", "show", "shapes", "--out"),
    ],
)
def test_a_name_that_is_too_long_is_told_in_one_message(normscope, environment, tmp_path, command):
    environment["COLUMNS"] = "1000"
    done = normscope(*command, "x" * 300)
    assert done.returncode == 2, done.stderr
    assert "File name too long; choose a shorter name" in done.stderr
    assert "defect" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}  # it has the fonts of matplotlib


HOMELESS = """\
import os
os.getuid = lambda: 54321  # a user whom the system does not know
from normscope.cli import main
main()
"""


def test_a_user_without_a_home_folder(environment, tmp_path):
    nothing = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")
    environment = {key: value for key, value in environment.items() if key not in nothing}

    def run(*command):
        arguments = [sys.executable, "-c", HOMELESS, *command]
        return subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    assert run("data", "list").stdout.count("not here") == 2
    shown = run("data", "show", "shapes")
    assert shown.returncode == 0, shown.stderr
    said = message(run("data", "fetch", "cifar10"), 2)
    assert "no home folder to keep data sets in; set XDG_CACHE_HOME" in said
    assert [path.name for path in tmp_path.iterdir()] == ["shapes.png"]


# -- report --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a small experiment."""
    folder = tmp_path_factory.mktemp("trained") / "e"
    small = {"epochs": 1, "train_limit": 128, "test_limit": 100, "norms": ["bn", "gn"]}
    compare(read_experiment(**small, seeds=1), out=folder, workers=1)
    return folder


@pytest.fixture
def experiment(trained, tmp_path):
    """A copy of it without its report, where commands are run."""
    copy = shutil.copytree(trained, tmp_path / "e")
    (copy / "report.html").unlink()
    return copy


def test_report_goes_where_it_is_told_as_text_and_as_json(normscope, experiment, tmp_path):
    done = normscope("report", "e", "--out", "there")
    assert done.returncode == 0, done.stderr
    page = Path("there") / "report.html"
    assert f"Report: {page}\n" in done.stdout
    assert "<html" in (tmp_path / page).read_text(encoding="utf-8")
    assert not (experiment / "report.html").exists()

    done = normscope("report", "e", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["report"] == str(Path("e") / "report.html")
    assert [norm["norm"] for norm in values["norms"]] == ["bn", "gn"]
    assert (experiment / "report.html").exists()
