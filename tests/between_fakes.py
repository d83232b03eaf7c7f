"""Made-up experiments to measure against each other, by what a test says that trials left."""

from report_fakes import FIXED, MACHINE, make_experiment, make_facts

from normscope.analysis.sides import Both, Side
from normscope.experiment import EpochRecord, Request, Result
from normscope.experiment.plan import plan

DAY = "2026-01-01T00:00:00+00:00"


def asked(experiment, seeds=None, results_before=0, design=FIXED, **more):
    """One time that seeds of an experiment were asked for: all of them, unless it is said."""
    count = seeds or experiment.seeds
    return Request(
        date=DAY, command="x", norms=experiment.norms, design=design, seeds=count,
        results_before=results_before, **more,
    )  # fmt: skip


def ended(trial, outcome, loss=0.5, environment=MACHINE):
    """What a trial left: `outcome` is its accuracy in percent, or a status without one."""
    status = outcome if isinstance(outcome, str) else "finished"
    last = epoch(outcome if status == "finished" else 10.0, loss)
    return Result(
        trial=trial, status=status, history=() if status == "failed" else (last,),
        environment=environment, started=DAY, seconds=1.0,
    )  # fmt: skip


def epoch(percent, loss=0.5):
    return EpochRecord(1, loss, percent, loss, percent, 0.01, 1.0, 1.0)


def make_side(outcomes, experiment=None, requests=None, facts=None, loss=0.5, change=None):
    """An experiment by what its trials left: a list by norm, in the order of the seeds.

    None is a trial that was not run. With several batch sizes the lists are by norm and size.
    """
    norms = tuple(dict.fromkeys(key if isinstance(key, str) else key[0] for key in outcomes))
    if experiment is None:
        experiment = make_experiment(norms, len(next(iter(outcomes.values()))))
    places = {seed: place for place, seed in enumerate(experiment.seed_numbers)}
    results = []
    for trial in plan(experiment):
        key = trial.norm if trial.norm in outcomes else (trial.norm, trial.recipe.batch_size)
        outcome = outcomes[key][places[trial.seed]]
        if outcome is not None:
            environment = change(trial) if change else MACHINE
            results.append(ended(trial, outcome, loss, environment))
    return Side.of(experiment, requests or [asked(experiment)], facts or make_facts(), results)


def make_both(a, b, **of_b):
    """Two experiments by what their trials left; see `make_side`. Their losses differ."""
    return Both(make_side(a), make_side(b, **{"loss": 0.6, **of_b}))
