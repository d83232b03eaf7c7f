"""Rules that were chosen when the results were there: what that does to what was promised."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from normscope.analysis.verdicts import Rules, Verdict
from normscope.experiment import Experiment
from normscope.words import listed

IN_A_SENTENCE = 4  # verdicts that are told one by one


@dataclass(frozen=True)
class Chosen:
    """What verdicts are reached by instead of what the folder's design says."""

    baseline: str
    alpha: float
    margin_points: float

    def ordered(self, experiment: Experiment) -> Experiment:
        """The experiment with this baseline: its norms in another order, all else as it was."""
        others = [norm for norm in experiment.norms if norm != self.baseline]
        return experiment.model_copy(update={"norms": (self.baseline, *others)})

    def changed(self, rules: Rules) -> Rules:
        """The design's rules with this alpha and margin."""
        return replace(rules, alpha=self.alpha, margin=self.margin_points, late=True)


@dataclass(frozen=True)
class Promised:
    """What was asked for with the training, and the verdicts by that.

    Kept where verdicts are reached by what was `chosen` after the results were there.
    """

    baseline: str
    rules: Rules
    verdicts: tuple[Verdict, ...]
    chosen: Chosen

    @property
    def changes(self) -> dict[str, float | str]:
        """What was chosen otherwise than the design has it, by name."""
        chosen, rules = self.chosen, self.rules
        own = {
            "baseline": (chosen.baseline, self.baseline),
            "alpha": (chosen.alpha, rules.alpha),
            "margin": (chosen.margin_points, rules.margin),
        }
        return {name: new for name, (new, old) in own.items() if new != old}

    @property
    def command(self) -> str:
        """What shows an experiment by these rules."""
        values = {n: v if isinstance(v, str) else f"{v:g}" for n, v in self.changes.items()}
        options = [word for name, value in values.items() for word in (f"--{name}", value)]
        return shlex.join(["normscope", "report", "FOLDER", *options])

    @property
    def note(self) -> str:
        """That the rules were chosen afterwards, what was promised, and what is left of it."""
        changes = self.changes
        were = "was" if len(changes) == 1 else "were"
        names = [_named(name, value) for name, value in changes.items()]
        design = Chosen(self.baseline, self.rules.alpha, self.rules.margin or 0.0)
        promised = [_named(n, v) for n, v in zip(_NAMES, vars(design).values(), strict=True)]
        sentences = [
            f"Exploratory: {listed(names)} {were} chosen after seeing the results.",
            f"Asked for with the training: {', '.join(promised)}; by these, "
            f"{_outcomes(self.verdicts)}.",
            self._left(),
        ]
        if self.rules.sequential:
            sentences.append(
                "All looks were computed anew, as if these rules had been there from the first; "
                "but seeds were added by those of the design."
            )
        sentences.append(self._to_promise())
        return " ".join(sentences)

    def _to_promise(self) -> str:
        """What to do; a design until decided takes no seeds of the user's choice."""
        anew = "To promise what these rules say, train in another folder, with them from the start"
        design = " in a fixed design" if self.rules.sequential else ""
        return f"{anew} and{design} with seeds that were not seen (--seeds A,B,...)."

    def _left(self) -> str:
        """What is left of the promise.

        With another baseline nothing is. At a smaller alpha, whatever differs differs at the
        design's too, by Holm's method as well; a verdict may yet turn from a small difference into
        equivalence, which comes second. The margin has no part in tests of differences.
        """
        changes, old, new = self.changes, self.rules.alpha, self.chosen.alpha
        if "baseline" in changes:
            return "No correction covers choosing the baseline by the results."
        equivalence = ""
        if "margin" in changes:
            equivalence = "; equivalence within another margin is not promised"
        elif new < old and self.chosen.margin_points:
            equivalence = "; a small difference may now be called equivalent only"
        if new > old:
            found = f"What is found at {_percent(new)} and not at {_percent(old)} is not promised"
        elif new < old:
            found = (
                f"What differs at {_percent(new)} differs at {_percent(old)} too, and the chance "
                f"that was promised is {_percent(old)}"
            )
        else:
            found = "Better and worse do not depend on the margin and are promised as before"
        return f"{found}{equivalence}."


_NAMES = ("baseline", "alpha", "margin")


def _named(name: str, value: float | str) -> str:
    if name == "alpha":
        return f"alpha {_percent(float(value))}"
    return f"margin {value:g} points" if name == "margin" else f"{name} {value}"


def _percent(alpha: float) -> str:
    return f"{100 * alpha:g} %"


def _outcomes(verdicts: Sequence[Verdict]) -> str:
    """``gn and ln are worse, in is undecided``; of many, how many there are of each."""
    several = len({verdict.batch_size for verdict in verdicts}) > 1
    norms: dict[str, list[str]] = {}
    for verdict in verdicts:
        name = f"{verdict.norm} at {verdict.batch_size}" if several else verdict.norm
        norms.setdefault(verdict.outcome, []).append(name)
    many = len(verdicts) > IN_A_SENTENCE
    return ", ".join(
        f"{len(those) if many else listed(those)} {'is' if len(those) == 1 else 'are'} {outcome}"
        for outcome, those in norms.items()
    )
