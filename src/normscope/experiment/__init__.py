"""Frozen, validated values that travel through the whole program.

An `Experiment` is what a user asks for, a `Trial` is one training run of it, and a `Result` is what
that run leaves. Every knob lives here, once; the command line reads its defaults from here.
"""

from normscope.experiment.cost import Costs, NormCost, Predictors, Spread
from normscope.experiment.design import LEAST_SEEDS, RULES, Design, Request
from normscope.experiment.experiment import Experiment, Protocol, default_seeds
from normscope.experiment.facts import DatasetFacts, LayerSummary, ModelSummary
from normscope.experiment.frozen import Frozen
from normscope.experiment.heat_maps import HeatMaps, NormHeat
from normscope.experiment.keeping import Keeping
from normscope.experiment.probes import ProbePlan, Probes, Series
from normscope.experiment.recipe import Precision, Recipe
from normscope.experiment.recipes import RECIPES, default_recipe
from normscope.experiment.source import Source
from normscope.experiment.trial import (
    GUESSING,
    RESULT_FORMAT,
    Environment,
    EpochRecord,
    Predictions,
    Result,
    Status,
    Summarise,
    Told,
    Trial,
)

__all__ = [
    "GUESSING",
    "LEAST_SEEDS",
    "RECIPES",
    "RESULT_FORMAT",
    "RULES",
    "Costs",
    "DatasetFacts",
    "Design",
    "Environment",
    "EpochRecord",
    "Experiment",
    "Frozen",
    "HeatMaps",
    "Keeping",
    "LayerSummary",
    "ModelSummary",
    "NormCost",
    "NormHeat",
    "Precision",
    "Predictions",
    "Predictors",
    "ProbePlan",
    "Probes",
    "Protocol",
    "Recipe",
    "Request",
    "Result",
    "Series",
    "Source",
    "Spread",
    "Status",
    "Summarise",
    "Told",
    "Trial",
    "default_recipe",
    "default_seeds",
]
