"""Help that names what the tables hold, so that a new entry is in it by being in its table."""

from typing import Any

from typer.core import TyperCommand


class HelpWithNames(TyperCommand):
    """A command whose help may say ``{norms}``, ``{models}``, ``{probes}`` and the like.

    The tables are imported when the help is shown, and not before.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        names = known_names()
        self.help = (self.help or "").format_map(names)
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text:
                setattr(parameter, "help", text.format_map(names))  # noqa: B010 - not on all kinds
        super().format_help(ctx, formatter)


def known_names() -> dict[str, str]:
    """The names in each table, separated by commas."""
    from normscope.data import DATASETS
    from normscope.executors import EXECUTORS
    from normscope.experiment import RECIPES
    from normscope.experiment.investigations import INVESTIGATIONS
    from normscope.models import MODELS
    from normscope.norms import NORMS
    from normscope.probes import PROBES

    tables = {
        "norms": NORMS,
        "models": MODELS,
        "datasets": DATASETS,
        "recipes": RECIPES,
        "probes": PROBES,
        "executors": EXECUTORS,
        "investigations": INVESTIGATIONS,
    }
    return {
        **{name: ", ".join(table) for name, table in tables.items()},
        "questions": "\n\n".join(
            f"{name}: {each.question}" for name, each in INVESTIGATIONS.items()
        ),
    }
