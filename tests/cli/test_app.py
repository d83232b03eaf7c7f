"""The command as a user types it: output, exit codes, and what only a process of its own shows."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from command_line import SMALL, one_line
from torch import nn

from normscope.cli.app import app
from normscope.cli.names import PANELS
from normscope.norms import NORMS, PACKAGED_NORMS

COMMAND = [sys.executable, "-m", "normscope"]
# -- what works ----------------------------------------------------------------------------------


def test_version_and_help(process):
    assert process("--version").stdout.startswith("normscope 0.")
    shown = process("compare", "--help").stdout
    options = (
        "dataset data-dir model norms baseline recipe set seeds epochs batch-size batch-sizes "
        "protocol until-decided winner-set max-seeds budget margin alpha level train-limit "
        "test-limit device precision workers executor address cpus-per-trial gpus-per-trial log "
        "out config dry-run json debug"
    )
    for option in options.split():
        assert f"--{option}" in shown
    for panel in PANELS:
        assert f" {panel} " in shown


def test_what_the_boxes_of_the_help_hold_are_options():
    """Each in one box; a new option of `compare` has to be put into one, or is below "Options"."""
    grouped = [name for names in PANELS.values() for name in names]
    assert len(grouped) == len({*grouped})
    group = typer.main.get_command(app)
    commands = {name: {p.name for p in command.params} for name, command in group.commands.items()}
    assert {*grouped} <= {name for names in commands.values() for name in names}
    assert commands["compare"] - {*grouped} == {"verbose", "as_json", "debug"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [("normscope comp", "compare"), ("normscope compare --until", "--until-decided")],
)
def test_a_shell_completes_commands_and_options(words, expected):
    last = str(len(words.split()) - 1)
    asking = {"_NORMSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": last}
    command = [str(Path(sys.executable).with_name("normscope"))]
    done = subprocess.run(
        command, env={**os.environ, **asking}, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_compare_then_report(normscope, process, tmp_path):
    dry = normscope("compare", *SMALL, "--seeds", 2, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.count("to run  ") == 4
    assert "4 of 4 trials to run in runs/shapes-s8-quick-epochs1-train192-test100" in dry.stdout
    assert not (tmp_path / "runs").exists()

    done = process("compare", *SMALL, "--seeds", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "trial 1/4  bn seed 0  epoch 1/1  train" in done.stdout
    assert "gn against bn" in done.stdout
    assert "shapes is synthetic" in done.stdout
    folder = tmp_path / "runs" / "shapes-s8-quick-epochs1-train192-test100"
    assert (folder / "report.html").exists()
    assert "batch size 64, peak learning rate 0.1, the first 192 training" in done.stdout
    assert "bn: BatchNorm; gn: GroupNorm (4 groups)" in done.stdout
    table = done.stdout[done.stdout.index("bn and gn on shapes") :]
    assert max(map(len, table.splitlines())) <= 80
    last = f"To hand it in:  normscope write-up {folder.relative_to(tmp_path)}"
    assert table.splitlines()[-1] == last  # two seeds tell no winner

    again = process("compare", *SMALL, "--seeds", 2, "--json")
    assert again.returncode == 0, again.stderr
    assert "0 trials to run, 4 stored" in again.stderr
    values = json.loads(again.stdout)
    assert [norm["norm"] for norm in values["norms"]] == ["bn", "gn"]
    assert values["synthetic"] is True

    (folder / "report.html").unlink()
    report = normscope("report", folder)
    assert report.returncode == 0, report.stderr
    assert (folder / "report.html").exists()
    assert normscope("compare", *SMALL, "--seeds", 2, "--dry-run").stdout.count("stored ") == 4


def test_one_seed_says_so_in_the_terminal_and_in_json(normscope, undrawn):
    done = normscope("compare", *SMALL, "--seeds", 1)
    assert "One seed: no conclusion about the norm" in done.stdout
    values = json.loads(normscope("compare", *SMALL, "--seeds", 1, "--json").stdout)
    assert "One seed: no conclusion about the norm." in values["caveats"]


def test_summary(normscope):
    done = normscope("summary", "--model", "s8", "--norm", "bn")
    assert done.returncode == 0, done.stderr
    assert "31,216" in done.stdout
    assert "6,231,448" in done.stdout
    assert "16 x 30 x 30" in done.stdout


def test_norms(normscope):
    listed = normscope("norms").stdout
    assert max(map(len, listed.splitlines())) <= 80
    for name in PACKAGED_NORMS:
        assert f"\n{name} " in f"\n{listed}"
    assert "y = max(gamma * x / sqrt(mean(x^2) + eps) + beta, tau)" in listed
    assert "Also called: groupnorm." in listed
    values = json.loads(normscope("norms", "--json").stdout)
    assert values["gn"]["options"] == {"groups": 4, "size": None, "eps": 1e-5}
    shown = normscope("norms", "groupnorm").stdout
    assert "before       1      2        2      4        0      0        5      5" in shown
    assert "after    −1.27  −0.81    −0.81   0.12    −1.07  −1.07     0.58   0.58" in shown
    example = json.loads(normscope("norms", "bn", "--json").stdout)["example"]
    assert example["before"][1][3] == [[7, 7], [7, 3]]
    assert "three layers are called LayerNorm" in one_line(normscope("norms", "layernorm"), 2)


def test_check_norm(normscope, process, tmp_path):
    text = "from torch import nn\ndef good(c): return nn.GroupNorm(2, c)\n"
    text += "class Bad(nn.Module):\n    def __init__(self, c): super().__init__()\n"
    text += "    def forward(self, x): return x.mean(1)\n"
    (tmp_path / "my.py").write_text(text, encoding="utf-8")
    done = process("check-norm", "my.py:good")
    assert done.returncode == 0, done.stderr
    assert "gradient in training      holds" in done.stdout
    assert "evaluation                       the same as training" in done.stdout
    done = process("check-norm", "my.py:Bad", "--json")
    assert "keeps shape and type" in one_line(done, 3)
    assert json.loads(done.stdout)[0]["holds"] is False
    assert "unknown norm 'foo'" in one_line(normscope("check-norm", "foo"), 2)


def test_data_commands(normscope, tmp_path):
    listed = normscope("data", "list").stdout
    assert "made in memory" in listed
    assert listed.count("not here") == 2
    assert normscope("data", "show", "shapes", "--out", "s.png").returncode == 0
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_what_was_trained_and_says_how_to_go_on(tmp_path, environment, workers):
    command = [*COMMAND, "compare", *SMALL, "--seeds", "40", "--workers", workers, "--out", "e"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    records = tmp_path / "e" / "trials"
    deadline = time.monotonic() + 120
    while len(list(records.glob("[!.]*/record.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped." in stderr
    assert "normscope report e" in stderr
    assert "Traceback" not in stderr
    assert 2 <= len(list(records.glob("[!.]*/record.json"))) < 80
    assert not list(records.glob(".*"))


# -- bad input: one message, exit code 2 or 3, nothing lost --------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--norms", "bn,foo"], "unknown norm 'foo'; known: bn, gn, ln"),
        (["--norms", ""], "--norms '': holds an empty name"),
        (["--norms", "bn,,gn"], "holds an empty name"),
        (["--model", "vgg"], "unknown model 'vgg'; known: s8, s8-gap, s8-res"),
        (["--dataset", "imagenet"], "unknown data set 'imagenet'; known: shapes, cifar10"),
        (["--recipe", "slow"], "unknown recipe 'slow'; known: s8, quick"),
        (["--recipe", "none.toml"], "cannot read the recipe file none.toml"),
        (["--set", "max_lr=a"], "--set max_lr=a: should be a valid number"),
        (["--set", "max_lr=1", "--max-lr", "2"], "--set max_lr=1 and --max-lr set the same"),
        (["--device", "tpu"], "unknown device 'tpu'; known: auto, cpu, cuda"),
        (["--epochs", "0"], "--epochs 0: should be greater"),
        (["--batch-size", "0"], "--batch-size 0: should be greater"),
        (["--batch-size", "6000"], "a batch of 6000 is larger than the training set of 5000"),
        (
            ["--train-limit", "99999"],
            "99999 training images of shapes were asked for; there are 5000",
        ),
        (["--data-dir", "nowhere", "--dataset", "cifar10"], "nowhere"),
        (["--config", "none.toml"], "cannot read the config file none.toml"),
        (["--out", "a-file"], "a-file is a file"),
        (["--seeds", "1000000000"], "--seeds 1000000000: should be less than"),
        (["--executor", "rey"], "unknown executor 'rey'; known: inline, processes, fleet, ray"),
        (["--address", "auto"], "--address is for trials on Ray; add --executor ray"),
        (
            ["--executor", "fleet", "--gpus-per-trial", "1"],
            "--gpus-per-trial is for trials on Ray; add --executor ray",
        ),
        (["--executor", "ray", "--cpus-per-trial", "0"], "give --cpus-per-trial"),
    ],
)
def test_bad_usage(normscope, tmp_path, arguments, message):
    (tmp_path / "a-file").write_text("mine", encoding="utf-8")
    error = one_line(normscope("compare", *arguments), 2)
    assert message in error
    assert error.count("\n") == 1
    assert (tmp_path / "a-file").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "shapes"], "did you mean --dataset shapes?"),
        (["compare", "--sedes", "3"], "No such option: --sedes"),
        (["compare", "--seeds", "many"], "Invalid value for '--seeds'"),
        (["report"], "Missing argument 'FOLDER'"),
        (["compere"], "No such command 'compere'"),
    ],
    ids=str,
)
def test_every_error_looks_the_same(normscope, arguments, message):
    error = one_line(normscope(*arguments), 2)
    assert message in error
    assert error.count("\n") == 1


def test_a_command_without_arguments_shows_its_help(process):
    done = process()
    assert "compare" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_config_file_with_an_unknown_key(normscope, tmp_path):
    (tmp_path / "e.toml").write_text("sedes = 3", encoding="utf-8")
    error = one_line(normscope("compare", "--config", "e.toml"), 2)
    assert "e.toml: unknown key 'sedes'; known: dataset, model, norms" in error


def test_a_recipe_of_the_wrong_type_is_not_replaced_by_options(normscope, tmp_path):
    (tmp_path / "e.toml").write_text("recipe = 3", encoding="utf-8")
    error = one_line(normscope("compare", "--config", "e.toml", "--epochs", 2), 2)
    assert "e.toml: recipe = 3" in error


def test_the_report_names_no_folder_of_this_machine(normscope, tmp_path):
    arguments = [*SMALL, "--seeds", 1, "--out", tmp_path / "o ut"]
    assert normscope("compare", *arguments).returncode == 0
    page = (tmp_path / "o ut" / "report.html").read_text(encoding="utf-8")
    assert "normscope compare --epochs 1 --train-limit 192 " in page
    assert str(tmp_path) not in page


def test_an_empty_folder_name_is_refused(normscope, tmp_path):
    done = normscope("compare", *SMALL, "--out", "")
    assert done.returncode == 2
    assert "is empty; name a folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_narrow_terminal_gets_a_line_per_value(normscope, environment, undrawn):
    normscope("compare", *SMALL, "--seeds", 2, "--out", "e")
    environment["COLUMNS"] = "40"
    shown = normscope("report", "e").stdout
    assert "\ngn\n  n: 2\n  test acc. %, mean ± sd: " in shown
    assert "…" not in shown
    sentences = shown[shown.index("Answer") : shown.index("Report:")]
    assert max(map(len, sentences.splitlines())) <= 40


def test_names_that_differ_at_their_ends_are_told_apart(normscope, undrawn):
    """A table of recorded results, in which intervals are wide as well."""
    recorded = Path(__file__).parents[2] / "docs" / "results" / "cifar10-s8-statbatch"
    shown = normscope("report", recorded, "--out", "r").stdout
    table = shown[: shown.index("Answer")].splitlines()
    sizes = [
        after.split()[0] for line, after in pairwise(table) if line.startswith("ghost-bn:size= ")
    ]
    assert sorted(sizes, key=int) == ["2", "4", "8", "16", "64", "128"]
    assert sum(line.rstrip().endswith(" undecided") for line in table) == 7
    assert "…" not in shown


def test_debug_shows_the_traceback(process):
    done = process("compare", "--model", "vgg", "--debug")
    assert "Traceback" in done.stderr
    assert "UsageError" in done.stderr


def test_without_network_two_lines_say_what_to_do(process):
    error = one_line(process("compare", "--dataset", "cifar10"), 3)
    assert error.count("\n") == 2
    assert "cifar-10-python.tar.gz" in error
    assert "--dataset shapes" in error


def test_a_folder_that_lacks_a_batch(normscope, tmp_path):
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    (tmp_path / "data" / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"short")
    error = one_line(normscope("compare", "--dataset", "cifar10", "--data-dir", "data"), 3)
    assert "data_batch_1 is truncated" in error or "missing" in error


def test_report_of_what_is_no_experiment(process, tmp_path):
    assert "holds no normscope experiment" in one_line(process("report", tmp_path), 2)


def test_a_folder_of_another_version(normscope, tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "experiment.json").write_text('{"result_format": 99}', encoding="utf-8")
    for command in (["report", "e"], ["compare", *SMALL, "--out", "e"]):
        assert "result format 99" in one_line(normscope(*command), 2)


def run_script(folder, text, *arguments):
    """The real command line, after `text` has changed something in its process."""
    (folder / "script.py").write_text(
        f"{text}\nfrom normscope.cli import main\nmain()\n", encoding="utf-8"
    )
    return subprocess.run(
        [sys.executable, folder / "script.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_defect_is_told_in_two_lines_and_shown_with_debug(tmp_path):
    text = (
        "import normscope.models.summary as summary\n"
        "def broken(*a): raise ZeroDivisionError('by 0')\n"
        "summary.summarize = broken"
    )
    error = one_line(run_script(tmp_path, text, "summary"), 1)
    assert "unexpected ZeroDivisionError: by 0\nThis is a defect of normscope; --debug" in error
    assert "Traceback" in run_script(tmp_path, text, "summary", "--debug").stderr


def test_ctrl_c_that_python_drops_still_stops(tmp_path):
    """An exception out of a finalizer is dropped; the signal came while one ran."""
    text = (
        "import os, signal\n"
        "import normscope.study.opening as study\n"
        "class Finalized:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT)\n"
        "load = study.load_dataset\n"
        "def loaded(*a, **k):\n"
        "    Finalized()\n"
        "    return load(*a, **k)\n"
        "study.load_dataset = loaded"
    )
    done = run_script(tmp_path, text, "compare", *SMALL, "--seeds", "2", "--out", "e")
    assert "Exception ignored" in done.stderr
    assert done.returncode == 130
    assert "Stopped." in done.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path, environment):
    command = [*COMMAND, "compare", *SMALL, "--seeds", "2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_ctrl_c_before_there_is_a_folder_names_none(tmp_path):
    text = (
        "import normscope.study.opening as study\n"
        "def stopped(*a, **k): raise KeyboardInterrupt\n"
        "study.load_dataset = stopped"
    )
    done = run_script(tmp_path, text, "compare", *SMALL, "--out", "e")
    assert (done.returncode, done.stderr) == (130, "\nStopped.\n")


def test_a_trial_that_failed_ends_with_3_and_the_report_shows_why(normscope, monkeypatch, tmp_path):
    """A norm that raises in training is added to the table."""

    class Broken(nn.Module):
        def forward(self, x):
            if self.training:
                raise RuntimeError("out of patience")
            return x

    monkeypatch.setitem(NORMS, "broken", lambda channels: Broken())
    done = normscope("compare", *SMALL, "--norms", "bn,broken", "--seeds", 1, "--out", "e")
    assert "1 trial failed" in one_line(done, 3)
    assert "RuntimeError: out of patience" in done.stdout
    page = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert "RuntimeError: out of patience" in page

    arguments = ["compare", *SMALL, "--norms", "broken", "--seeds", 1, "--out", "f", "--json"]
    done = normscope(*arguments)
    assert (done.returncode, done.stderr.count("1 trial failed")) == (3, 1)
    assert json.loads(done.stdout)["norms"][0]["finished"] == 0


def test_what_is_named_in_an_error_does_not_act_on_the_terminal(normscope):
    odd = "no\x1b[31m\x1b]8;;http://evil\x07folder"
    for arguments in (("report", odd), ("compare", odd), ("compare", "--norms", odd)):
        error = one_line(normscope(*arguments), 2)
        assert r"\x1b[31m" in error
        assert error.rstrip("\n").isprintable()
