"""Runs that somebody else trained -> verdicts, by the same rules as those of an experiment.

The levels of any factor are compared, not only norms. Runs of one setting (a data set with a
network) are one family, as in an experiment, batch sizes included; of several settings each is
judged by itself, and then all of them together, as in a suite.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from normscope.analysis.across import Across, across_verdicts, method_across
from normscope.analysis.answers import fixed_words, forecast_note, holm_words, verdict_sentence
from normscope.analysis.guessing import Guessing
from normscope.analysis.pairs import differences_of
from normscope.analysis.sentences import Answer
from normscope.analysis.verdicts import Pairs, Rules, Verdict, judge, verdict_of
from normscope.experiment import GUESSING, Status
from normscope.norms import order_of
from normscope.stats import Estimate, t_interval
from normscope.words import counted, signed

REGROUPED = "Regrouped norms (order=...), which look for a cause, are a family of their own."
NAMED = 6  # of seeds, runs or settings: more are counted


@dataclass(frozen=True)
class Run:
    """One run, as a file has it: `where` names the file and the row.

    `level`: what the factor was, such as the norm. `seed`: what pairs it with the runs of other
    levels, and "" where nothing is known of that. `accuracy_percent` is None unless it finished.
    `setting`: what else it was run with, by the name of the column, but for the batch size, which
    is 0 where it is not known.
    """

    where: str
    level: str
    seed: str
    status: Status
    accuracy_percent: float | None
    setting: tuple[tuple[str, str], ...] = ()
    batch_size: int = 0
    epoch: float | None = None


@dataclass(frozen=True)
class Level:
    """One level over its runs in a panel. `verdict` is None for the baseline.

    `percent`: the test accuracies of the finished runs by the place of their seed in the panel;
    `statuses`: those of all runs, likewise. `accuracy` is their estimate.
    """

    name: str
    percent: Mapping[int, float]
    statuses: Mapping[int, Status]
    accuracy: Estimate
    verdict: Verdict | None

    @property
    def guessing(self) -> Guessing:
        return Guessing.among([*self.statuses.values()], len(self.statuses))


@dataclass(frozen=True)
class Panel:
    """The levels in one setting at one batch size, the baseline first.

    `setting`: its name, and "" where there is one only. `several_sizes`: whether the setting has
    several batch sizes, of which the largest is the `main` one.
    """

    setting: str
    batch_size: int
    several_sizes: bool
    main: bool
    seeds: tuple[str, ...]
    levels: tuple[Level, ...]

    @property
    def place(self) -> str:
        """`` in cifar10, s8 at batch size 8``, to follow names in a sentence; "" if obvious."""
        setting = f" in {self.setting}" if self.setting else ""
        return setting + (f" at batch size {self.batch_size}" if self.several_sizes else "")

    @property
    def heading(self) -> str:
        """``cifar10, s8, batch size 8``; "" where there is one panel only."""
        size = f"batch size {self.batch_size:,}" if self.several_sizes else ""
        return ", ".join(part for part in (self.setting, size) if part)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(level.verdict for level in self.levels if level.verdict)


@dataclass(frozen=True)
class Judged:
    """All that is said of the runs. `levels` are those of the `factor`, the baseline first.

    `across`: the verdicts over all settings, where there are several. `answers` are sentences, one
    for each verdict; `caveats` say what the runs cannot carry, and `notes` how they were read.
    """

    factor: str
    levels: tuple[str, ...]
    rules: Rules
    panels: tuple[Panel, ...]
    across: tuple[Across, ...]
    answers: tuple[Answer, ...]
    method: str
    caveats: tuple[str, ...]
    notes: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def baseline(self) -> str:
        return self.levels[0]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(verdict for panel in self.panels for verdict in panel.verdicts)

    @property
    def settings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(panel.setting for panel in self.panels))


def judge_runs(
    runs: Sequence[Run],
    factor: str,
    baseline: str,
    rules: Rules,
    chance_percent: Mapping[tuple[tuple[str, str], ...], float],
    notes: Sequence[str] = (),
) -> Judged:
    """Judge runs, no two of which have the same level, seed, setting and batch size.

    The `baseline` is among the levels. Every setting holds it and another level, and so does every
    batch size in it. `chance_percent`: the accuracy of guessing by setting, which stands in for
    that of a run that diverged or collapsed, in every setting that has one.
    """
    levels = tuple(dict.fromkeys([baseline, *(run.level for run in runs)]))
    names = _names_of([run.setting for run in runs])
    panels: list[Panel] = []
    for setting, name in names.items():
        own = [run for run in runs if run.setting == setting]
        panels += _panels(own, name, levels, rules, chance_percent.get(setting, 0.0))
    across = _across(panels, levels, rules) if len(names) > 1 else ()
    return Judged(
        factor,
        levels,
        rules,
        tuple(panels),
        across,
        tuple(_answers(panels, rules)),
        _method(panels, across, rules, factor),
        tuple(_caveats(panels, levels, rules, len(names))),
        tuple(notes),
        tuple(runs),
    )


def _names_of(
    settings: Sequence[tuple[tuple[str, str], ...]],
) -> dict[tuple[tuple[str, str], ...], str]:
    """A name for each setting, of what differs between them; "" where there is one only."""
    distinct = list(dict.fromkeys(settings))
    if len(distinct) == 1:
        return {distinct[0]: ""}
    columns = dict.fromkeys(column for setting in distinct for column, _ in setting)
    differing = [
        column for column in columns if len({dict(each).get(column, "") for each in distinct}) > 1
    ]
    plain = {"dataset", "model"}
    return {
        setting: ", ".join(
            value if column in plain else f"{column} {value}"
            for column, value in setting
            if column in differing and value
        )
        or "another"
        for setting in distinct
    }


def _panels(
    runs: Sequence[Run], setting: str, levels: Sequence[str], rules: Rules, chance_percent: float
) -> list[Panel]:
    """A panel for each batch size of one setting, all of them judged together."""
    sizes = sorted({run.batch_size for run in runs})
    empty = {}
    for size in sizes:
        own = [run for run in runs if run.batch_size == size]
        present = [level for level in levels if any(run.level == level for run in own)]
        empty[size] = _unjudged(own, setting, size, sizes, present)
    verdicts = _verdicts([*empty.values()], rules, chance_percent)
    return [
        replace(
            panel,
            levels=tuple(
                replace(level, verdict=verdicts.get((level.name, size))) for level in panel.levels
            ),
        )
        for size, panel in empty.items()
    ]


def _unjudged(
    runs: Sequence[Run], setting: str, size: int, sizes: Sequence[int], levels: Sequence[str]
) -> Panel:
    single = all(sum(run.level == level for run in runs) == 1 for level in levels)
    labels = {run.where: "" if single else run.seed for run in runs}  # one run each: any seed
    seeds = tuple(dict.fromkeys(labels[run.where] for run in runs))
    place = {seed: number for number, seed in enumerate(seeds)}
    found = []
    for level in levels:
        own = {place[labels[run.where]]: run for run in runs if run.level == level}
        percent = {
            seed: run.accuracy_percent
            for seed, run in sorted(own.items())
            if run.accuracy_percent is not None
        }
        statuses: dict[int, Status] = {seed: own[seed].status for seed in sorted(own)}
        found.append(Level(level, percent, statuses, t_interval([*percent.values()]), None))
    return Panel(setting, size, len(sizes) > 1, size == sizes[-1], seeds, tuple(found))


def _verdicts(
    panels: Sequence[Panel], rules: Rules, chance_percent: float
) -> dict[tuple[str, int], Verdict]:
    """Those of one setting, by level and batch size.

    As in an experiment, norms that were regrouped to look for a cause are a family of their own.
    """
    compared = [(panel, panel.levels[0], level) for panel in panels for level in panel.levels[1:]]
    choices = [each for each in compared if not _is_regrouped(each[2].name)]
    causes = [each for each in compared if _is_regrouped(each[2].name)]
    families = [choices, causes] if choices else [causes]
    found = {}
    for family in families:
        pairs = [_pairs(*each, chance_percent) for each in family]
        judgements = judge(pairs, rules) if pairs else []
        for judgement, (panel, baseline, level) in zip(judgements, family, strict=True):
            both = (*level.statuses.values(), *baseline.statuses.values())
            unfinished = sum(status == "failed" for status in both)
            guessing = (level.guessing, baseline.guessing)
            verdict = verdict_of(judgement, baseline.name, guessing, unfinished)
            found[level.name, panel.batch_size] = verdict
    return found


def _is_regrouped(level: str) -> bool:
    """Whether a level is a norm of ours that does not choose among norms (see `candidates`)."""
    return "order=" in level and order_of(level) is not None


def _pairs(panel: Panel, baseline: Level, level: Level, chance_percent: float) -> Pairs:
    """The differences in every seed of both; a failed run leaves them incomplete."""
    values: dict[tuple[str, int], float] = {}
    ordinal = failed = False
    for each in (level, baseline):
        for seed, status in each.statuses.items():
            if status in GUESSING:
                values[each.name, seed] = chance_percent
                ordinal = True
            elif status == "failed":
                failed = True
            else:
                values[each.name, seed] = each.percent[seed]
    seeds, differences = differences_of(range(len(panel.seeds)), level.name, baseline.name, values)
    return Pairs(level.name, panel.batch_size, differences, seeds, ordinal, not failed)


def _across(panels: Sequence[Panel], levels: Sequence[str], rules: Rules) -> tuple[Across, ...]:
    """Over all settings, of every level that all of them have, at their largest batch size."""
    main = {panel.setting: panel for panel in panels if panel.main}
    everywhere = [
        level
        for level in levels
        if all(any(own.name == level for own in panel.levels) for panel in main.values())
    ]
    verdicts = {
        name: {verdict.norm: verdict for verdict in panel.verdicts} for name, panel in main.items()
    }
    return across_verdicts(verdicts, everywhere, dict.fromkeys(main, rules))


def _answers(panels: Sequence[Panel], rules: Rules) -> list[Answer]:
    """The decided first, then by the size of the difference, as in a report, in each panel."""
    answers = []
    for panel in panels:
        verdicts = [*panel.verdicts]
        verdicts.sort(
            key=lambda v: (
                _is_regrouped(v.norm),
                not v.decided,
                -abs(v.difference.mean or 0),
            )
        )
        answers += [Answer(v.norm, _sentence(v, panel, rules), v.outcome) for v in verdicts]
    return answers


def _sentence(verdict: Verdict, panel: Panel, rules: Rules) -> str:
    pairs, mean = verdict.judgement.pairs, verdict.difference.mean
    against = f"{verdict.norm} against {verdict.baseline}{panel.place}"
    if not pairs.seeds:
        return f"{against}: there is no seed in which both have a result, so nothing is said."
    if len(pairs.seeds) == 1 and mean is not None:
        return f"{against}: {signed(mean)} points in one run each: no conclusion."
    return verdict_sentence(verdict, rules, panel.place)


def _method(panels: Sequence[Panel], across: Sequence[Across], rules: Rules, factor: str) -> str:
    """How the verdicts were reached; "" where there are but single runs."""
    counts = sorted({verdict.difference.n for panel in panels for verdict in panel.verdicts})
    if counts[-1] < 2:
        return ""  # nothing is tested
    design = fixed_words(counts, rules)
    if not rules.overlap:
        design += (
            ", right if the number of seeds was chosen before results were seen (else --looked)"
        )
    if rules.sequential:
        design = (
            "Sequential design, since seeds were added after a look at results: intervals valid "
            "at every look, in the order of the file"
        )
    families = Counter(
        (panel.setting, _is_regrouped(v.norm)) for panel in panels for v in panel.verdicts
    )
    chosen = sorted({count for (_, regrouped), count in families.items() if not regrouped})
    causes = sorted({count for (_, regrouped), count in families.items() if regrouped})
    settings = len({setting for setting, _ in families})
    parts = [f"{design}. {holm_words((chosen or causes)[0], rules)}."]
    if settings > 1:
        sizes = chosen or causes
        of = counted(sizes[0], "comparison")
        if len(sizes) > 1:
            of = f"{_listed([*map(str, sizes)])} comparisons"
        parts = [f"{design}. Each setting is a family of its own, of {of}."]
        parts.append(f"{holm_words(None, rules)}.")
    if chosen and causes:
        parts.append(REGROUPED)
    if across:
        parts.append(method_across(across))
        if any(panel.several_sizes for panel in panels):
            parts.append("Of each setting that is at its largest batch size.")
    if early := forecast_note([v for panel in panels for v in panel.verdicts], rules):
        parts.append(early)
    return " ".join(parts)


def _caveats(
    panels: Sequence[Panel], levels: Sequence[str], rules: Rules, settings: int
) -> list[str]:
    """What the runs cannot carry, whatever the verdicts are."""
    told = _few(panels, rules)
    for panel in panels:
        told += _missing(panel, rules)
    lacking = [
        level
        for level in levels[1:]
        if len({p.setting for p in panels for own in p.levels if own.name == level}) < settings
    ]
    if lacking:
        it = "it" if len(lacking) == 1 else "them"
        told.append(
            f"Not in all settings, so that nothing is said of {it} over all: {_listed(lacking)}."
        )
    return told


def _few(panels: Sequence[Panel], rules: Rules) -> list[str]:
    """Where one or two seeds are all there is."""
    found = [(v, panel) for panel in panels for v in panel.verdicts]
    one = [(v, panel) for v, panel in found if v.difference.n == 1]
    two = [(v, panel) for v, panel in found if v.difference.n == 2]
    told = []
    if one:
        which = "" if len(one) == len(found) else f" of {_where(one)}"
        told.append(
            f"One run each{which}: no conclusion. The same network, trained again with another "
            "seed, ends elsewhere, often by as much as these runs differ. Train each with the same "
            "five seeds or more."
        )
    if two and not rules.sequential:
        which = "" if len(two) == len(found) else f" of {_where(two)}"
        told.append(
            f"Two seeds{which}: the interval of two differences reaches 12.7 standard errors to "
            "either side, so that hardly any difference is decided."
        )
    return told


def _where(found: Sequence[tuple[Verdict, Panel]]) -> str:
    return _listed([f"{verdict.norm}{panel.place}" for verdict, panel in found])


def _missing(panel: Panel, rules: Rules) -> list[str]:
    """Which seeds were left out, and what did not finish."""
    told, left = [], _left_out(panel)
    if left:
        told.append(f"Left out{panel.place}, as only one of the two has it: {'; '.join(left)}.")
    for level in panel.levels:
        failed = sum(status == "failed" for status in level.statuses.values())
        if failed:
            fixed = (
                " In a fixed design that leaves its comparisons undecided, because the runs that "
                "are missing may be those that went worst."
            )
            told.append(
                f"{counted(failed, 'run')} of {level.name}{panel.place} did not finish."
                + ("" if rules.sequential else fixed)
            )
    return told


def _left_out(panel: Panel) -> list[str]:
    """The seeds that a level has and the baseline lacks, or the other way round."""
    baseline, told = panel.levels[0], []
    for level in panel.levels[1:]:
        for one, other in ((level, baseline), (baseline, level)):
            lone = [panel.seeds[s] for s in one.statuses if s not in other.statuses]
            if lone:
                word = "seed" if len(lone) == 1 else "seeds"
                told.append(f"{word} {_listed(lone)} of {one.name}, which {other.name} lacks")
    return told


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``; of many, the first ones and how many more."""
    names = list(names)
    if len(names) > NAMED:
        names = [*names[:NAMED], f"{len(names) - NAMED} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
