"""Pickles and archives that were made to do harm: none runs, writes, or fills the memory."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from cifar_fakes import FOLDER, pack, write_archive

from normscope.data import archives, cifar, places
from normscope.errors import RunError

# -- pickles -------------------------------------------------------------------------------------


class Calls:
    """Pickled as a call of `function`, which unpickling would make."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_pickles(trace):
    """By what they try; each leaves a file `trace` if it gets its way."""
    touch = f"touch {trace}"
    code = f"__import__('os').mkdir({str(trace)!r})"
    names = pickle.dumps({b"label_names": [b"cat"]}, protocol=3)
    return {
        "a shell": pickle.dumps(Calls(os.system, touch), protocol=2),
        "eval": pickle.dumps(Calls(eval, code), protocol=2),
        "exec within a dict": pickle.dumps({b"data": Calls(exec, code)}, protocol=3),
        "a folder": pickle.dumps(Calls(os.mkdir, str(trace)), protocol=4),
        "text of protocol 0": f"cposix\nsystem\n(S'{touch}'\ntR.".encode(),
        "INST": f"(S'{touch}'\niposix\nsystem\n.".encode(),
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__class__\x93.",
        "a name of numpy that runs code": pickle.dumps(
            Calls(np.load, str(trace)), protocol=2
        ),
        "STACK_GLOBAL": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c"
        + bytes([len(code)]) + code.encode() + b"\x85R.",
        "an extension code": b"\x80\x02\x82\x01.",
        "a second pickle behind an object": names[:-1] + pickle.dumps(Calls(eval, code), 2)[2:],
        "a persistent id": b"Pid\n.",
        "a state for an array": b"cnumpy\nndarray\n(K\x02tR}S'shape'\nI-1\nsb.",
        "no dict": pickle.dumps([1, 2]),
        "nothing": b"",
        "a length that fills the memory": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
        "more on the stack than there is": b"0000.",
    }  # fmt: skip


PICKLES = list(hostile_pickles(""))


@pytest.mark.parametrize("kind", PICKLES)
def test_a_hostile_pickle_runs_nothing_and_is_one_error(kind, tmp_path):
    trace = tmp_path / "trace"
    with pytest.raises(RunError, match="refused to unpickle") as refused:
        cifar.unpickle(hostile_pickles(trace)[kind])
    assert "\n" not in str(refused.value)
    assert not trace.exists()


@pytest.mark.parametrize("kind", [kind for kind in PICKLES if "memory" not in kind])
def test_they_would_run_or_break_elsewhere(kind, tmp_path):
    """So that the test above means something: plain pickle does what they ask for, or fails."""
    trace = tmp_path / "trace"
    try:
        found = pickle.loads(hostile_pickles(trace)[kind], encoding="bytes")  # noqa: S301
    except Exception:
        return
    assert trace.exists() or found == [1, 2] or kind == "a dotted name"


@pytest.mark.parametrize("kind", PICKLES)
def test_without_the_right_check_sum_it_is_not_even_unpickled(
    kind, layout, folder, tmp_path, monkeypatch
):
    (folder / "data_batch_1").write_bytes(hostile_pickles(tmp_path / "trace")[kind])
    opened = []
    monkeypatch.setattr(cifar, "unpickle", lambda content: opened.append(content))
    with pytest.raises(RunError, match=r"data_batch_1 is (truncated|altered)"):
        cifar.read(layout, folder)
    assert not any(b"trace" in content for content in opened)
    assert len(opened) == 3


# -- archives ------------------------------------------------------------------------------------


def tar_with(path, *headers):
    """A tar of members ``(type, name, link or content)`` that `tarfile` would not write itself."""
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for kind, name, value in headers:
            info = tarfile.TarInfo(name)
            info.type = kind
            if isinstance(value, bytes):
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
            else:
                info.linkname = value
                tar.addfile(info)
    return path


def raw_tar(path, *blocks):
    """Gzipped headers, each followed by its content in whole blocks."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for block in blocks:
            stream.write(block)
    return path


def header(kind, size, name="x"):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content):
    return content + bytes(-len(content) % tarfile.BLOCKSIZE)


def pax(records, kind=tarfile.XHDTYPE):
    """A pax header of ``(keyword, value)``."""
    content = b"".join(pax_record(*record) for record in records)
    return header(kind, len(content)) + padded(content)


def pax_record(keyword, value):
    rest = f" {keyword}={value}\n".encode()
    size = len(rest) + len(str(len(rest)))
    size += len(str(size)) - len(str(len(rest)))
    return str(size).encode() + rest


FILE = f"{FOLDER}/data_batch_1"
SPARSE_1_0 = (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", FILE))


def paths_that_climb(path):
    names = ("../../escaped", "/tmp/escaped", f"{FOLDER}/../../../escaped/data_batch_1")
    return tar_with(path, *((tarfile.REGTYPE, name, b"x") for name in names))


def link_out_of_the_folder(path):
    out = (tarfile.SYMTYPE, FOLDER, str(path.parent / "elsewhere"))
    return tar_with(path, out, (tarfile.REGTYPE, FILE, b"x"))


def hard_link_to_a_file(path):
    return tar_with(path, (tarfile.LNKTYPE, FILE, "/etc/passwd"))


def link_to_itself(path):
    return tar_with(path, (tarfile.SYMTYPE, FILE, FILE))


def device_and_fifo(path):
    return tar_with(path, (tarfile.CHRTYPE, FILE, ""), (tarfile.FIFOTYPE, FILE, ""))


def pax_header_of_a_megabyte(path):
    many = pax((f"k{i}", "") for i in range(130_000))
    assert 1_300_000 < len(many) < 1_500_000
    return raw_tar(path, many, header(tarfile.REGTYPE, 0, FILE))


def global_pax_headers_that_add_up(path):
    """They hold for all files that follow, so that each keeps those before it."""
    file = header(tarfile.REGTYPE, 0)
    headers = (pax(((f"k{i}", "v" * 60_000),), tarfile.XGLTYPE) for i in range(1_000))
    return raw_tar(path, *(each + file for each in headers))


def global_pax_headers_without_a_file(path):
    return raw_tar(path, *(pax(((f"k{i}", "v" * 60_000),), tarfile.XGLTYPE) for i in range(300)))


def sparse_map_without_end(path):
    """A file of which the archive says that it has a hundred million holes."""
    content = b"100000000\n" + b"1\n" * 20_000_000
    return raw_tar(path, pax(SPARSE_1_0), header(tarfile.REGTYPE, len(content)), padded(content))


def files_without_number(path):
    return raw_tar(path, header(tarfile.REGTYPE, 0) * 12_000)


def sizes_that_lie(path):
    return raw_tar(path, header(tarfile.REGTYPE, 80 << 30), b"x")


def sparse_in_nothing(path):
    """Gigabytes of holes, in one header."""
    records = (("GNU.sparse.map", "0,0"), ("GNU.sparse.size", "30000000"))
    return raw_tar(path, pax((*records, ("GNU.sparse.name", FILE))), header(tarfile.REGTYPE, 0))


def zip_paths_that_climb(path):
    return write_archive(path.with_suffix(".zip"), [("../../escaped", b"x"), ("/escaped", b"x")])


def zip_link_out_of_the_folder(path):
    info = zipfile.ZipInfo(FILE)
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as packed:
        packed.writestr(info, "/etc/passwd")
    return path.with_suffix(".zip")


def zip_files_without_number(path):
    """One file, and a directory that names it a hundred thousand times."""
    made = path.with_suffix(".zip")
    write_archive(made, [("x", b"")])
    content = made.read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entry = content[start:end]
    size = struct.pack("<HHHHII", 0, 0, 0xFFFF, 0xFFFF, 100_000 * len(entry), start)
    made.write_bytes(content[:start] + entry * 100_000 + b"PK\5\6" + size + b"\0\0")
    return made


def zip_bomb_of_overlapping_files(path):
    """One compressed file under ten thousand names."""
    made = path.with_suffix(".zip")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(FILE, bytes(1_000_000))
    content = made.read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entry = content[start:end]
    size = struct.pack("<HHHHII", 0, 0, 9_000, 9_000, 9_000 * len(entry), start)
    made.write_bytes(content[:start] + entry * 9_000 + b"PK\5\6" + size + b"\0\0")
    return made


ARCHIVES = [
    paths_that_climb,
    link_out_of_the_folder,
    hard_link_to_a_file,
    link_to_itself,
    device_and_fifo,
    pax_header_of_a_megabyte,
    global_pax_headers_that_add_up,
    global_pax_headers_without_a_file,
    sparse_map_without_end,
    files_without_number,
    sizes_that_lie,
    sparse_in_nothing,
    zip_paths_that_climb,
    zip_link_out_of_the_folder,
    zip_files_without_number,
    zip_bomb_of_overlapping_files,
]


@pytest.mark.parametrize("make", ARCHIVES)
def test_a_hostile_archive_writes_nothing_and_is_one_error(make, layout, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    archive = make(tmp_path / "cifar-10-python.tar.gz")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    tracemalloc.start()
    with pytest.raises(RunError) as refused:
        cifar.read(layout, archive)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(archive) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert not os.path.exists("/tmp/escaped")
    assert peak < 40_000_000


def test_a_file_of_holes_counts_as_missing(layout, tmp_path):
    with pytest.raises(RunError, match="data_batch_1 is missing"):
        cifar.read(layout, sparse_in_nothing(tmp_path / "a.tar.gz"))


def test_as_many_files_as_there_may_be_are_read(layout, files, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", len(files) + 1)
    for kind in (".tar", ".zip"):
        archive = pack(tmp_path / f"a{kind}", {**files, "other": b""})
        assert set(places.faults(layout, archive).values()) == {""}
        archive = pack(tmp_path / f"b{kind}", {**files, "other": b"", "more": b"", "most": b""})
        with pytest.raises(RunError, match=f"holds more than {len(files) + 1} files; unpack it"):
            places.faults(layout, archive)


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_what_unpacks_to_more_than_any_data_set_is_refused(
    layout, files, tmp_path, monkeypatch, kind
):
    archive = pack(tmp_path / f"a{kind}", files)
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 20_000)
    with pytest.raises(RunError, match="unpacks to more than 0 GB; unpack it and name the folder"):
        places.faults(layout, archive)
