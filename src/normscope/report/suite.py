"""The verdict over several settings, in Markdown: the answer, its numbers, its figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from normscope.analysis import Analysis
from normscope.analysis.across import Across, InSetting, method_across
from normscope.analysis.answers import equivalence_note
from normscope.analysis.verdicts import Outcome
from normscope.files import written
from normscope.report.markdown import code, escape, link, markdown_table
from normscope.report.plots import to_png
from normscope.report.plots.across import OVER_ALL, across_figure
from normscope.report.plots.figure import ReportFigure
from normscope.report.result_table import full_names, setting, title
from normscope.words import NONE, confidence, interval, number, p_value, signed

SUITE = "suite.md"
ANOTHER = "another setting"
ADVICE = "choose another folder with --out"


def write_suite(
    folder: Path, across: Sequence[Across], settings: Mapping[str, Analysis], command: str
) -> Path:
    """Write ``suite.md`` and its figure, ``suite.png`` and ``suite.svg``; return the first path.

    `settings`: by name, each reported on in a folder of that name in `folder`. Raises `RunError` if
    a file cannot be written.
    """
    figure = across_figure(across)
    text = render_suite(across, settings, figure, command)
    files = {
        f"{figure.name}.png": to_png(figure.drawing),
        f"{figure.name}.svg": figure.svg.encode(),
        SUITE: text.encode(),
    }
    for name, content in files.items():
        with written(folder / name, ADVICE) as partial:
            partial.write_bytes(content)
    return folder / SUITE


def render_suite(
    across: Sequence[Across],
    settings: Mapping[str, Analysis],
    figure: ReportFigure,
    command: str,
) -> str:
    """The whole file: the answer in plain words first."""
    sections = [
        f"# {escape(heading(across))}",
        _synthetic(settings),
        "## Answer",
        "\n".join(f"- **{escape(each.sentence)}** {escape(each.of_another)}" for each in across),
        "## By which numbers",
        escape(suite_caption(across)),
        markdown_table(suite_table(across)),
        escape(method_across(across)),
        f"![{escape(figure.alt)}]({figure.name}.png)\n\n*{escape(figure.caption)}*",
        "## How it was done",
    ]
    for name, analysis in settings.items():
        done = f"{title(analysis)}. {setting(analysis)} {analysis.facts.description}."
        where = f"{name}/report.html"
        sections += [
            f"### {escape(name)}",
            f"{escape(done)} The whole report: {link(where)}.",
            "\n".join(f"- {escape(str(caveat))}" for caveat in analysis.caveats),
            escape(analysis.method),
        ]
    sections.append(escape(full_names(next(iter(settings.values())))))
    return "\n\n".join(each.rstrip() for each in (*sections, code(command)) if each) + "\n"


def heading(across: Sequence[Across]) -> str:
    """``gn and ln against bn in 4 settings``."""
    norms = [each.norm for each in across]
    named = norms[0] if len(norms) == 1 else f"{', '.join(norms[:-1])} and {norms[-1]}"
    count = len(across[0].found)
    return f"{named} against {across[0].baseline} in {count} setting{'s' if count > 1 else ''}"


def _synthetic(settings: Mapping[str, Analysis]) -> str:
    made = [name for name, analysis in settings.items() if analysis.facts.synthetic]
    if not made:
        return ""
    return "**Synthetic data.**" if len(made) == len(settings) else (
        f"**Synthetic data in {escape(', '.join(made))}.**"
    )  # fmt: skip


def suite_caption(across: Sequence[Across]) -> str:
    """What the numbers of `suite_table` are."""
    baseline, rules = across[0].baseline, across[0].rules
    return (
        f"Differences to {baseline} in test accuracy, in points, with their "
        f"{confidence(rules.alpha)} interval. {equivalence_note(outcomes(across), rules)}"
    ).rstrip()


def outcomes(across: Sequence[Across]) -> list[Outcome]:
    """Of every setting, and over all of them."""
    in_each: list[Outcome] = [found.verdict.outcome for each in across for found in each.found]
    of_all: list[Outcome] = [each.outcome for each in across]
    return in_each + of_all


def suite_table(across: Sequence[Across]) -> list[list[str]]:
    """A row per setting and a column per norm, with headings; then what is said over all."""
    names = [found.setting for found in across[0].found]
    return [
        ["Setting", *(each.norm for each in across)],
        *([name, *(in_setting(each.found[row]) for each in across)]
          for row, name in enumerate(names)),
        [OVER_ALL, *map(over_all, across)],
        [ANOTHER, *(interval(*each.prediction) if each.prediction else NONE for each in across)],
        ["sd between settings",
         *(number(each.pooled.tau, 2) if each.pooled else NONE for each in across)],
        ["p (Holm)", *(p_value(each.p_value) if each.pooled else NONE for each in across)],
    ]  # fmt: skip


def in_setting(found: InSetting) -> str:
    """``worse: -1.42 (-2.01 to -0.83), n 5``: the verdict, the difference, how sure."""
    difference = found.verdict.difference
    outcome = found.verdict.outcome
    if difference.mean is None:
        how = found.verdict.guessing_in_all
        return f"{outcome}: {how.total} {how.how}" if how.total else outcome
    sure = "" if difference.low is None else f" ({interval(difference.low, difference.high)})"
    return f"{outcome}: {signed(difference.mean)}{sure}, n {difference.n}"


def over_all(across: Across) -> str:
    """The same of all settings together; its n is their number."""
    if across.pooled is None or across.interval is None:
        return NONE
    sure = interval(*across.interval)
    return f"{across.outcome}: {signed(across.pooled.mean)} ({sure})"
