"""How fast the experiment trains: ``python -m benchmarks.speed [--quick] [--json FILE]``.

In every round it times these on the same images, one after the other and in alternating order:

- `reference`: the published loop (benchmarks/reference.py), which has all cores to itself, with the
  number of threads and loader workers that is fastest here;
- `strong`: the strongest plain loop: images in memory, layers of torch in channels_last one by one,
  dropout that draws only what it drops, with one single-threaded process per core, and compiled by
  torch where that is faster here;
- `normscope`: the tool's own loop, by norm and precision, with one single-threaded trial per core;
- `convolutions`: the network's convolutions alone, by torch, in the same layout and precision, with
  one process per core. This is the time that would be left if everything else cost nothing;
- `peak`: the time that the multiplications of these convolutions would take if every core did
  nothing but multiply numbers in its registers, measured at the same time.

The unit is seconds of this machine per epoch: 50,000 training images and a test on 10,000. Costs
that are paid once per epoch, such as starting loader workers, are included. For processes that run
side by side, the time until the last of them is done is divided by their number. Reference and
normscope run whole epochs; with ``--quick`` they run a part and the rest is estimated. Medians and
ranges are over rounds, and a ratio is the median of the ratios of each round. Every time is printed
as it is measured, and the tables of docs/performance.md are printed at the end. ``--profile`` shows
instead where the time of a step goes.

With ``--device cuda`` it first times single steps of fleets, folded and side by side. It then
measures how many seconds a warm GPU takes for 3 norms x 15 epochs, one network after the other, and
for 3 norms x 32 seeds x 15 epochs as fleets of 32.
"""

import argparse
import json
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.epochs import (
    CPU,
    Variant,
    limit_seconds,
    make_own_epoch,
    matrix_rate,
    seconds_per_epoch,
    strong_step,
    variants,
)
from benchmarks.figures import by_name, rest, summarize, tables
from benchmarks.gpu import on_cuda
from benchmarks.images import BATCH, TEST, TRAIN, source
from benchmarks.published import Setting, candidates, published_epoch
from benchmarks.start import first_steps, set_up
from benchmarks.teams import Team, one_for_all_cores, one_for_each_core
from normscope.cores import available_cores
from normscope.experiment import Precision
from normscope.training.environment import environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, under 3 minutes")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 1")
    parser.add_argument("--profile", action="store_true", help="show where a step goes, and end")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if arguments.profile:
        return profile()
    if arguments.device == "cuda":
        content = {**provenance(), **on_cuda(epochs=5 if arguments.quick else 15)}
        print(json.dumps(content, indent=2))
        return save(content, arguments.json)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    on_cpu(rounds, whole=not arguments.quick, path=arguments.json)


def on_cpu(rounds: int, whole: bool, path: Path | None) -> None:
    """Measure and print everything; after each round, write all figures so far to `path`."""
    content = {**provenance(), "images": source(), "whole_epochs": whole}
    with one_for_all_cores() as all_cores, one_for_each_core() as each_core:
        setting, content["settings_tried"] = fastest_setting(all_cores)
        content["setting"] = str(setting)
        teams = {v.kind: each_core for v in variants()} | {"reference": all_cores}
        precisions = dict.fromkeys(v.precision for v in variants() if v.kind == "strong")
        content["strong_compiled"] = [compiled_if_faster(each_core, p) for p in precisions]
        times: dict[Variant, list[float]] = {variant: [] for variant in variants()}
        warm_up(each_core, setting)
        for number in range(rounds):
            measure_round(number, times, teams, setting, whole)
            content |= {"seconds_per_epoch": by_name(times), "ratios": summarize(times)}
            save(content, path)
        rates = {
            v.precision: sum(each_core.together(matrix_rate, v.precision))
            for v in times
            if v.kind == "convolutions"
        }
    starts = {str(v): set_up(v, setting) for v in times if v.norm == "bn" and v.kind != "strong"}
    print(f"\nreference with {setting}; rounds: {rounds}\n\n{tables(times)}\n")
    print(rest(rates, starts))
    save({**content, "matrix_gflop_per_s": rates, "set_up": starts}, path)


def fastest_setting(team: Team) -> tuple[Setting, dict[str, float]]:
    """The fastest setting of the published loop, estimated with bn, and the seconds of each."""
    settings, tried = candidates(available_cores()), {}
    team.together(first_steps, Variant("reference", "bn", "fp32"), settings[0])
    for setting in settings:
        (tried[setting],) = team.together(published_epoch, "bn", setting, False)
        print(f"reference with {setting}: about {tried[setting]:.1f} s per epoch", flush=True)
    return min(tried, key=tried.__getitem__), {str(s): seconds for s, seconds in tried.items()}


def compiled_if_faster(team: Team, precision: Precision) -> str:
    """Let torch compile `strong` from now on if its step is faster so; returns what was found."""
    plain = max(team.together(strong_step, precision, False))
    try:
        compiled = max(team.together(strong_step, precision, True))
    except Exception as error:  # whatever torch lacks, such as a compiler
        team.together(strong_step, precision, False)
        found = f"strong, {precision}: not compiled, {type(error).__name__}"
    else:
        if compiled > plain:
            team.together(strong_step, precision, False)
        found = (
            f"strong, {precision}: {1e3 * plain:.0f} ms per step, compiled {1e3 * compiled:.0f} ms"
        )
    print(found, flush=True)
    return found


def warm_up(team: Team, setting: Setting) -> None:
    """Run everything that is compiled once, so that it is compiled and loaded."""
    for variant in variants():
        if variant.kind == "normscope":
            team.together(first_steps, variant, setting)
        elif variant.kind == "convolutions":
            team.together(limit_seconds, variant.precision, 1)


def measure_round(
    number: int,
    times: dict[Variant, list[float]],
    teams: dict[str, Team],
    setting: Setting,
    whole: bool,
) -> None:
    """Time every variant once; print and add the times. Every other round runs in reverse order."""
    for variant in list(times) if number % 2 == 0 else reversed(list(times)):
        team = teams[variant.kind]
        seconds = max(team.together(seconds_per_epoch, variant, setting, whole)) / team.size
        times[variant].append(seconds)
        print(f"round {number + 1}  {variant}  {seconds:.1f} s per epoch", flush=True)


def profile(steps: int = 3) -> None:
    """Print where the time of a step goes for each norm and precision, in one thread."""
    torch.set_num_threads(1)
    for variant in variants():
        if variant.kind == "normscope":
            epoch = make_own_epoch(variant, steps * BATCH, steps * BATCH * TEST // TRAIN)
            epoch()
            with torch.profiler.profile() as profiler:
                epoch()
            table = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12)
            print(f"{variant}, {steps} steps\n{table}")


def provenance() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "environment": environment(CPU, "fp32", fleet=1).model_dump(),
    }


def save(content: dict[str, Any], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
