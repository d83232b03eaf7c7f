"""Norms of a user's own: found, told apart by their source, loaded, trained and kept."""

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import normscope
from normscope.errors import RunError, UsageError
from normscope.experiment.plan import plan
from normscope.experiment.reading import read_experiment
from normscope.norms import NORMS, asked, register
from normscope.own import OwnCode, brought, find
from normscope.study.checks import check
from normscope.study.comparison import Comparison
from normscope.study.own import Knowing

NORM = """
from torch import nn
from beside import EPS

class CustomNorm(nn.Module):
    def __init__(self, num_features, eps=EPS):
        super().__init__()
        self.bn = nn.BatchNorm2d(num_features, eps=eps)

    def forward(self, x):
        return self.bn(x)

def grouped(channels, groups=2):
    return nn.GroupNorm(groups, channels)

SEVEN = 7
"""


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """The table of norms is put back after each test."""
    before = dict(NORMS)
    yield
    NORMS.clear()
    NORMS.update(before)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(NORM, encoding="utf-8")
    (tmp_path / "beside.py").write_text("EPS = 1e-5\n", encoding="utf-8")
    return tmp_path


def small(*norms, **changes):
    values = {"epochs": 1, "train_limit": 128, "test_limit": 100, "seeds": 1, **changes}
    return read_experiment(norms=list(norms), **values)


def eps_of(name):
    return asked(name)(8).bn.eps


# -- found and told apart --------------------------------------------------------------------------


def test_a_norm_in_a_file_is_called_by_its_own_name(folder):
    found = check(small("bn", "my.py:CustomNorm", "my.py:grouped:groups=4:pre"), out=folder / "e")
    assert found.experiment.norms == ("bn", "CustomNorm", "grouped:groups=4:pre")
    assert found.experiment.sources["CustomNorm"].home == "my.py:CustomNorm"
    assert eps_of("CustomNorm") == 1e-5
    assert asked("grouped:groups=4:pre")(8).num_groups == 4
    assert asked("grouped:pre").placement == "pre"


def test_a_name_that_is_taken_gets_a_number(folder):
    (folder / "my.py").write_text("from torch import nn\ndef gn(c): return nn.GroupNorm(1, c)")
    assert check(small("gn", "my.py:gn"), out=folder / "e").experiment.norms == ("gn", "gn-2")
    assert (asked("gn")(8).num_groups, asked("gn-2")(8).num_groups) == (4, 1)


@pytest.mark.parametrize("name", ["GroupNorm", "LayerNorm"])
def test_a_name_that_means_a_packaged_norm_or_several_gets_a_number(folder, name):
    """In another process nobody would know that it is not that one."""
    (folder / "my.py").write_text(f"from torch import nn\ndef {name}(c): return nn.Identity()")
    found = check(small("bn", f"my.py:{name}"), out=folder / "e").experiment
    assert found.norms == ("bn", f"{name}-2")
    del NORMS[f"{name}-2"]
    assert normscope.Experiment.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("edited", ["my.py", "beside.py"])
def test_another_source_has_another_fingerprint_and_is_loaded_anew(folder, edited):
    """Within a second, and of the same size, which a cache of compiled code would not notice."""
    first = find("my.py:CustomNorm")
    assert first(8).bn.eps == 1e-5
    text = (folder / edited).read_text()
    changed = text.replace("1e-5", "1e-4").replace("self.bn(x)", "self.bn(-x)")[: len(text)]
    (folder / edited).write_text(changed)
    second = find("my.py:CustomNorm")
    assert first.fingerprint != second.fingerprint
    assert second(8).bn.eps == (1e-4 if edited == "beside.py" else 1e-5)
    (folder / "unrelated.py").write_text("")
    assert find("my.py:CustomNorm").fingerprint == second.fingerprint


def test_the_fingerprint_does_not_depend_on_the_place(folder, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name in ("my.py", "beside.py"):
        (other / name).write_bytes((folder / name).read_bytes())
    first, second = find("my.py:CustomNorm"), find(f"{other}/my.py:CustomNorm")
    assert first.fingerprint == second.fingerprint
    assert first.files == second.files == ("beside.py", "my.py")


def test_files_called_like_modules_leave_these_alone(folder):
    import random

    (folder / "random.py").write_text("from torch import nn\ndef norm(c): return nn.Identity()")
    assert isinstance(find("random.py:norm")(8), torch.nn.Identity)
    assert sys.modules["random"] is random


def test_a_norm_in_a_package_below_the_present_folder(folder):
    (folder / "mylab").mkdir()
    (folder / "mylab" / "__init__.py").write_text("")
    (folder / "mylab" / "layers.py").write_text(
        "from torch import nn\nfrom mylab.sizes import G\ndef norm(c): return nn.GroupNorm(G, c)\n"
    )
    (folder / "mylab" / "sizes.py").write_text("G = 2\n")
    norm = find("mylab.layers:norm")
    assert norm.files == ("mylab/__init__.py", "mylab/layers.py", "mylab/sizes.py")
    assert norm(8).num_groups == 2
    (folder / "mylab" / "sizes.py").write_text("G = 4\n")
    assert find("mylab.layers:norm")(8).num_groups == 4


def test_a_norm_of_an_installed_package_is_told_apart_by_its_version():
    norm = find("torch.nn:BatchNorm2d")
    assert norm.fingerprint.startswith("torch 2.")
    assert norm.files == ()
    assert norm(8).num_features == 8


@pytest.mark.parametrize(
    ("home", "message"),
    [
        ("none.py:Norm", "none.py:Norm: there is no file none.py"),
        ("my.py:Norm", "there is no Norm; there is: .*CustomNorm"),
        ("my.py:SEVEN", "my.py:SEVEN is a int, and nothing to call"),
        ("nowhere.layers:Norm", "No module named 'nowhere'"),
        ("nowhere:Norm", "there is no module nowhere; name a file as layers.py:MyNorm"),
        ("broken.py:Norm", "broken.py:Norm: line 1: "),
        ("raises.py:Norm", "raises.py:Norm cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_found_is_one_line(folder, home, message):
    (folder / "broken.py").write_text("def Norm(:\n")
    (folder / "raises.py").write_text("1 / 0\n")
    with pytest.raises(UsageError, match=message):
        check(small("bn", home), out=folder / "e")
    assert not (folder / "e").exists()


# -- trained ---------------------------------------------------------------------------------------


def test_it_trains_in_worker_processes_and_its_folder_is_all_it_takes(folder, undrawn):
    """The first run, the same again, an edited norm, and more seeds when the file is gone."""
    asked_for = small("bn", "my.py:CustomNorm")
    first = normscope.compare(asked_for, out="e", workers=2)
    assert first.analysis.titles["CustomNorm"].startswith("my.py:CustomNorm (")
    assert normscope.compare(asked_for, out="e", workers=2).analysis.experiment.norms[1:] == (
        "CustomNorm",
    )
    (folder / "beside.py").write_text("EPS = 1e-4\n")
    checked = check(asked_for, out="e")
    assert checked.notices == (
        "my.py:CustomNorm has been edited since CustomNorm was trained: it is CustomNorm-2 now.",
    )
    second = normscope.compare(asked_for, out="e", workers=2)
    assert second.analysis.experiment.norms == ("bn", "CustomNorm", "CustomNorm-2")
    (folder / "my.py").unlink()
    for name in ("CustomNorm", "CustomNorm-2"):
        del NORMS[name]  # as in a new process
    third = normscope.compare(small("bn", seeds=2), out="e", workers=2)
    assert [norm.finished for norm in third.analysis.norms] == [2, 2, 2]
    assert (eps_of("CustomNorm"), eps_of("CustomNorm-2")) == (1e-5, 1e-4)
    assert Comparison.read("e").analysis.titles == third.analysis.titles


def test_folders_do_not_take_each_others_norms(folder, undrawn):
    """In one process: a name stands for the norm of the folder that is worked on."""
    asked_for = small("bn", "my.py:CustomNorm")
    normscope.compare(asked_for, out="first", workers=1)
    (folder / "beside.py").write_text("EPS = 1e-4\n")
    second = check(asked_for, out="second")
    assert (second.experiment.norms, eps_of("CustomNorm")) == (("bn", "CustomNorm"), 1e-4)
    check(small("bn", "gn", seeds=2), out="first")
    assert eps_of("CustomNorm") == 1e-5
    check(small("bn", "CustomNorm", seeds=2), out="first")
    assert eps_of("CustomNorm") == 1e-5


def test_the_id_of_a_trial_covers_the_source(folder):
    def id_of():
        checked = check(small("my.py:CustomNorm"), out=folder / "e")
        return plan(checked.experiment)[0].id

    first = id_of()
    assert first == id_of()
    (folder / "beside.py").write_text("EPS = 1e-4\n")
    assert first != id_of()


def test_a_norm_that_is_edited_while_trials_run_fails_and_says_so(folder):
    norm = pickle.loads(pickle.dumps(find("my.py:CustomNorm")))  # noqa: S301 - as workers get it
    (folder / "my.py").write_text(NORM + "# edited")
    with pytest.raises(RunError, match=r"my\.py:CustomNorm was edited while trials ran"):
        norm(8)


def eps_elsewhere(work):
    """The eps of the norm that a work makes in another process, which is sent it twice."""
    make = "pickle.load(sys.stdin.buffer)('CustomNorm')(8).bn.eps"
    code = f"import pickle, sys; print({make}, {make})"
    done = subprocess.run([sys.executable, "-c", code], input=2 * work, capture_output=True,
                          check=True)  # fmt: skip
    return done.stdout.decode().split()


def test_its_source_travels_to_where_its_files_are_not(folder):
    checked = check(small("my.py:CustomNorm"), out=folder / "e")
    work = pickle.dumps(Knowing.of(plan(checked.experiment), asked))
    (folder / "my.py").unlink()
    (folder / "beside.py").unlink()
    assert eps_elsewhere(work) == ["1e-05", "1e-05"]


def test_where_its_files_are_others_its_source_is_used(folder):
    checked = check(small("my.py:CustomNorm"), out=folder / "e")
    work = pickle.dumps(Knowing.of(plan(checked.experiment), asked))
    (folder / "beside.py").write_text("EPS = 1e-4\n")
    assert eps_elsewhere(work) == ["1e-05", "1e-05"]


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("torch 2.0.0", r"torch\.nn:BatchNorm2d is of torch 2\.0\.0, which on .* is 2\."),
        ("not-there 1.0", r"not-there 1\.0, which on .* is not installed; install that version"),
    ],
)
def test_a_package_that_is_not_here_in_that_version_is_told(package, told):
    with pytest.raises(RunError, match=told):
        brought(replace(find("torch.nn:BatchNorm2d"), fingerprint=package), {})


# -- registered ------------------------------------------------------------------------------------

SCRIPT = """
import normscope
from torch import nn

@normscope.norms.register("mine")
class Mine(nn.GroupNorm):
    def __init__(self, channels):
        super().__init__(2, channels)

{guard}
    e = normscope.Experiment(norms=["bn", "mine"], seeds=1, train_limit=128, test_limit=100,
                             recipe={{"epochs": 1}})
    print(normscope.compare(e, out="e", workers=2).analysis.norms[1].finished, "finished")
"""


def run_script(folder, guard):
    (folder / "script.py").write_text(SCRIPT.format(guard=guard), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_norm_that_a_script_registers_trains_in_worker_processes(tmp_path):
    done = run_script(tmp_path, 'if __name__ == "__main__":')
    assert done.stdout.endswith("1 finished\n"), done.stderr


def test_a_script_that_would_compare_again_is_told_how_to_be_written(tmp_path):
    done = run_script(tmp_path, "if True:")
    assert 'put what it does beyond definitions below `if __name__ == "__main__":`' in done.stderr
    assert not (tmp_path / "e").exists()


def test_what_has_no_file_is_registered_for_this_process_alone():
    @register("mine")
    def mine(channels):
        return torch.nn.Identity()

    assert NORMS["mine"] is mine
    assert not isinstance(NORMS["mine"], OwnCode)


def test_a_class_of_a_notebook_is_registered_for_this_process_alone(monkeypatch):
    """There `__main__` is no file."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    typed = type("Typed", (torch.nn.Identity,), {"__module__": "__main__"})
    assert register("mine")(typed) is typed
    assert NORMS["mine"] is typed


@pytest.mark.parametrize("name", ["bn", "batchnorm2d", "a:b", "gn:groups=2", ""])
def test_a_name_that_is_not_free_cannot_be_registered(name):
    with pytest.raises(UsageError, match="no norm can be registered"):
        register(name)
