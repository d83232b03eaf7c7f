"""What is refused before any work, and what a user is told of it: nothing here writes a file.

torch takes seconds to import. It is imported when all that can be told without it has been checked,
so that a wrong name is told at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from normscope.data import DATASETS, DatasetSource
from normscope.data.places import FOLDERS
from normscope.errors import UsageError, lookup
from normscope.experiment import LEAST_SEEDS, Design, Experiment, Keeping, ProbePlan, Source
from normscope.files import user_path
from normscope.models import MODELS, PACKAGED_MODELS
from normscope.norms import NORMS, is_packaged, parse
from normscope.norms import asked as norm_asked_for
from normscope.observers import Observer, trackers_named
from normscope.own import OwnCode, loading
from normscope.probes import probes_named
from normscope.store import Store
from normscope.store.folder import RUNS, ExperimentFolder
from normscope.store.header import Header
from normscope.study.own import know_model, with_own_norms
from normscope.study.own_images import named, notices_on_images, under_kept_name
from normscope.words import counted

if TYPE_CHECKING:
    from normscope.executors.ray import OnRay
    from normscope.models.making import Made
    from normscope.study.placement import Machine

NO_PROBES = ProbePlan()


@dataclass(frozen=True)
class Checked:
    """An experiment that may be run.

    `asked` is what the user wants now, with the seeds that its design begins with; `experiment` is
    that merged with what the folder holds, and `kept` the folder's header, None if it is new.
    `notices` are sentences to be told before the work. The state of trials that train is kept every
    `checkpoint_s` seconds; 0: never. `seeds_by_time`: a fixed design that has as many seeds as its
    budget of time has room for; see `budget.fitted`. `log` names trackers.
    """

    folder: Path
    asked: Experiment
    experiment: Experiment
    kept: Header | None
    design: Design
    budget_s: float | None
    machine: "Machine"
    data_dir: Path | None
    notices: tuple[str, ...]
    probes: ProbePlan = NO_PROBES
    checkpoint_s: float = Keeping.every_s
    seeds_by_time: bool = False
    log: tuple[str, ...] = ()


def check(
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: "str | OnRay | None" = None,
    design: Design | None = None,
    budget_s: float | None = None,
    probes: ProbePlan | Sequence[str] = NO_PROBES,
    checkpoint_s: float = Keeping.every_s,
    observer: Observer | None = None,
    log: str | Sequence[str] = (),
) -> Checked:
    """Everything about a request that can be told without data; raises `UsageError` in one line.

    Of images of the user's own the data is looked at. The arguments are those of
    `normscope.compare`.
    """
    check_types(experiment, design, budget_s)
    probes, log = checked_probes(probes), trackers_named(log)
    if not checkpoint_s >= 0:
        raise UsageError(f"checkpoint_s must be 0 seconds, for never, or more, not {checkpoint_s}")
    check_no_import()
    data_dir = user_path(data_dir) if data_dir else None
    experiment = named(experiment, data_dir, observer)
    folder = folder_of(experiment, out)
    kept = kept_header(folder)
    if kept is not None:
        experiment = under_kept_name(experiment, kept.experiment)
    know_model(experiment, folder)
    experiment, edits = with_own_norms(experiment, folder, kept)
    check_names(experiment)
    check_data_dir(experiment, data_dir)
    design = design or kept_design(folder)
    asked = with_first_seeds(experiment, design)
    if kept and budget_s is not None and "seeds" not in asked.model_fields_set:
        # A budget limits what is planned; more seeds after a look would be another design.
        mine = kept.experiment
        asked = asked.model_copy(update={"seeds": mine.seeds, "own_seeds": mine.own_seeds})
    # Until decided, the seeds follow from what the folder holds when the work begins.
    merged = merge(folder, kept, experiment if kept and design.until_decided else asked)
    check_design(merged, design, budget_s)
    check_folds(folder, kept, merged)
    check_sizes(merged, DATASETS[merged.dataset])
    own = own_names(merged)
    check_own_results(folder, merged, own)
    machine = machine_for(device, workers, executor)
    machine.check(merged, own)
    made = check_fits(merged, DATASETS[merged.dataset])
    machine = machine.knowing(
        {norm: each.network for norm, each in made.items()},
        merged.recipe.precision,
        DATASETS[merged.dataset].image_shape,
    )
    notices = (
        *edits,
        *notices_on_images(merged),
        *notices_on_test_set(merged, DATASETS[merged.dataset], design),
        *notices_on(merged, experiment, kept),
        *notices_on_model(merged.model, made, machine),
        *notices_on_probes(folder, probes),
    )
    return Checked(
        folder, asked, merged, kept, design, budget_s, machine, data_dir, notices, probes,
        checkpoint_s, log=log,
    )  # fmt: skip


def checked_again(checked: Checked) -> Checked:
    """The same request, to a folder that another process has changed since it was checked.

    Raises `UsageError` if the two do not go together.
    """
    folder, kept = checked.folder, kept_header(checked.folder)
    asked, _ = with_own_norms(checked.asked, folder, kept)
    merged = merge(folder, kept, asked)
    check_design(merged, checked.design, checked.budget_s)
    check_folds(folder, kept, merged)
    own = own_names(merged)
    check_own_results(folder, merged, own)
    checked.machine.check(merged, own)
    return replace(checked, experiment=merged, kept=kept)


def machine_for(
    device: str, workers: int | None, executor: "str | OnRay | None" = None
) -> "Machine":
    """The device "auto", "cpu" or "cuda", how many trials at once, and who runs them.

    Raises `UsageError` for what is not there or does not go together, and for no trial at once.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be 1 or more, not {workers}")
    from normscope.study.placement import Machine

    return Machine.chosen(device, workers, executor)


def folder_of(experiment: Experiment, out: Path | str | None) -> Path:
    """Where an experiment is kept: `out`, or a folder named after it in ``runs/``."""
    if out:
        return user_path(out)
    check_types(experiment)
    return RUNS / named(experiment).slug


def check_types(
    experiment: object, design: object | None = None, budget_s: object | None = None
) -> None:
    """Raise `UsageError` if one is of another type, such as the name of a data set."""
    if not isinstance(experiment, Experiment):
        raise UsageError(
            f"compare takes an Experiment, not {experiment!r}; "
            'write normscope.compare(normscope.Experiment(dataset="shapes"))'
        )
    if design is not None and not isinstance(design, Design):
        raise UsageError(
            f"design must be a Design, not {design!r}; write normscope.Design(until_decided=True)"
        )
    if budget_s is not None and not isinstance(budget_s, int | float):
        raise UsageError(f"budget_s must be a number of seconds, not {budget_s!r}")


def checked_probes(probes: ProbePlan | Sequence[str]) -> ProbePlan:
    """The plan with the names of all its probes; raises `UsageError` for what is none."""
    if isinstance(probes, str):
        raise UsageError(f"probes must be a list of names, not {probes!r}")
    plan = probes if isinstance(probes, ProbePlan) else ProbePlan(tuple(probes))
    if plan.epochs is not None and not all(epoch >= 0 for epoch in plan.epochs):
        raise UsageError("probes are taken from epoch 0 on, which is the untrained network")
    if plan.images < 1:
        raise UsageError(f"probes need 1 test image or more, not {plan.images}")
    return replace(plan, names=probes_named(plan.names))


def check_no_import() -> None:
    """Raise `UsageError` if a file that is run to find a norm in it would train in turn."""
    if home := loading():
        raise UsageError(
            f"{home} is run again to find what is in it, and would compare again: put what it "
            'does beyond definitions below `if __name__ == "__main__":`'
        )


def check_names(experiment: Experiment) -> None:
    """Raise `UsageError`, listing the known names, if the experiment uses one that is unknown."""
    known = {**DATASETS, **dict.fromkeys(FOLDERS)}
    lookup(known, "data set", experiment.dataset, "a folder or file of images")
    lookup(MODELS, "model", experiment.model, "yours as net.py:build")
    for norm in experiment.norms:
        norm_asked_for(norm)


def check_data_dir(experiment: Experiment, data_dir: Path | None) -> None:
    """Raise `UsageError` if a folder of data is named for a data set that is made in memory."""
    if experiment.images is not None:
        return
    if data_dir is not None and DATASETS[experiment.dataset].make is not None:
        raise UsageError(
            f"{experiment.dataset} is made in memory and reads no --data-dir; name the data set in "
            f"{data_dir} with --dataset, or leave --data-dir out"
        )


def with_first_seeds(experiment: Experiment, design: Design) -> Experiment:
    """The experiment with the seeds that its design begins with.

    Raises `UsageError` if the experiment fixes its seeds and the design does not.
    """
    limited = "max_seeds" in design.model_fields_set
    if not design.until_decided and not limited:
        return experiment
    if "seeds" in experiment.model_fields_set:
        option = "--until-decided" if design.until_decided else "--max-seeds"
        raise UsageError(
            f"the experiment fixes its seeds (--seeds, or seeds in its file) and {option} does "
            "not; leave one out (--max-seeds limits what --until-decided and --budget add)"
        )
    if design.until_decided:
        return experiment.model_copy(update={"seeds": min(LEAST_SEEDS, design.max_seeds)})
    if design.max_seeds >= experiment.seeds:
        return experiment
    return experiment.model_copy(update={"seeds": design.max_seeds})


def check_design(experiment: Experiment, design: Design, budget_s: float | None) -> None:
    """Raise `UsageError` if there is nothing to decide, or a limit for what does not go on."""
    if design.until_decided and len(experiment.norms) < 2:
        raise UsageError("one norm leaves nothing to decide; name two or more in --norms")
    if design.until_decided and experiment.folds:
        raise UsageError(
            "--until-decided looks after every seed, which is valid for independent seeds alone: "
            "folds share training images; leave one of the two out"
        )
    limited = "max_seeds" in design.model_fields_set
    if limited and not design.until_decided and budget_s is None:
        raise UsageError("--max-seeds needs --until-decided or --budget, which add seeds")
    if design.winner_set and not design.until_decided:
        raise UsageError(
            "--winner-set needs --until-decided; without it no norm is dropped, and all pairs are "
            "compared anyway"
        )
    if budget_s is not None and not 0 < budget_s < float("inf"):
        raise UsageError(f"a budget of {budget_s:g} s is no time; write --budget 20m")


def check_folds(folder: Path, kept: Header | None, merged: Experiment) -> None:
    """Raise `UsageError` if folds were to be added after a look at those there are."""
    before = kept.experiment.seeds if kept else merged.seeds
    if merged.folds and merged.seeds > before and ExperimentFolder(folder).stored_trials():
        raise UsageError(
            f"{folder} was cross-validated with {before} seeds; more of them after a look at these "
            "would leave no valid interval: choose another folder with --out"
        )


def kept_header(folder: Path) -> Header | None:
    """What the folder holds; None if it holds no experiment.

    Raises `UsageError` if it is a file, and what `Store` raises, also for trials without a header.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; --out needs a folder")
    holds = Store.exists(folder) or ExperimentFolder(folder).stored_trials()
    return Store(folder).header if holds else None


def merge(folder: Path, kept: Header | None, asked: Experiment) -> Experiment:
    """The experiment that the folder would hold: its own, extended by what is asked for.

    Raises `UsageError` if the two differ in more than their size, or in their baseline.
    """
    if kept is None:
        return asked
    mine = kept.experiment
    if mine.model == asked.model and _edited(mine.model_source, asked.model_source):
        raise UsageError(
            f"{folder} holds trials of {mine.model} as it was before it was edited; choose another "
            "folder with --out"
        )
    if mine.dataset == asked.dataset and _edited(mine.images, asked.images):
        raise UsageError(
            f"{folder} holds trials on {mine.dataset} as it was before its images changed; choose "
            "another folder with --out"
        )
    if difference := mine.difference_to(asked):
        raise UsageError(
            f"{folder} holds another experiment ({difference}); choose another folder with --out"
        )
    if asked.baseline != mine.baseline and asked.baseline in mine.norms[1:]:
        raise UsageError(
            f"{folder} compares with {mine.baseline}, not {asked.baseline}: name "
            f"{mine.baseline} first in --norms, or choose another folder with --out"
        )
    return mine.extended_by(asked)


def _edited(before: Source | None, now: Source | None) -> bool:
    fingerprints = [source.fingerprint if source else None for source in (before, now)]
    return fingerprints[0] != fingerprints[1]


def kept_design(folder: Path) -> Design:
    """The alpha, margin and levels that a folder was last asked for, or the defaults."""
    if not Store.exists(folder) or not Store(folder).requests:
        return Design()
    last = Store(folder).requests[-1].design
    return Design(
        alpha=last.alpha, margin_points=last.margin_points, levels_percent=last.levels_percent
    )


def check_baseline(folder: Path, baseline: str) -> None:
    """Raise `UsageError` if the folder compares with another norm."""
    kept = Store(folder).experiment.baseline if Store.exists(folder) else baseline
    if kept != baseline:
        raise UsageError(
            f"{folder} compares with {kept}, not {baseline}; leave out --baseline, or choose "
            "another folder with --out"
        )


def check_sizes(experiment: Experiment, source: DatasetSource) -> None:
    """Raise `UsageError` if more images are asked for than there are, or a batch is too large."""
    if experiment.folds and experiment.folds > source.train_size + source.test_size:
        raise UsageError(f"{experiment.folds} folds are more than the images of the data set")
    for split, limit, size in (
        ("training", experiment.train_limit, source.train_size),
        ("test", experiment.test_limit, source.test_size),
    ):
        if limit is not None and limit > size:
            name = experiment.dataset
            raise UsageError(f"{limit} {split} images of {name} were asked for; there are {size}")
    (images, _), batch = sizes_of(experiment, source), max(experiment.batch_sizes)
    if experiment.protocol == "tuned":
        images -= images // 10  # what is held out
    if batch > images:
        raise UsageError(f"a batch of {batch} is larger than the training set of {images} images")


def sizes_of(experiment: Experiment, source: DatasetSource) -> tuple[int, int]:
    """How many images a trial is trained on, at least, and how many it is tested on."""
    if experiment.folds:
        every = source.train_size + source.test_size
        tested = -(-every // experiment.folds)
        return every - tested, tested
    return experiment.train_limit or source.train_size, experiment.test_limit or source.test_size


def check_fits(experiment: Experiment, source: DatasetSource) -> "dict[str, Made]":
    """The network with each of the norms; raises `UsageError` if one cannot be used in it."""
    from normscope.models.fit import check_fit

    images, _ = sizes_of(experiment, source)
    least_batch = min(images % size or size for size in experiment.batch_sizes)
    return {
        norm: check_fit(
            experiment.model,
            norm,
            source.num_classes,
            source.image_shape,
            least_batch,
            experiment.recipe.dropout,
        )
        for norm in experiment.norms
    }


def own_names(experiment: Experiment) -> list[str]:
    """The model and the norms that a script put into the package's tables without a source.

    In this process, or in another, so that they are not there any more.
    """
    own = [
        norm
        for norm in experiment.norms
        if not is_packaged(norm) and not isinstance(NORMS.get(parse(norm).name), OwnCode)
    ]
    model = MODELS.get(experiment.model)
    packaged = model is not None and model is PACKAGED_MODELS.get(experiment.model)
    if not packaged and not isinstance(model, OwnCode):
        own.insert(0, experiment.model)
    return own


def check_own_results(folder: Path, experiment: Experiment, own: list[str]) -> None:
    """Raise `UsageError` if stored results come from code of the user, which may have changed.

    A trial's id names a norm and a model; of the package's own it thereby names their code.
    """
    if not own or not Store.exists(folder):
        return
    for result in Store(folder).undamaged():
        used = [name for name in own if name in (result.trial.norm, result.trial.model)]
        if used and result.status != "failed":  # one that failed is tried again
            raise UsageError(
                f"{folder} holds results of {used[0]}, which is of your own program: whether it is "
                "still what was trained cannot be told, so they are not used again; give it "
                "another name, or choose another folder with --out"
            )


def notices_on_model(model: str, made: "Mapping[str, Made]", machine: "Machine") -> tuple[str, ...]:
    """Of a user's network: what becomes of its norm layers, and which run in fused passes."""
    swaps = {norm: each.conversion for norm, each in made.items() if each.conversion}
    notices = []
    for norm, conversion in swaps.items():
        left = [one for one in conversion.left if one not in conversion.kept]
        if left:
            names = ", ".join(name for one in left for name in one.names)
            notices.append(f"{model} keeps {names} with {norm}: {left[0].reason}.")
    fused = {norm: machine.fused_norms(made[norm].network) for norm in swaps}
    counts = [
        f"{norm} {n} of {len(made[norm].norms)}" for norm, n in fused.items() if n is not None
    ]
    if counts:
        notices.append(
            f"Norm layers of {model} in fused passes: {', '.join(counts)}; those outside of a "
            "plain nn.Sequential run by themselves."
        )
    return tuple(notices)


def notices_on_probes(folder: Path, probes: ProbePlan) -> tuple[str, ...]:
    """That stored trials are not trained again for the sake of probes, if there are any."""
    stored = ExperimentFolder(folder).stored_trials() if probes.names else []
    without = sum(not trial.probes.exists() for trial in stored)
    if not without:
        return ()
    return (
        f"{counted(without, 'stored trial')} without probes will not be trained again; "
        f"`normscope probe {folder}` looks into the networks as they were before and after "
        "training.",
    )


def notices_on_test_set(
    experiment: Experiment, source: DatasetSource, design: Design
) -> tuple[str, ...]:
    """That a single test image of the user's own is more than the margin."""
    _, tested = sizes_of(experiment, source)
    several = experiment.images is not None and len(experiment.norms) > 1
    limited = experiment.train_limit or experiment.test_limit  # which folds cannot have
    if experiment.folds or limited or not several or 100 / tested <= design.margin_points:
        return ()
    return (
        f"One of {tested} test images is {100 / tested:.1f} points, more than the margin of "
        f"{design.margin_points:g}: so few decide little. With --folds 5 every image is tested.",
    )


def notices_on(merged: Experiment, asked: Experiment, kept: Header | None) -> tuple[str, ...]:
    """What a user may not expect, in sentences; `asked` is what the user named."""
    notices = []
    if len(merged.norms) == 1:
        notices.append(
            f"{merged.norms[0]} is the only norm, so there is nothing to compare it with; "
            "name more in --norms."
        )
    if len(asked.norms) > 1 and asked.baseline != merged.baseline:
        notices.append(f"The folder compares with {merged.baseline}, not with {asked.baseline}.")
    if kept and "seeds" in asked.model_fields_set and kept.experiment.seeds > asked.seeds:
        notices.append(
            f"The folder holds {kept.experiment.seeds} seeds, which are all reported; "
            f"{asked.seeds} were asked for."
        )
    return tuple(notices)
