"""Which normalization layer should a CNN use, by how much, and why.

>>> import normscope
>>> experiment = normscope.Experiment(dataset="shapes", norms=("bn", "gn"), seeds=3)
>>> experiment.norms, experiment.recipe.epochs
(('bn', 'gn'), 3)
>>> normscope.summarize("s8", "gn").parameters
31216
>>> comparison = normscope.compare(experiment)  # doctest: +SKIP
>>> comparison  # doctest: +SKIP
Comparison('runs/shapes-s8-quick', <Analysis of shapes, 3 seeds: bn baseline, gn undecided>)
>>> comparison.analysis.answers, comparison.table()  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normscope import norms
    from normscope.data import load_dataset
    from normscope.errors import NormscopeError, RunError, UsageError
    from normscope.executors.ray import OnRay
    from normscope.experiment import RECIPES, Design, Experiment, Recipe
    from normscope.models.convert import Conversion, convert
    from normscope.models.summary import summarize
    from normscope.probes import PROBES
    from normscope.study.compare import compare
    from normscope.study.comparison import Comparison
    from normscope.study.contract import check_norm
    from normscope.study.cost import cost
    from normscope.study.diff import diff
    from normscope.study.explain import explain
    from normscope.study.export import export
    from normscope.study.investigate import investigate
    from normscope.study.judge import judge
    from normscope.study.predict import predict
    from normscope.study.probe import probe
    from normscope.study.retry import retry
    from normscope.study.suite import suite
    from normscope.study.trained import load_model

__all__ = [
    "PROBES",
    "RECIPES",
    "Comparison",
    "Conversion",
    "Design",
    "Experiment",
    "NormscopeError",
    "OnRay",
    "Recipe",
    "RunError",
    "UsageError",
    "check_norm",
    "compare",
    "convert",
    "cost",
    "diff",
    "explain",
    "export",
    "investigate",
    "judge",
    "load_dataset",
    "load_model",
    "norms",
    "predict",
    "probe",
    "retry",
    "suite",
    "summarize",
]

_HOMES = {
    "Comparison": "normscope.study.comparison",
    "Conversion": "normscope.models.convert",
    "Design": "normscope.experiment",
    "Experiment": "normscope.experiment",
    "PROBES": "normscope.probes",
    "RECIPES": "normscope.experiment",
    "Recipe": "normscope.experiment",
    "NormscopeError": "normscope.errors",
    "OnRay": "normscope.executors.ray",
    "RunError": "normscope.errors",
    "UsageError": "normscope.errors",
    "check_norm": "normscope.study.contract",
    "compare": "normscope.study.compare",
    "convert": "normscope.models.convert",
    "cost": "normscope.study.cost",
    "diff": "normscope.study.diff",
    "explain": "normscope.study.explain",
    "export": "normscope.study.export",
    "investigate": "normscope.study.investigate",
    "judge": "normscope.study.judge",
    "load_dataset": "normscope.data",
    "load_model": "normscope.study.trained",
    "predict": "normscope.study.predict",
    "probe": "normscope.study.probe",
    "retry": "normscope.study.retry",
    "suite": "normscope.study.suite",
    "summarize": "normscope.models.summary",
    "__version__": "normscope.version",
}


def __getattr__(name: str) -> Any:
    # Imported on first use (PEP 562): `normscope --help` must not wait for torch.
    if name == "norms":
        return import_module("normscope.norms")
    if name not in _HOMES:
        raise AttributeError(f"module 'normscope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
