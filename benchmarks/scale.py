"""Many trials: seconds and peak memory of planning, reading, analysing and reporting them.

python -m benchmarks.scale --counts 1000,10000,100000
python -m benchmarks.scale --counts 900 --images 10000

The records are made up, and written as the program writes them, but for the flushes. Each count is
measured in a process of its own. What grows faster than the number of trials shows in the last
column, which is that of the first row or less if nothing does.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

NORMS = ("bn", "gn", "ln", "in", "rms", "frn", "ghost-bn", "brn", "dyt", "none")
BATCH_SIZES = (32, 64, 128, 256, 512)

Value = TypeVar("Value")


def main() -> None:
    """Make so many trials, and measure each phase."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1000,3000,10000", help="of trials")
    parser.add_argument("--images", type=int, default=128, help="test images")
    parser.add_argument("--folder", type=Path, help="keep the folders here, and use what is there")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        home = arguments.folder or Path(temporary)
        for count in map(int, arguments.counts.split(",")):
            folder = home / f"{count}-{arguments.images}"
            if not folder.exists():
                in_new_process("make", folder, count, arguments.images)
            measured = in_new_process("measure", folder, count, arguments.images)
            seconds = measured.pop("seconds")
            phases = "  ".join(f"{name} {took:.1f}" for name, took in seconds.items())
            whole = sum(seconds.values())
            print(
                f"{count:>7,} trials  {phases}  all {whole:.1f} s, {measured['peak_mib']:,.0f} MiB"
                f", {1000 * whole / count:.2f} ms per trial",
                flush=True,
            )


def in_new_process(what: str, folder: Path, count: int, images: int) -> dict:
    """What a function of this module prints, as JSON."""
    code = f"from benchmarks.scale import *; print(json.dumps({what}(Path({str(folder)!r}), "
    code += f"{count}, {images})))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def experiment_of(count: int):
    """Ten norms at five batch sizes, in as many seeds as it takes."""
    from normscope.experiment import RECIPES, Experiment

    return Experiment(
        dataset="cifar10",
        norms=NORMS,
        seeds=count // (len(NORMS) * len(BATCH_SIZES)),
        batch_sizes=BATCH_SIZES,
        recipe=RECIPES["s8"],
    )


def make(folder: Path, count: int, images: int) -> None:
    """The folder of an experiment whose trials all finished."""
    sys.path.insert(0, "tests")
    from report_fakes import fitting, make_facts, make_labels, make_model, make_result

    from normscope.experiment import Request
    from normscope.experiment.plan import plan
    from normscope.store import Store, records
    from normscope.store.folder import TrialFolder

    experiment, labels = experiment_of(count), make_labels(images)
    request = Request(
        date="2026-01-01", command="x", norms=NORMS, seeds=experiment.seeds, results_before=0
    )
    store = Store.create(folder, experiment, request)
    store.describe(make_facts(test_size=images), labels, [make_model(norm) for norm in NORMS])
    for trial in plan(experiment):
        target = TrialFolder(folder / "trials" / trial.id)
        target.path.mkdir()
        result = make_result(experiment, trial.model_copy(update={"seed": trial.seed % 28}), labels)
        result = fitting(result.model_copy(update={"trial": trial}), labels)
        records.write_record(result, target, store.files.name_of(target.probes))


@dataclass
class Watch:
    """Seconds of each phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, name: str, phase: Callable[[], Value]) -> Value:
        started = time.perf_counter()
        value = phase()
        self.seconds[name] = time.perf_counter() - started
        return value


def measure(folder: Path, count: int, images: int) -> dict:
    """Seconds of each phase, and the peak of memory."""
    from normscope.experiment.plan import plan
    from normscope.store import Store
    from normscope.study.comparison import Comparison

    watch = Watch()
    trials = watch.time("plan", lambda: plan(experiment_of(count)))
    store = Store(folder)
    missing = watch.time("missing", lambda: store.missing(trials))
    assert len(trials) == count
    assert not missing
    comparison = watch.time("analyse", lambda: Comparison.of(store))
    with TemporaryDirectory() as out:
        watch.time("report", lambda: comparison.report(out))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": watch.seconds, "peak_mib": peak}


if __name__ == "__main__":
    main()
