"""One trial, or a fleet of them: from the description to the result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TypeVar

import numpy as np
import torch

from normscope.data import Dataset
from normscope.experiment import (
    Environment,
    EpochRecord,
    Keeping,
    Predictions,
    ProbePlan,
    Probes,
    Recipe,
    Result,
    Status,
    Trial,
)
from normscope.models.layers import set_dropout
from normscope.models.making import Made, make_network, original_of
from normscope.norms import GIVEN, asked
from normscope.training.checkpoints import Keeper, Unfit, keeping_nothing
from normscope.training.collapse import why_collapsed
from normscope.training.device import repeatable_cudnn
from normscope.training.environment import environment
from normscope.training.failure import reason_of
from normscope.training.fleet import join, separate
from normscope.training.forward import kernels_for, plan_kernels, with_fastest_forward
from normscope.training.loop import Diverged, fit_fleet, step_memory_mib
from normscope.training.probing import Built, Probing
from normscope.training.regroup import regrouped
from normscope.training.seeds import generator
from normscope.training.split import Split, Splits

Network = TypeVar("Network", bound=torch.nn.Module)

NO_PROBES = ProbePlan()


def run_trial(
    trial: Trial,
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    probes: ProbePlan = NO_PROBES,
    keeping: Keeping | None = None,
) -> Result:
    """Train and test one network. Failure is data: what goes wrong is in the result's status.

    The same trial gives the same bits on the same device with the same number of threads, whatever
    probes are taken, and wherever it was stopped meanwhile.
    """
    (result,) = run_fleet(
        [trial], dataset, device, lambda trial, record: on_epoch(record), probes, keeping
    )
    return result


def run_fleet(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[Trial, EpochRecord], None] = lambda trial, record: None,
    probes: ProbePlan = NO_PROBES,
    keeping: Keeping | None = None,
) -> list[Result]:
    """Train and test the networks of trials that differ in nothing but the seed, all at once.

    Each is trained as it would be alone, but for the last bits of its sums. What raises is the
    outcome of all of them; a member that diverges or collapses leaves the others alone. With
    `keeping` their state is kept while they train, and they go on from the one that an earlier try
    left; `on_epoch` is then told of the epochs before, too.
    """
    plan = NO_PROBES if trials[0].validation else probes
    here = environment(device, trials[0].recipe.precision, len(trials))
    keeper = Keeper.of(keeping, trials, here, plan)
    histories: list[list[EpochRecord]] = [[] for _ in trials]

    def keep(member: int, record: EpochRecord) -> None:
        histories[member].append(record)
        try:
            on_epoch(trials[member], record)
        except Exception as error:
            raise _ObserverFailed from error

    try:
        outcomes = _train(trials, dataset, device, keep, histories, plan, keeper)
    except _ObserverFailed as failure:  # no outcome of a trial: a closed terminal, a full disk
        raise failure.__cause__ or failure from None
    except Exception as error:  # whatever a model or a device raises is the trials' outcome
        outcomes = [_Outcome("failed", reason_of(error, trials, dataset))] * len(trials)
    seconds = keeper.seconds / len(trials)
    return [
        Result(
            trial=trial,
            status=outcome.status,
            history=tuple(history),
            error=outcome.error,
            started=keeper.started,
            seconds=seconds,
            environment=outcome.where(here),
            peak_memory_mib=outcome.peak_memory_mib,
            predictions=None if trial.validation else outcome.predictions,
            weights=None if trial.validation else outcome.weights,
            probes=outcome.probes,
            notices=tuple(keeper.notices) if trial is trials[0] else (),  # each is said once
        )
        for trial, history, outcome in zip(trials, histories, outcomes, strict=True)
    ]


@dataclass(frozen=True)
class _Outcome:
    """What training leaves of one trial."""

    status: Status
    error: str | None = None
    predictions: Predictions | None = None
    weights: dict[str, np.ndarray] | None = None
    peak_memory_mib: float | None = None
    probes: Probes | None = None
    kernels: str | None = None

    def where(self, here: Environment) -> Environment:
        """Where it was trained, with what computed it if that is known."""
        return here.model_copy(update={"kernels": self.kernels}) if self.kernels else here


def _train(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[int, EpochRecord], None],
    histories: Sequence[Sequence[EpochRecord]],
    probes: ProbePlan,
    keeper: Keeper,
) -> list[_Outcome]:
    """The networks of the trials, built, joined, trained and tested.

    `on_epoch` keeps the records of each trial in `histories`, by which its outcome is judged. If
    the state that the keeper has found does not fit the networks, they are built anew.
    """
    try:
        return _train_once(trials, dataset, device, on_epoch, histories, probes, keeper)
    except Unfit as error:  # which is known before anything is told
        keeper.leave_aside(error)
        return _train_once(trials, dataset, device, on_epoch, histories, probes, keeper)


def _train_once(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[int, EpochRecord], None],
    histories: Sequence[Sequence[EpochRecord]],
    probes: ProbePlan,
    keeper: Keeper,
) -> list[_Outcome]:
    recipe = trials[0].recipe
    splits = Splits.of(dataset.of(trials[0]), device)

    def make(some: Sequence[Trial], train: bool) -> list[Built]:
        built = [build(trial, splits.train, len(dataset.class_names)) for trial in some]
        if train:
            twins = _fit(
                some, built, splits, lambda member, record: None, NO_PROBES, keeping_nothing()
            )
            for trial, logits in zip(some, twins.logits, strict=True):
                if isinstance(logits, Diverged):
                    raise RuntimeError(f"the twin {trial.id} diverged, so it orders no channels")
        return built

    # Weights that are kept are in the order that was found when their training began.
    if asked(trials[0].norm).order == GIVEN or keeper.has_found:
        built = make(trials, train=False)
    else:
        built = regrouped(trials, splits.train, make)
    fitted = _fit(trials, built, splits, on_epoch, probes, keeper)
    weights = [_weights(each.model) for each in built]
    with repeatable_cudnn():
        memory = step_memory_mib(fitted.network, splits.train, recipe, len(trials))
    kernels = _kernels(built, splits.train, recipe)
    return [
        replace(
            _Outcome("diverged", str(logits))
            if isinstance(logits, Diverged)
            else _trained(recipe, splits.train, history, _predictions(logits), arrays, memory),
            probes=found,
            kernels=kernels,
        )
        for arrays, logits, found, history in zip(
            weights, fitted.logits, fitted.probes, histories, strict=True
        )
    ]


@dataclass(frozen=True)
class _Fitted:
    """What training leaves of networks: their joined one, test logits of each, and its probes."""

    network: torch.nn.Module
    logits: Sequence[torch.Tensor | Diverged]
    probes: Sequence[Probes | None]


def _fit(
    trials: Sequence[Trial],
    built: Sequence[Built],
    splits: Splits,
    on_epoch: Callable[[int, EpochRecord], None],
    probes: ProbePlan,
    keeper: Keeper,
) -> _Fitted:
    """Train networks in place, joined where there are several."""
    device, recipe = splits.train.device, trials[0].recipe
    models = [each.model for each in built]
    orders = [generator(trial.seed, "order") for trial in trials]
    augment = [generator(trial.seed, "augment", device) for trial in trials]
    joined = models[0] if len(models) == 1 else in_channels_last(join(models))
    network = with_fastest_forward(joined, device, recipe.precision, len(models))

    def give_back() -> None:
        if len(models) > 1:
            separate(joined, models)

    probing = Probing(probes, trials, built, splits, give_back)
    with repeatable_cudnn():
        logits = fit_fleet(network, splits, recipe, orders, on_epoch, augment, probing, keeper)
        give_back()
    return _Fitted(network, logits, probing.outcomes())


def _kernels(built: Sequence[Built], train: Split, recipe: Recipe) -> str:
    """What computes the networks here, whether they were trained by this process or an earlier."""
    device = train.device
    if len(built) > 1:
        return kernels_for(device, len(built))
    _, height, width, channels = train.images_NHWC.shape
    shape = channels, height, width
    return plan_kernels(built[0].model, device, recipe.precision, shape).kernels


def _trained(
    recipe: Recipe,
    train: Split,
    history: Sequence[EpochRecord],
    predictions: Predictions,
    weights: dict[str, np.ndarray],
    memory: float | None,
) -> _Outcome:
    """The outcome of a trial that was trained to the end: it has finished unless it collapsed."""
    reason = why_collapsed(
        train_accuracy_percent=history[-1].train_accuracy_percent,
        images=len(train),
        largest_class=int(train.labels.bincount().max()),
        steps=recipe.epochs * recipe.steps_per_epoch(len(train)),
    )
    status = "finished" if reason is None else "collapsed"
    return _Outcome(status, reason, predictions, weights, memory)


def build_model(trial: Trial, train: Split, num_classes: int) -> torch.nn.Module:
    """The network of `build` alone."""
    return build(trial, train, num_classes).model


def build(trial: Trial, train: Split, num_classes: int) -> Built:
    """The trial's network before training on a split, on its device, in the channels_last layout.

    What a layer can only know there, it is told: the size of its map, by a first image; if it has
    `run_steps`, the steps of the whole training; if it has a `generator`, the stream to draw from.
    """
    device = train.device
    init = generator(trial.seed, "init")
    dropout = generator(trial.seed, "dropout", device)
    with torch.random.fork_rng(devices=[]):  # a norm of a user's own may draw its first values
        torch.manual_seed(generator(trial.seed, "own").initial_seed())
        made = make_network(trial.model, trial.norm, num_classes, init, dropout)
    built = _ready(made, train)
    if trial.recipe.dropout is not None:
        set_dropout(built.model, trial.recipe.dropout)
    noise = generator(trial.seed, "noise", device)
    for layer in (layer for norm in made.norms for layer in norm.modules()):
        if hasattr(layer, "run_steps"):
            steps = trial.recipe.epochs * trial.recipe.steps_per_epoch(len(train))
            layer.run_steps = steps  # pyright: ignore
        if hasattr(layer, "generator"):
            layer.generator = noise  # pyright: ignore
    return built


def build_as_it_is(trial: Trial, train: Split, num_classes: int) -> Built:
    """The network of a trial likewise, if it is a user's own, with the norm layers that it has."""
    init, device = generator(trial.seed, "init"), train.device
    dropout = generator(trial.seed, "dropout", device)
    return _ready(original_of(trial.model, num_classes, init, dropout), train)


def _ready(made: Made, train: Split) -> Built:
    """The network where it will train, after a first image."""
    model = made.network.to(train.device).eval()
    image, _ = train.batch(torch.zeros(1, dtype=torch.long, device=train.device))
    norms = norms_of_maps(model, made.norms, image)
    return Built(in_channels_last(model.train()), norms)


@torch.no_grad()
def norms_of_maps(
    model: torch.nn.Module, norms: Sequence[torch.nn.Module], image: torch.Tensor
) -> list[torch.nn.Module]:
    """The norm layers of maps (N, C, H, W), in the order in which the model reaches them."""
    reached: dict[torch.nn.Module, None] = {}

    def note(layer: torch.nn.Module, inputs: tuple) -> None:
        if inputs[0].dim() == 4:
            reached[layer] = None

    hooks = [layer.register_forward_pre_hook(note) for layer in norms]
    model(image)
    for hook in hooks:
        hook.remove()
    return list(reached)


def in_channels_last(network: Network) -> Network:
    """The network with its weights in the layout in which its images come."""
    # torch's type stubs do not know this argument.
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """A copy: what is done with the model afterwards leaves it alone."""
    return {name: value.numpy(force=True).copy() for name, value in model.state_dict().items()}


def _predictions(logits: torch.Tensor) -> Predictions:
    largest = np.finfo(np.float16).max
    return Predictions(
        classes=logits.argmax(dim=1).numpy(force=True),
        logits=logits.numpy(force=True).clip(-largest, largest).astype(np.float16),
    )


class _ObserverFailed(Exception):
    """Whoever was told of an epoch raised; the reason is the cause."""


def lost_trial(
    device: torch.device, trial: Trial, reason: str, history: Sequence[EpochRecord]
) -> Result:
    """The failed result of a trial whose process ended without leaving one."""
    return Result(
        trial=trial,
        status="failed",
        history=tuple(history),
        error=reason,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=sum(record.train_seconds + record.test_seconds for record in history),
        environment=environment(device, trial.recipe.precision, fleet=1),
    )
