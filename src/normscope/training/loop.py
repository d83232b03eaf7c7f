"""The training loop, of one trial and of a fleet."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict

import torch
from torch import nn

from normscope.experiment import EpochRecord, Recipe
from normscope.models.own import lending_of
from normscope.training.checkpoints import Keeper, Unfit, keeping_nothing
from normscope.training.memory import peak_memory_mib
from normscope.training.packing import Packed, Tree
from normscope.training.split import Split, Splits
from normscope.training.steps import DeviceSteps, EagerSteps, Steps, by_member, losses

# What evaluation computes at once: pixels, as of 1000 images of 32x32. It only bounds memory.
EVALUATION_PIXELS = 1000 * 32 * 32
# A device is asked so seldom whether the losses are finite, since it has to finish first.
STEPS_UNWATCHED = 50


class Diverged(Exception):
    """The loss stopped being finite."""


class Looking:
    """Looks at a network while it trains, and changes nothing; this one looks at nothing."""

    def __call__(self, step: Steps, taken: int) -> None:
        """Look after so many steps."""

    def state(self) -> Tree:
        """What was seen so far."""
        return None

    def put_back(self, state: Tree) -> None:
        """Go on from what was seen before."""


def fit(
    model: nn.Module,
    splits: Splits,
    recipe: Recipe,
    order: torch.Generator,
    on_epoch: Callable[[EpochRecord], None],
    augment: Sequence[torch.Generator] = (),
) -> torch.Tensor:
    """Train `model` in place by `recipe`; return the final test logits, (N_test, num_classes).

    `order` draws a new permutation of the training images for every epoch; `augment` is a generator
    on the device of the images, alone in a list, for a recipe that augments them. `on_epoch` is
    called with each epoch's record. Raises `Diverged` when a loss is not finite, which is noticed
    within `STEPS_UNWATCHED` steps.
    """
    (outcome,) = fit_fleet(
        model, splits, recipe, [order], lambda member, record: on_epoch(record), augment
    )
    if isinstance(outcome, Diverged):
        raise outcome
    return outcome


def fit_fleet(
    model: nn.Module,
    splits: Splits,
    recipe: Recipe,
    orders: Sequence[torch.Generator],
    on_epoch: Callable[[int, EpochRecord], None],
    augment: Sequence[torch.Generator] = (),
    looking: Looking | None = None,
    keeper: Keeper | None = None,
) -> list[torch.Tensor | Diverged]:
    """Train the M = ``len(orders)`` members of a joined model; what `fit` does is the case M = 1.

    The model turns x (N, M*C, H, W) into logits (N, M*K). Each member sees the images in its own
    order, augmented by a generator of its own, and its loss depends on nothing of the others. Where
    the recipe averages the network, the average is tested, and stays in the model. `on_epoch` is
    told of each member's epoch; seconds are a member's share. `looking` is called before the first
    step and after each one, with those taken, and must change nothing; its seconds do not count.
    Returns the test logits of each member, or why it diverged; a member that diverged is told of no
    more, and the others go on.

    If `keeper` finds the state of an earlier try, the training goes on from it, and `on_epoch` is
    first told of the epochs before. Raises `Unfit`, before that, if the state does not fit.
    """
    with closing(steps_for(model, splits.train, recipe, len(orders), augment)) as step:
        training = Training(
            step, splits.test, orders, on_epoch, looking or Looking(), keeper or keeping_nothing()
        )
        training.run()
        step.end()
    return training.outcomes


def steps_for(
    model: nn.Module,
    train: Split,
    recipe: Recipe,
    members: int,
    augment: Sequence[torch.Generator],
) -> Steps:
    """What takes the steps of a training on the device of its images."""
    kind = DeviceSteps if train.device.type == "cuda" and may_be_replayed(model) else EagerSteps
    return kind(model, train, recipe, members, augment)


def may_be_replayed(model: nn.Module) -> bool:
    """Whether each step of a model is the same operations on other numbers.

    A user's network may do something else in every step, by what Python draws for example.
    """
    return not any(lending_of(layer) for layer in model.modules())


class Training:
    """A training where it stands: in `epoch`, counted from 1, after `taken` steps of it.

    `outcomes` are the test logits of each member after the last epoch, (N_test, K), or why it
    diverged. The arguments are those of `fit_fleet`.
    """

    def __init__(
        self,
        step: Steps,
        test: Split,
        orders: Sequence[torch.Generator],
        on_epoch: Callable[[int, EpochRecord], None],
        looking: Looking,
        keeper: Keeper,
    ):
        self.step, self.test, self.orders = step, test, orders
        self.on_epoch, self.looking, self.keeper = on_epoch, looking, keeper
        self.members, self.epochs = len(orders), step.recipe.epochs
        self.per_epoch = step.recipe.steps_per_epoch(len(step.train))
        self.epoch, self.taken = 1, 0
        self.outcomes: list[torch.Tensor | Diverged] = [torch.empty(0)] * self.members
        self._order_states = [order.get_state() for order in orders]  # as the epoch began
        self._watch = _Stopwatch()  # of the epoch's steps
        self._told: list[tuple[int, EpochRecord]] = []

    def run(self) -> None:
        """Train from where it stands to the end, or until all members have diverged."""
        self._begin()
        with self.keeper.postponing():
            while self.epoch <= self.epochs and not self._all_diverged():
                self._take_steps()
                if not self._all_diverged():
                    self._end_epoch()
                if not self._all_diverged():
                    self._keep_if_due()

    @property
    def steps_taken(self) -> int:
        """Since the training began."""
        return (self.epoch - 1) * self.per_epoch + self.taken

    def _begin(self) -> None:
        state = self.keeper.found()
        if state is None:
            self.looking(self.step, 0)
            return
        try:
            self._put_back(state)
        except Exception as error:  # its parts are those of another version, or of another network
            raise Unfit(f"it does not fit ({type(error).__name__}: {error})") from error
        for member, record in self._told:
            self.on_epoch(member, record)

    def _take_steps(self) -> None:
        """Those of the epoch that are left."""
        train, step = self.step.train, self.step
        permutations = torch.stack([torch.randperm(len(train), generator=o) for o in self.orders])
        batches = permutations.to(train.device).split(step.recipe.batch_size, dim=1)
        step.model.train()
        with self._watch.running():
            for index in batches[self.taken :]:
                step(index)
                self.taken += 1
                with self._watch.standing():
                    self.looking(step, self.steps_taken)
                if self.steps_taken % STEPS_UNWATCHED == 0:
                    self._note_divergence(step.are_finite())
                    if self._all_diverged():
                        return
                self._keep_if_due()
            step.wait()

    def _end_epoch(self) -> None:
        """Add up what the steps have found, test the network, and go to the next epoch."""
        before_test = self.keeper.snapshot(self._state)
        loss_sums, right = self.step.totals()
        self._note_divergence([math.isfinite(loss) for loss in loss_sums])
        if self._all_diverged():
            return
        started = time.perf_counter()
        with self.step.as_tested():
            test_logits = evaluate_fleet(
                self.step.model, self.test, self.members, lambda: self._stop_if_asked(before_test)
            )
        tested = _scores(test_logits, self.test.labels.expand(self.members, -1))
        test_seconds = time.perf_counter() - started
        for m, (test_loss, test_right) in enumerate(zip(*tested, strict=True)):
            if isinstance(self.outcomes[m], Diverged):
                continue
            if not math.isfinite(test_loss):
                reason = f"the loss of test images was not finite in epoch {self.epoch}"
                self.outcomes[m] = Diverged(reason)
                continue
            self.outcomes[m] = test_logits[m]
            self._tell(
                m,
                EpochRecord(
                    epoch=self.epoch,
                    train_loss_nats=loss_sums[m] / len(self.step.train),
                    train_accuracy_percent=100 * right[m] / len(self.step.train),
                    test_loss_nats=test_loss,
                    test_accuracy_percent=100 * test_right / len(self.test),
                    learning_rate=self.step.learning_rate,
                    train_seconds=self._watch.seconds() / self.members,
                    test_seconds=test_seconds / self.members,
                ),
            )
        self.epoch, self.taken = self.epoch + 1, 0
        self._order_states = [order.get_state() for order in self.orders]
        self._watch = _Stopwatch()

    def _tell(self, member: int, record: EpochRecord) -> None:
        self._told.append((member, record))
        self.on_epoch(member, record)

    # -- divergence --------------------------------------------------------------------------------

    def _note_divergence(self, are_finite: Sequence[bool]) -> None:
        of = self.epochs * self.per_epoch
        for m, is_finite in enumerate(are_finite):
            if not is_finite and not isinstance(self.outcomes[m], Diverged):
                self.outcomes[m] = Diverged(
                    f"the loss was not finite in epoch {self.epoch}, by step {self.steps_taken:,} "
                    f"of {of:,}"
                )

    def _all_diverged(self) -> bool:
        return all(isinstance(outcome, Diverged) for outcome in self.outcomes)

    # -- checkpoints -------------------------------------------------------------------------------

    def _keep_if_due(self) -> None:
        if self.keeper.is_due():
            self.step.wait()  # what it still computes is no part of the keeping
            with self._watch.standing():
                self.keeper.keep(self.keeper.snapshot(self._state))

    def _stop_if_asked(self, before_test: Packed | None) -> None:
        """In the midst of a test, which may draw random numbers: it will be begun again."""
        if self.keeper.is_asked_to_stop():
            self.keeper.keep(before_test)

    def _state(self) -> Tree:
        is_over = self.epoch > self.epochs
        return {
            "epoch": self.epoch,
            "taken": self.taken,
            "orders": self._order_states,
            "seconds": self._watch.seconds(),
            "told": [(member, asdict(record)) for member, record in self._told],
            "diverged": [str(o) if isinstance(o, Diverged) else None for o in self.outcomes],
            "logits": [o for o in self.outcomes if torch.is_tensor(o)] if is_over else [],
            "steps": self.step.state(),
            "looking": self.looking.state(),
        }

    def _put_back(self, state: Tree) -> None:
        self.step.put_back(state["steps"])
        self.looking.put_back(state["looking"])
        self.epoch, self.taken = state["epoch"], state["taken"]
        self._order_states = state["orders"]
        for order, its_state in zip(self.orders, self._order_states, strict=True):
            order.set_state(its_state)
        self._watch = _Stopwatch(state["seconds"])
        self._told = [(member, EpochRecord(**record)) for member, record in state["told"]]
        logits = iter(state["logits"])  # there are none before the last epoch is over
        self.outcomes = [
            next(logits, torch.empty(0)) if reason is None else Diverged(reason)
            for reason in state["diverged"]
        ]


class _Stopwatch:
    """Seconds of work: those in which it is `running`, and not `standing` meanwhile."""

    def __init__(self, before: float = 0.0):
        self._before = before
        self._since: float | None = None

    def seconds(self) -> float:
        if self._since is None:
            return self._before
        return self._before + time.perf_counter() - self._since

    @contextmanager
    def running(self) -> Iterator[None]:
        self._since = time.perf_counter()
        try:
            yield
        finally:
            self._before, self._since = self.seconds(), None

    @contextmanager
    def standing(self) -> Iterator[None]:
        was_running = self._since is not None
        self._before, self._since = self.seconds(), None
        try:
            yield
        finally:
            self._since = time.perf_counter() if was_running else None


def _scores(logits: torch.Tensor, labels: torch.Tensor) -> tuple[list[float], list[int]]:
    """Mean loss and number of right answers of each member, from (M, N, K) and (M, N)."""
    right = (logits.argmax(dim=2) == labels).sum(dim=1)
    return losses(logits, labels).mean(dim=1).tolist(), right.tolist()


def evaluate(model: nn.Module, split: Split) -> torch.Tensor:
    """Logits of every image of a split, in evaluation mode: shape (N, num_classes)."""
    return evaluate_fleet(model, split, members=1)[0]


def evaluate_fleet(
    model: nn.Module, split: Split, members: int, before_batch: Callable[[], None] = lambda: None
) -> torch.Tensor:
    """Logits of every member for every image of a split, in evaluation mode: shape (M, N, K)."""
    model.eval()
    everything = torch.arange(len(split), device=split.device).expand(members, -1)
    height, width = split.images_NHWC.shape[1:3]
    at_once = max(1, EVALUATION_PIXELS // (height * width))
    batches = []
    with torch.inference_mode():
        for index in everything.split(at_once, dim=1):
            before_batch()
            batches.append(by_member(model(split.batch(index)[0]), members))
        return torch.cat(batches, dim=1)


def step_memory_mib(
    model: nn.Module, train: Split, recipe: Recipe, members: int = 1
) -> float | None:
    """The peak memory of a training step, a member's share: MiB beside weights and data.

    Takes the forward and the backward pass of one batch. That changes running statistics and draws
    random numbers, so it is for a model whose training is over. None as in `peak_memory_mib`.
    """
    images = min(recipe.batch_size, len(train))
    index = torch.arange(images, device=train.device).expand(members, -1)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.train()

    def pass_through() -> None:
        x_NCHW, labels = train.batch(index)
        smoothing = recipe.label_smoothing
        loss = losses(by_member(model(x_NCHW), members), labels, smoothing).mean()
        torch.autograd.grad(loss, parameters, materialize_grads=True)

    peak = peak_memory_mib(pass_through, train.device)
    return None if peak is None else peak / members
