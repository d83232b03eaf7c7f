"""Experiment -> trials."""

from normscope.experiment.experiment import Experiment
from normscope.experiment.recipe import Recipe
from normscope.experiment.trial import Trial
from normscope.norms import parse

Rates = dict[tuple[str, int], float]  # norm and batch size -> max_lr, per step


def plan(experiment: Experiment, rates: Rates | None = None) -> list[Trial]:
    """All trials of an experiment, block by block: every norm of seed 0, then of seed 1, ...

    `rates` are the learning rates that tuning chose; without them the recipe's. What has no rate in
    them yet is left out.
    """
    trials = []
    for seed in experiment.seed_numbers:
        for batch_size in experiment.batch_sizes:
            recipe = experiment.recipe_for(batch_size)
            for norm in experiment.norms:
                if rates is None:
                    trials.append(make_trial(experiment, norm, recipe, seed))
                elif (norm, batch_size) in rates:
                    own = recipe.model_copy(update={"max_lr": rates[norm, batch_size]})
                    trials.append(make_trial(experiment, norm, own, seed))
    return trials


def make_trial(
    experiment: Experiment, norm: str, recipe: Recipe, seed: int, validation: bool = False
) -> Trial:
    """One trial of an experiment."""
    source = experiment.sources.get(parse(norm).name)
    return Trial(
        dataset=experiment.dataset,
        images=experiment.images.fingerprint if experiment.images else None,
        train_limit=experiment.train_limit,
        test_limit=experiment.test_limit,
        model=experiment.model,
        model_source=experiment.model_source.fingerprint if experiment.model_source else None,
        norm=norm,
        source=source.fingerprint if source else None,
        folds=experiment.folds,
        recipe=recipe,
        seed=seed,
        validation=validation,
    )
