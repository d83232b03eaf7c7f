"""The recipes that have a name."""

from normscope.experiment.recipe import Recipe

RECIPES = {
    recipe.name: recipe
    for recipe in (
        # The published experiment; OneCycleLR replaced the lr=0.01 and momentum=0.9 of its SGD.
        Recipe(name="s8", epochs=15, batch_size=512, max_lr=0.02),
        # The first run: a verdict on the embedded data in a few minutes on two CPU cores.
        Recipe(name="quick", epochs=3, batch_size=64, max_lr=0.1),
        # The published network and epochs, and what costs nothing more: Nesterov's momentum, more
        # and longer steps (batch size and learning rate), decay of the weights alone, and smoothed
        # labels as in He et al. 2018, arXiv 1812.01187; mirrored images.
        Recipe(
            name="s8-modern",
            epochs=15,
            batch_size=128,
            max_lr=0.1,
            optimizer="sgd-nesterov",
            weight_decay=0.0005,
            weight_decay_on="weights",
            augmentation=("flip",),
            label_smoothing=0.1,
        ),
        # What courses assign on CIFAR-10 after the experiment S8: crop out of a padding of 4,
        # mirror, cutout of 8x8, batches of 512, OneCycleLR, 20 to 24 epochs. Source: the
        # assignments EVA7 session 9 and ERA session 10 of The School of AI, which follow Page's
        # "How to Train Your ResNet" (2018). Momentum as with OneCycleLR's defaults.
        Recipe(
            name="course",
            epochs=20,
            batch_size=512,
            max_lr=0.1,
            augmentation=("flip", "crop", "cutout"),
        ),
        # A first answer on real images.
        Recipe(name="short", epochs=5, batch_size=128, max_lr=0.1),
        # In the manner of Page's "How to Train Your ResNet" (2018), for `resnet9`: Nesterov's
        # momentum of 0.9, a rate that rises and falls in straight lines, labels smoothed as in
        # part 8; fewer epochs than his 24, with more steps in each of them.
        Recipe(
            name="fast",
            epochs=18,
            batch_size=256,
            max_lr=0.2,
            optimizer="sgd-nesterov",
            min_momentum=0.9,
            max_momentum=0.9,
            weight_decay=0.0005,
            schedule="linear",
            warmup=0.2,
            augmentation=("flip", "crop", "cutout"),
            label_smoothing=0.1,
        ),
        # For some hundred or thousand images of one's own: small batches, so that there are steps
        # enough. Images are not mirrored, since that is wrong for what can be read.
        Recipe(
            name="small",
            epochs=30,
            batch_size=32,
            max_lr=0.05,
            optimizer="sgd-nesterov",
            weight_decay=0.0005,
            weight_decay_on="weights",
        ),
        # For a network that a short training leaves unfinished.
        Recipe(
            name="long",
            epochs=60,
            batch_size=128,
            max_lr=0.1,
            optimizer="sgd-nesterov",
            weight_decay=0.0005,
            weight_decay_on="weights",
            augmentation=("flip", "crop"),
        ),
    )
}


def recipe_named_as(recipe: Recipe) -> Recipe | None:
    """The recipe that has a recipe's name, of which some values may be changed; None without one.

    In results of before 0.1.0 `fast` is the name of what is `short` now.
    """
    name = recipe.name
    short = RECIPES["short"]
    if name == "fast" and (recipe.optimizer, recipe.schedule) == (short.optimizer, short.schedule):
        name = short.name
    return RECIPES.get(name)


# The data sets that have a name, and the recipe that is used for each when none is named.
KNOWN = {
    "shapes": "quick",
    "cifar10": "s8",
    "cifar100": "s8",
    "svhn": "short",
    "mnist": "short",
    "fashion-mnist": "short",
}


def default_recipe(dataset: str) -> str:
    """The recipe used for a data set when none is named."""
    return KNOWN.get(dataset, "small")
