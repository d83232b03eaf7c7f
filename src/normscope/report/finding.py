"""The finding of an investigation, in Markdown: the answer, its numbers, its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from normscope.analysis import Analysis
from normscope.analysis.why import Reading
from normscope.files import written
from normscope.report.figures import ReportFigure, figures_named
from normscope.report.markdown import captioned, code, escape, link, results_table
from normscope.report.result_table import full_names, intervals_note, setting, title

ADVICE = "choose another folder with --out"


def write_finding(
    path: Path,
    question: str,
    parts: Mapping[str, Analysis],
    readings: Mapping[str, Sequence[Reading]],
    across: Sequence[Reading],
    unread: Sequence[str],
    figures: Sequence[str],
    command: str,
) -> Path:
    """Write the file and return its path.

    `parts` are experiments, each reported on in a folder of its name beside the file (that named ""
    in the same folder), and `readings` what is read from each; `across` is read from all together.
    `unread` names claims of which nothing can be said.
    The figures are those of the reports. Raises `RunError` if the file cannot be written.
    """
    made = {part: figures_named(analysis, figures) for part, analysis in parts.items()}
    text = render_finding(question, parts, readings, across, unread, made, command)
    with written(path, ADVICE) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def render_finding(
    question: str,
    parts: Mapping[str, Analysis],
    readings: Mapping[str, Sequence[Reading]],
    across: Sequence[Reading],
    unread: Sequence[str],
    figures: Mapping[str, Sequence[ReportFigure]],
    command: str,
) -> str:
    """The whole file: the answer in plain words first."""
    sections = [f"# {escape(question)}"]
    if any(analysis.facts.synthetic for analysis in parts.values()):
        sections.append("**Synthetic data.**")
    sections += ["## Answer", *_answers(across)] if across else ["## Answer"]
    for part, found in readings.items():
        sections += [f"### {part_heading(part)}"] if part else []
        sections += _answers(found)
    sections.append(not_read(unread))
    sections.append("## By which numbers")
    sections += _numbers(across)
    for part, found in readings.items():
        sections += [f"### {part_heading(part)}"] if part else []
        sections += [*_numbers(found), results_table(parts[part])]
        sections += [escape(text) for text in _below_results(parts[part])]
        sections += [captioned(figure, part) for figure in figures[part]]
    sections.append("## How it was done")
    for part, analysis in parts.items():
        done = f"{title(analysis)}. {setting(analysis)} {analysis.facts.description}."
        about = f"{part_heading(part)}: {done}" if part else done
        where = f"{part}/report.html" if part else "report.html"
        sections += [f"{escape(about)} The whole report: {link(where)}."]
        sections.append(escape(analysis.method))
    return "\n\n".join(each for each in (*sections, code(command)) if each) + "\n"


def not_read(claims: Sequence[str]) -> str:
    """The sentence on claims of which nothing can be said; "" if there are none."""
    if not claims:
        return ""
    return (
        f"Nothing can be said on {', '.join(claims)}: too few trials finished, or what it takes "
        "was not measured in them. Trials that were trained before without these probes are not "
        "trained again; another folder trains them."
    )


def part_heading(part: str) -> str:
    """``Without dropout`` of ``without-dropout``."""
    return part.replace("-", " ").capitalize()


def _answers(readings: Sequence[Reading]) -> list[str]:
    bullets = [
        f'- **{escape(each.plain)}** The claim "{escape(each.claim)}" is {each.outcome}.'
        for each in readings
    ]
    return ["\n".join(bullets)] if bullets else ["Nothing can be said."]


def _numbers(readings: Sequence[Reading]) -> list[str]:
    return [escape(f"{each.claim}. {each.text} {each.limits}") for each in readings]


def _below_results(analysis: Analysis) -> tuple[str, str]:
    return intervals_note(analysis.verdicts, analysis.rules), full_names(analysis)
