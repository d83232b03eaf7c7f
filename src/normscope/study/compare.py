"""The whole pipeline, from what a user asks for to the report: check, open, run, report.

This is the file to open first; the one to open second is `training/trial.py`, which trains one
trial.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from normscope.data import Dataset
from normscope.executors.ray import OnRay
from normscope.experiment import Design, Experiment, Keeping, ProbePlan, Result, Trial
from normscope.observers import Observer, PlainLines
from normscope.stopping import uninterrupted
from normscope.store import Store
from normscope.store.claims import Claims
from normscope.study.budget import fitted
from normscope.study.checks import Checked, check, own_names
from normscope.study.comparison import Comparison, EveryTrialFailed
from normscope.study.cost import keep_costs
from normscope.study.heartbeat import heartbeat
from normscope.study.meantime import report_meanwhile
from normscope.study.opening import joined, load, open_folder, pictures_kept, reporting
from normscope.study.placement import place
from normscope.study.probe_times import ProbeTimes
from normscope.study.rounds import Watch, rounds, trials_of_round
from normscope.study.sharing import Sharing
from normscope.study.states import States
from normscope.words import what_went_wrong


def compare(
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: str | OnRay | None = None,
    observer: Observer | None = None,
    command: str | None = None,
    design: Design | None = None,
    budget_s: float | None = None,
    probes: ProbePlan | Sequence[str] = (),
    checkpoint_s: float = Keeping.every_s,
) -> Comparison:
    """Train what is missing of an experiment, then analyse and report all that its folder holds.

    `out` is the experiment's folder (default: ``runs/`` and the experiment's name), `data_dir` the
    first place to look for the data set, `device` "auto", "cpu" or "cuda", `workers` the number of
    trials that run at once (default: one per core of a CPU, a fleet of 32 on a GPU); `executor` is
    who runs them: "inline", "processes", "fleet", "ray", or an `OnRay` that names a cluster
    (default: what is fastest on this machine); `observer` is told of the progress (default: it
    prints a line per epoch); `command` is what the report gives as the way to repeat the experiment
    (default: this call). `design` says how verdicts are reached (default: the folder's alpha,
    margin and levels, fixed); until decided, 6 seeds are run first. With a budget of `budget_s`
    seconds nothing is begun that would probably end after it, and an experiment that names no seeds
    gets as many as it has room for; see `study.budget.fitted`. `probes` are names of
    `normscope.PROBES`, "default" or "all": what is measured inside the networks that are trained
    now. It changes no result. The state of trials that train is kept every `checkpoint_s` seconds
    (0: never), from which they go on if they are stopped.

    Raises `UsageError` or `RunError`, in one line that says what to do; of the latter
    `EveryTrialFailed`, which holds the comparison, if there is nothing to compare. Every trial that
    ended before that, or before a KeyboardInterrupt, stays in the folder, and the next call goes on
    from there.
    """
    observer = observer or PlainLines()
    checked = check(
        experiment,
        out=out,
        data_dir=data_dir,
        device=device,
        workers=workers,
        executor=executor,
        design=design,
        budget_s=budget_s,
        probes=probes,
        checkpoint_s=checkpoint_s,
        observer=observer,
    )
    command = command or f"normscope.compare({experiment!r})"
    return carry_out(checked, observer, command)


def carry_out(checked: Checked, observer: Observer, command: str) -> Comparison:
    """Open, run, report: what `compare` does once all is checked.

    Other processes may do the same in the same folder: each trains what no other has taken, and
    then waits for the rest of what it needs.
    """
    if checked.budget_s is not None:
        checked = _in_budget(checked, checked.budget_s, observer)
    for notice in checked.notices:
        observer.noticed(notice)
    dataset = load(checked.asked, checked.data_dir, observer)
    folder = checked.folder
    with (
        joined(folder, lambda: open_folder(checked, dataset, observer, command)) as (store, claims),
        heartbeat(claims.own, observer) as heard,
    ):
        with (
            checked.machine.connected(),
            pictures_kept(store, dataset),
            report_meanwhile(store, dataset, heard) as heard,
        ):
            limits = checked.design, checked.budget_s, checked.machine.at_once
            due = rounds(store, *limits, heard, claims.alone, checked.seeds_by_time)
            run(store, claims, checked, dataset, heard, due)
        with reporting(folder, observer, store) as newest:
            if claims.alone():  # beside another's training, times say nothing
                keep_costs(newest, checked, dataset, observer)
            comparison = Comparison.of(newest)
            comparison.report()
    check_outcome(comparison)
    return comparison


def _in_budget(checked: Checked, budget_s: float, observer: Observer) -> Checked:
    """With the seeds that fit, and what is left of the budget after that was found out."""
    begun = time.monotonic()
    observer.noticed("Timing a few steps of each norm, to see what the budget has room for.")
    checked, foreseen = fitted(checked)
    left = max(0.0, budget_s - (time.monotonic() - begun))
    return replace(checked, notices=foreseen.notices, budget_s=left)


def run(
    store: Store,
    claims: Claims,
    checked: Checked,
    dataset: Dataset,
    observer: Observer,
    due: Iterable[list[Trial]],
) -> None:
    """Train what is due, round by round; every result is stored as soon as it is there.

    A round is over when each of its trials has an outcome, whichever process trained it.
    """
    watch, looked = Watch(store, checked.design, observer), ProbeTimes()
    states = States(store, checked.checkpoint_s, is_known=not own_names(store.experiment))

    def found(result: Result) -> None:
        states.added(result)
        observer.trial_found(result)
        watch.added(result)

    compiles = checked.machine.compiles
    for todo in due:
        trials = trials_of_round(store, todo)
        placement = place(trials, todo, checked.machine)
        observer.started(todo, len(trials) - len(store.missing(trials)), placement.words)
        if todo and compiles:
            observer.noticed(
                f"The first training of {store.experiment.model} in {placement.precision} on this "
                "machine begins with compiling its code, which takes 10 to 40 s of a core and is "
                "kept."
            )
            compiles = False
        sharing = Sharing(store, claims, todo, observer, found)
        while left := sharing.left():
            running = placement.run(
                left, dataset, observer, checked.probes, states.keeping, sharing.take
            )
            with closing(running) as results:
                for result in results:
                    with uninterrupted():
                        store.add(result)
                        sharing.stored(result)
                        states.added(result)
                    observer.trial_ended(result)
                    for sentence in result.notices:
                        observer.noticed(sentence)
                    watch.added(result)
                    looked.added(result)
    for sentence in looked.sentences():
        observer.noticed(sentence)


def check_outcome(comparison: Comparison) -> None:
    """Raise `EveryTrialFailed` if so, since there is nothing to compare."""
    results = comparison.analysis.all_results
    if results and all(result.status == "failed" for result in results):
        raise EveryTrialFailed(comparison, what_went_wrong(results[0].error))
