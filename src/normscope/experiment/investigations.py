"""Ready experiments, by name: what people ask of norms, and the trials that answer it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from normscope.experiment.experiment import Experiment
from normscope.experiment.probes import TEST_IMAGES

SEEDS = 5  # the least that a claim on the inside of networks is decided by
WHOLE = ""  # the name of the one part of an investigation that has no others


@dataclass(frozen=True)
class Investigation:
    """A question and what is done to answer it.

    `norms`, the first of which is the baseline, `batch_sizes` (none: the recipe's) and `probes`
    make the trials; `images` is how many test images probes take accuracies by;
    `parts` are experiments that differ in these values of the recipe, by name.
    `claims` are those that are read from each of them, and `figures` those of its report that show
    it; `across` are claims on all parts together.
    """

    question: str
    norms: tuple[str, ...]
    probes: tuple[str, ...]
    claims: tuple[str, ...]
    figures: tuple[str, ...]
    images: int = TEST_IMAGES
    batch_sizes: tuple[int, ...] = ()
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {WHOLE: {}})
    across: tuple[str, ...] = ()

    def experiments(self, asked: Experiment) -> dict[str, Experiment]:
        """The experiment of each part: what was asked for, and of the rest what is planned here."""
        own = {name: getattr(asked, name) for name in asked.model_fields_set}
        planned: dict[str, Any] = {"norms": self.norms, "seeds": SEEDS}
        if self.batch_sizes:
            planned["batch_sizes"] = self.batch_sizes
        whole = Experiment.model_validate({**planned, **own, "recipe": asked.recipe})
        return {
            part: whole.model_copy(update={"recipe": whole.recipe.model_copy(update=changes)})
            for part, changes in self.parts.items()
        }


_LOOKED_INTO = ("redundancy", "floor", "variance", "features", "affine-gap", "substitution")

INVESTIGATIONS: dict[str, Investigation] = {
    "channels": Investigation(
        question="Do the channels of a layer extract the same feature, and is bn ahead because of "
        "it?",
        norms=(
            "bn", "gn", "ln", "gn:order=random",
            "gn:order=similar-scale-initial", "gn:order=dissimilar-scale-initial",
            "gn:order=similar-scale-trained", "gn:order=dissimilar-scale-trained",
            "in", "bn-scale", "bn-center",
        ),
        probes=_LOOKED_INTO,
        claims=(
            "similar channels", "one feature per channel", "who shares a group", "the edge",
        ),
        figures=(
            "grouping", "sameness_layers", "sameness_epochs", "variance_shares", "differences",
        ),
    ),
    "bump": Investigation(
        question="When bn's test accuracy suddenly drops, is it the network, or the statistics "
        "that it is tested with?",
        norms=("bn", "gn", "ln"),
        probes=("eval-gap",),
        claims=("the bump", "smoothness"),
        figures=("eval_gap_0", "drops"),
        images=10_000,  # a drop of a point is too small for 1,000
    ),
    "batch-size": Investigation(
        question="How small may a batch be before bn falls behind norms that look at one image?",
        norms=("bn", "gn", "ln", "brn"),
        probes=("eval-gap",),
        claims=("small batches",),
        figures=("batch_sizes", "differences"),
        batch_sizes=(8, 32, 128, 512),
    ),
    "smoothness": Investigation(
        question="Does bn walk on smoother ground, and which norm converges most smoothly?",
        norms=("bn", "gn", "ln", "in", "none"),
        probes=("landscape", "gradient-shift", "weights", "channels", "eval-gap"),
        claims=("landscape", "drift", "smoothness", "speed"),
        figures=("landscape_at_loss", "landscape", "drops", "epochs_to_level"),
    ),
    "init": Investigation(
        question="Does a network before any training foretell how well its norm will do?",
        norms=("bn", "gn", "ln", "in", "ln-channel", "rms", "frn", "bn-scale"),
        probes=("samples", "redundancy", "variance"),
        claims=("forecast", "speed"),
        figures=("differences", "final_accuracy"),
    ),
    "regularization": Investigation(
        question="Is bn ahead because it fits the training images better, or because it loses less "
        "on new ones?",
        norms=("bn", "gn", "ln", "ghost-bn"),
        probes=("eval-gap",),
        claims=("regularization",),
        figures=("differences", "train_accuracy_percent"),
        parts={"as-it-is": {}, "without-dropout": {"dropout": 0.0}},
        across=("without dropout",),
    ),
}  # fmt: skip
