"""What a budget of time has room for, settled before anything is trained."""

import math
from dataclasses import replace

from normscope.errors import UsageError
from normscope.study.checks import Checked
from normscope.study.forecast import Forecast, forecast
from normscope.words import counted, duration

LEAST_EPOCHS = 3  # of a training that is cut short
LEAST_STEPS = 10  # of an epoch on fewer images


def fitted(checked: Checked) -> tuple[Checked, Forecast]:
    """The request with as many seeds as its budget of time has room for, and what it will take.

    A design until decided, seeds that were named, folds, a search for learning rates, and a folder
    that is there keep their seeds: more of them after a look would be another design. Raises
    `UsageError` if the seeds that it begins with do not fit; it says what would.
    """
    foreseen, budget_s = forecast(checked), checked.budget_s
    if budget_s is None or not foreseen.todo:
        return checked, foreseen
    in_one = checked.machine.executor == "fleet"  # which takes less than what is foreseen
    if foreseen.seconds > budget_s and not in_one:
        raise UsageError(_too_short(checked, foreseen, budget_s))
    seeds, allowed = checked.experiment.seeds, checked.design.max_seeds
    spare = max(0.0, budget_s - foreseen.seconds)
    room = seeds + int(spare / foreseen.seconds_per_seed)
    budget = f"The budget of {duration(budget_s)}"
    if _leaves_seeds_open(checked):
        most = max(seeds, min(room, allowed))
        planned = {"asked": checked.asked, "experiment": checked.experiment}
        planned = {name: experiment.with_seeds(most) for name, experiment in planned.items()}
        checked = replace(checked, seeds_by_time=True, **planned)
        foreseen = forecast(checked, foreseen.costs)
        words = (
            f"{budget} has room for {counted(most, 'seed')} of each norm, about "
            f"{duration(foreseen.seconds)}; if they take longer, there will be fewer."
        )
    elif checked.experiment.protocol == "tuned":
        words = f"{budget} includes the search for learning rates, however many rounds it takes."
    elif checked.design.until_decided:
        limit = f", of {allowed} at most" if allowed < room else ""
        words = f"{budget} has room for about {counted(room, 'seed')}{limit}."
    else:
        words = f"{budget} has room for what is to be trained: about {duration(foreseen.seconds)}."
    return checked, replace(foreseen, notices=(*foreseen.notices, words))


def _leaves_seeds_open(checked: Checked) -> bool:
    """Whether the number of seeds may follow from the time alone; a folder names its own."""
    named = "seeds" in checked.asked.model_fields_set
    drop_in = checked.experiment.protocol == "drop-in" and not checked.experiment.folds
    return drop_in and not (checked.design.until_decided or named)


def _too_short(checked: Checked, foreseen: Forecast, budget_s: float) -> str:
    """What does not fit, and what would: fewer epochs, fewer images too, or more time."""
    seeds = counted(checked.experiment.seeds, "seed")
    trials = counted(len(foreseen.todo), "trial")
    ways = [*_shorter(checked, foreseen, budget_s), f"--budget {_span(foreseen.seconds)}"]
    if checked.design.until_decided:
        ways.insert(-1, "leave out --until-decided")
    listed = ", or ".join(ways)
    return (
        f"the budget of {duration(budget_s)} is too short for {trials} ({seeds} of each norm), "
        f"which take about {duration(foreseen.seconds)} here; what would fit: {listed}"
    )


def _shorter(checked: Checked, foreseen: Forecast, budget_s: float) -> list[str]:
    """Options with which it would fit."""
    recipe, share = checked.experiment.recipe, 0.95 * budget_s / foreseen.seconds
    epochs, both = (max(1, int(recipe.epochs * part)) for part in (share, math.sqrt(share)))
    images = _round_down(foreseen.train_images * recipe.epochs * share / both)
    ways = []
    if epochs >= LEAST_EPOCHS:
        ways.append(f"--epochs {epochs}")
    large_enough = images >= LEAST_STEPS * max(checked.experiment.batch_sizes)
    if both >= LEAST_EPOCHS and large_enough and not checked.experiment.folds:
        ways.append(f"--epochs {both} --train-limit {images}")
    return ways


def _round_down(images: float) -> int:
    step = 10 ** max(0, int(math.log10(max(1.0, images))) - 1)
    return int(images // step * step)


def _span(seconds: float) -> str:
    """``45m`` or ``2h15m`` that is long enough, as the option takes it."""
    minutes = math.ceil(1.1 * seconds / 60)
    minutes += -minutes % 5 if minutes > 10 else 0
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if hours and minutes else f"{hours}h" if hours else f"{minutes}m"
