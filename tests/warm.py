"""The command `normscope` from a process that is warm: a fork takes milliseconds, a start seconds.

The process has run the command once, and so has imported and compiled all that it needs. It forks a
child for each command that it is asked for, and a child tells in which phase it is, so that a test
can disturb it there::

    with Warm(folder, environment) as warm:
        command = warm.start("compare", "--out", "e")
        command.reaches("training")
        command.send(signal.SIGKILL)
        assert command.ends() == -signal.SIGKILL
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

# The phases of a `compare`, each the time within a function; between them it is in the one before.
STARTING = "starting"
PHASES = {
    "data": ("normscope.study.compare", "load"),
    "opening": ("normscope.study.compare", "open_folder"),
    "training": ("normscope.training.loop", "Training._take_steps"),
    "evaluating": ("normscope.training.loop", "evaluate_fleet"),
    "storing": ("normscope.store.store", "Store.add"),
    "reporting": ("normscope.study.comparison", "Comparison.report"),
}
PATIENCE_S = 120
# A fork has none of the other threads, and what they hold is held for ever.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


class Warm:
    """Runs commands in `folder`, one after the other, with reports of few figures."""

    def __init__(self, folder, environment):
        self.folder = folder
        phases, told = os.pipe()
        self.phases = os.fdopen(phases, "rb", buffering=0)
        self.server = subprocess.Popen(
            [sys.executable, __file__, str(told)],
            cwd=folder,
            env={**environment, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[told],
            text=True,
        )
        os.close(told)
        assert self._answer() == "warm"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()
        self.phases.close()

    def start(self, *arguments, output="stdout"):
        """The command with these arguments, which has begun; what it prints goes to `output`."""
        asked = {"arguments": [*map(str, arguments)], "output": str(output)}
        print(json.dumps(asked), file=self.server.stdin, flush=True)
        return Command(self, int(self._answer()))

    def run(self, *arguments, **options):
        """The same, when it has ended; `code` is how."""
        command = self.start(*arguments, **options)
        command.code = command.ends()
        return command

    def _answer(self):
        return self.server.stdout.readline().strip()


class Command:
    """A command that runs, or ran, and the phases that it came to."""

    def __init__(self, warm, pid):
        self.warm = warm
        self.process = os.pidfd_open(pid)  # its number may be given to another once it has ended
        self.phases = [(STARTING, time.monotonic())]
        self._rest = b""

    def reaches(self, phase, visit=1):
        """Wait until it comes to a phase, for so many times; whether it does before it ends."""
        deadline = time.monotonic() + PATIENCE_S
        while self.visits(phase) < visit:
            assert time.monotonic() < deadline, f"never came to {phase}: {self.phases}"
            if not self._listen(0.5) and self._has_ended():
                self._listen(0)
                return self.visits(phase) >= visit
        return True

    def visits(self, phase):
        return sum(each == phase for each, _ in self.phases)

    def ends(self):
        """The exit code, negative for a signal that was not answered."""
        code = int(self.warm._answer())
        os.close(self.process)
        while self._listen(0):
            pass
        return code

    def send(self, number):
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, number)

    @property
    def phase(self):
        """In which phase it is, or was when it ended."""
        return self.phases[-1][0]

    def seconds(self, phase):
        """How long it was in a phase, the first time."""
        names = [name for name, _ in self.phases]
        place = names.index(phase)
        return self.phases[place + 1][1] - self.phases[place][1]

    @property
    def said(self):
        """What it has written to its standard output and standard error."""
        return tuple((self.warm.folder / name).read_text() for name in ("stdout", "stderr"))

    def _listen(self, wait_s):
        """Note the phases that it tells of meanwhile; whether there were any."""
        if not select.select([self.warm.phases], [], [], wait_s)[0]:
            return False
        *names, self._rest = (self._rest + self.warm.phases.read(4096)).split(b"\n")
        for name in names:
            phase, moment = name.decode().split(",")
            self.phases.append((phase, float(moment)))
        return True

    def _has_ended(self):
        return bool(select.select([self.warm.server.stdout], [], [], 0)[0])


# -- the process -----------------------------------------------------------------------------------


def serve(told):
    from normscope.experiment import Keeping
    from normscope.training import trial

    Keeping.every_s = 0.02  # of trials that last a second
    os.environ["MPLBACKEND"] = "agg"
    trial.step_memory_mib = lambda *arguments: None  # the profiler leaves a thread
    draw_little()
    warm_up = "compare --norms bn,gn --seeds 1 --epochs 1 --train-limit 64 --test-limit 20"
    code = call([*warm_up.split(), "--workers", "1", "--out", "warm"], "stdout")
    assert code == 0, Path("stderr").read_text()
    wait_for_threads()
    for name, place in PHASES.items():
        announced(name, place, told)
    print("warm", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup as well
            os._exit(call(asked["arguments"], Path(asked["output"])))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def wait_for_threads():
    """Until this is the only thread, since one that was joined takes another moment to end."""
    tasks = Path("/proc/self/task")
    deadline = time.monotonic() + 10
    while tasks.exists() and len(list(tasks.iterdir())) > 1:
        assert time.monotonic() < deadline, "a fork would lose threads"
        time.sleep(0.01)


def call(arguments, output):
    """The exit code of the command, as it is called; what it says goes to two files."""
    from normscope.cli import main

    sys.argv = ["normscope", *arguments]
    with written_to(output, 1), written_to("stderr", 2):
        try:
            main()
        except SystemExit as end:
            return end.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    return 0


@contextmanager
def written_to(path, stream):
    before = os.dup(stream)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, stream)
    os.close(file)
    try:
        yield
    finally:
        os.dup2(before, stream)
        os.close(before)


def announced(phase, place, told):
    """Let a function tell when it is entered, and when it is left again."""
    import importlib

    module, name = place
    owner = importlib.import_module(module)
    *outer, name = name.split(".")
    for each in outer:
        owner = getattr(owner, each)
    usual = getattr(owner, name)

    def tell(what):
        os.write(told, f"{what},{time.monotonic()}\n".encode())

    def telling(*arguments, **options):
        tell(phase)
        answer = usual(*arguments, **options)
        tell(f"after {phase}")  # unless it was left by an exception
        return answer

    setattr(owner, name, telling)


def draw_little():
    """The first kind of figure alone: all of a report take seconds."""
    from normscope import report
    from normscope.report import figures

    figures.FIGURES = figures.FIGURES[:1]
    report.mistake_figures = lambda analysis, pictures: []


if __name__ == "__main__":
    serve(int(sys.argv[1]))
