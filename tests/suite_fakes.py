"""Made-up settings of a suite: experiments whose norms differ by what one says."""

from dataclasses import replace

import numpy as np
from report_fakes import make_analysis

NOISE = np.array([0.3, -0.1, 0.2, -0.4, 0.0])
BN = 75 + np.array([0.1, 0.4, -0.2, 0.0, -0.3])
NORMS = ("bn", "gn", "ln")


def analysis_of(gn, ln, change=lambda results: results, **options):
    """An experiment in which gn and ln end so far above bn, in points by seed."""
    ends = {"bn": BN, "gn": BN + gn, "ln": BN + ln}

    def moved(results):
        found = []
        for r in results:
            last = {"test_accuracy_percent": float(ends[r.trial.norm][r.trial.seed])}
            history = (*r.history[:-1], replace(r.history[-1], **last))
            found.append(r.model_copy(update={"history": history}))
        return change(found)

    return make_analysis(NORMS, 5, change=moved, **options)


# Of gn and ln in four settings: the mean difference, and how large the noise is around it.
FOUR = {
    "a": ((-1.5, 1.0), (-0.1, 1.0)),
    "b": ((-0.9, 0.5), (0.1, 0.2)),
    "c": ((-2.2, 2.0), (0.0, 0.5)),
    "d": ((-0.4, 1.5), (0.1, 0.4)),
}


def make_four():
    """The four settings, analysed, by name."""
    return {
        name: analysis_of(
            gn[0] + gn[1] * (NOISE - NOISE.mean()), ln[0] + ln[1] * (NOISE[::-1] - NOISE.mean())
        )
        for name, (gn, ln) in FOUR.items()
    }


def lose(norm, how, seed=1):
    """A change to results: the trial of a norm and a seed ended as `how` makes it end."""
    return lambda results: [
        how(r) if (r.trial.norm, r.trial.seed) == (norm, seed) else r for r in results
    ]
