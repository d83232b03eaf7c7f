"""Help that names what the tables hold, so that a new entry is in it by being in its table."""

from typing import Any

from typer.core import TyperCommand

# What an option is about, where a command has many of them; all others are below "Options".
PANELS = {
    "What is compared": (
        *("dataset", "data_dir", "image_size", "skip_bad", "folds", "model", "norms", "baseline"),
        *("placement", "recipe", "settings", "batch_size", "batch_sizes", "stat_batch", "max_lr"),
        *("protocol", "config", "datasets", "models"),
    ),
    "How much is trained": (
        *("seeds", "epochs", "until_decided", "winner_set", "max_seeds", "budget", "train_limit"),
        *("test_limit", "dry_run"),
    ),
    "How sure": ("margin", "alpha", "level"),
    "What is measured inside": ("probes", "probe_epochs", "probe_images"),
    "Where and how it runs": (
        *("precision", "device", "workers", "executor", "address", "cpus_per_trial"),
        *("gpus_per_trial", "checkpoint_every", "log", "out"),
    ),
}
MANY = 20  # options


class HelpWithNames(TyperCommand):
    """A command whose help may say ``{norms}``, ``{models}``, ``{probes}`` and the like.

    The tables are imported when the help is shown, and not before. Of many options those that are
    about the same thing are in a box of their own.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        names = known_names()
        self.help = (self.help or "").format_map(names)
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text:
                setattr(parameter, "help", text.format_map(names))  # noqa: B010 - not on all kinds
            if getattr(parameter, "is_flag", False):
                parameter.metavar = " "
        if len(self.params) > MANY:
            panels = {name: panel for panel, own in PANELS.items() for name in own}
            for parameter in self.params:
                if parameter.name in panels:
                    setattr(parameter, "rich_help_panel", panels[parameter.name])  # noqa: B010
        super().format_help(ctx, formatter)


def known_names() -> dict[str, str]:
    """The names in each table, separated by commas."""
    from normscope.data import DATASETS
    from normscope.executors import EXECUTORS
    from normscope.experiment import RECIPES
    from normscope.experiment.investigations import INVESTIGATIONS
    from normscope.models import MODELS
    from normscope.norms import NORMS
    from normscope.observers import TRACKERS
    from normscope.probes import PROBES

    tables = {
        "norms": NORMS,
        "models": MODELS,
        "datasets": DATASETS,
        "recipes": RECIPES,
        "probes": PROBES,
        "executors": EXECUTORS,
        "trackers": TRACKERS,
        "investigations": INVESTIGATIONS,
    }
    return {
        **{name: ", ".join(table) for name, table in tables.items()},
        "questions": "\n\n".join(
            f"{name}: {each.question}" for name, each in INVESTIGATIONS.items()
        ),
    }
