"""Rules chosen when the results were there: the verdicts, and what is said of the promise."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_fakes import failed, make_analysis, make_probes
from scipy import stats
from statsmodels.stats.multitest import multipletests

from normscope.analysis.afterwards import Chosen
from normscope.experiment import Design
from normscope.report.as_json import as_json
from normscope.report.figures import make_figures
from normscope.report.html import render_page
from normscope.report.in_notebook import render_in_notebook
from normscope.report.latex import render_latex
from normscope.report.markdown import render_markdown
from normscope.report.method import method_paragraph
from normscope.report.plots.style import COLORS

LOOKING = Design(until_decided=True)
NOISY = (1.5, -0.5, 1.0, 0.2, -0.7, 1.2, 0.4, -0.2, 0.9)


def outcomes(verdicts):
    return {verdict.norm: verdict.outcome for verdict in verdicts}


def test_another_baseline_compares_with_that_one():
    analysis = make_analysis(seeds=6, chosen=Chosen("gn", 0.05, 0.5))
    assert [norm.norm for norm in analysis.norms] == ["gn", "bn", "ln"]
    reached = {
        norm: np.array([r.history[-1].test_accuracy_percent for r in analysis.results_of(norm)])
        for norm in ("bn", "gn", "ln")
    }
    differences = [reached[norm] - reached["gn"] for norm in ("bn", "ln")]
    p_values = [stats.ttest_1samp(each, 0).pvalue for each in differences]
    corrected = multipletests(p_values, method="holm")[1]
    for verdict, each, p in zip(analysis.verdicts, differences, corrected, strict=True):
        assert verdict.baseline == "gn"
        assert verdict.difference.mean == pytest.approx(each.mean())
        assert verdict.judgement.p_value == pytest.approx(p)
    assert all("gn" in str(answer) for answer in analysis.answers)


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (lambda results: results, {"differences", "paired", "race"}),  # of norms but the baseline
        (lambda results: [r if r.trial.norm != "y" else failed(r, "no") for r in results], None),
    ],
)
def test_another_baseline_leaves_every_norm_its_colour(change, figures):
    """By it y would be drawn before x, though nothing of y is in these figures."""
    analysis = make_analysis(
        norms=("bn", "x", "y"), seeds=7, epochs=3, test_size=100, design=LOOKING, change=change,
        batch_sizes=(8, 512), probes=make_probes(0.3), chosen=Chosen("y", 0.05, 0.5),
    )  # fmt: skip
    drawn = [f for f in make_figures(analysis) if figures is None or f.name in figures]
    assert len(drawn) >= 3
    for figure in drawn:
        assert COLORS[4].lower() not in figure.svg.lower(), figure.name
    assert any(COLORS[3].lower() in figure.svg.lower() for figure in drawn)


@pytest.mark.parametrize("chosen", [None, Chosen("y", 0.05, 0.5)])
def test_another_baseline_leaves_the_swatches_their_colours(chosen):
    analysis = make_analysis(norms=("bn", "x", "y"), epochs=3, test_size=100, chosen=chosen)
    page = render_page(analysis, [], Path("pictures"))
    notebook = render_in_notebook(analysis, None)
    for norm, color in (("x", COLORS[3]), ("y", COLORS[4])):
        swatch = re.search(rf'class="swatch (norm-\d)"></span>{norm}</th>', page)
        assert f".{swatch[1]} {{ background: {color}; }}" in page
        assert f'background:{color}"></span>{norm}</th>' in notebook


@pytest.mark.parametrize("design", [Design(), LOOKING])
def test_another_alpha_and_margin_judge_as_if_they_had_been_asked_for(design):
    chosen = Chosen("bn", 0.4, 3.0)
    late = make_analysis(seeds=7, design=design, chosen=chosen)
    early = make_analysis(
        seeds=7, design=design.model_copy(update={"alpha": 0.4, "margin_points": 3.0})
    )
    assert late.verdicts == early.verdicts
    intervals = [[c.judgement.simultaneous for c in each.secondary] for each in (late, early)]
    assert intervals[0] == intervals[1]
    own = make_analysis(seeds=7, design=design)
    assert late.promised.verdicts == own.verdicts
    assert late.verdicts != own.verdicts


def test_what_differs_at_a_smaller_alpha_differs_at_the_promised_one():
    """That is what the note says of it."""
    promised = outcomes(make_analysis(seeds=10).verdicts)
    for alpha in (0.04, 0.01, 1e-3, 1e-4, 1e-5):
        strict = make_analysis(seeds=10, chosen=Chosen("bn", alpha, 0.5))
        for norm, outcome in outcomes(strict.verdicts).items():
            assert outcome not in ("better", "worse") or outcome == promised[norm]


def behind(points):
    """A change of results, by which gn ends so many points behind bn, one number per seed."""

    def change(results):
        reached = {r.trial.seed: r.history[-1] for r in results if r.trial.norm == "bn"}
        return [
            r.model_copy(update={"history": (*r.history[:-1], less(reached, r.trial.seed))})
            if r.trial.norm == "gn"
            else r
            for r in results
        ]

    def less(reached, seed):
        own = reached[seed]
        lower = own.test_accuracy_percent - points[seed]
        return replace(own, test_accuracy_percent=lower)

    return change


def test_a_small_difference_may_be_called_equivalent_at_a_smaller_alpha():
    """p is 0.0032 of no difference, and 0.0003 of 0.5 points."""
    points = (0.0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.3, 0.4, 0.6)
    drawn = {"seeds": 10, "norms": ("bn", "gn"), "change": behind(points)}
    assert stats.ttest_1samp(points, 0).pvalue == pytest.approx(0.0032, abs=1e-4)
    assert stats.ttest_1samp(points, 0.5, alternative="less").pvalue < 0.001
    own = make_analysis(**drawn)
    strict = make_analysis(**drawn, chosen=Chosen("bn", 0.001, 0.5))
    assert (outcomes(own.verdicts), outcomes(strict.verdicts)) == (
        {"gn": "worse"}, {"gn": "equivalent"}
    )  # fmt: skip
    assert "a small difference may now be called equivalent only" in strict.promised.note


def test_a_norm_that_the_design_dropped_lacks_no_trial_by_other_rules():
    """gn was decided after 6 seeds; by a stricter alpha it is not, and was not trained on."""

    def dropped(results):
        return [r for r in results if r.trial.norm != "gn" or r.trial.seed < 6]

    own = make_analysis(seeds=9, design=LOOKING, change=dropped, norms=("bn", "ln", "gn"))
    assert outcomes(own.verdicts)["gn"] == "worse"
    strict = make_analysis(
        seeds=9, design=LOOKING, change=dropped, norms=("bn", "ln", "gn"),
        chosen=Chosen("bn", 1e-6, 0.5),
    )  # fmt: skip
    assert outcomes(strict.verdicts)["gn"] == "undecided"
    assert [n.trials for n in strict.norms] == [n.trials for n in own.norms] == [9, 9, 6]
    assert "unfinished trials" not in [caveat.kind for caveat in strict.caveats]
    late = make_analysis(
        seeds=9, design=LOOKING, change=dropped, norms=("bn", "ln", "gn"),
        chosen=Chosen("gn", 0.05, 0.5),
    )  # fmt: skip
    assert " Decided, and so trained no further: gn after 6 seeds." in own.method
    for analysis in (strict, late):
        by_design = "By the design's rules decided, and so trained no further: gn after 6 seeds."
        assert by_design in analysis.method
        assert by_design in method_paragraph(analysis)
    assert "with 6 to 9 seeds: " in method_paragraph(own)
    assert "Decided, and so trained no further: gn after 6 seeds." in method_paragraph(own)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (Chosen("gn", 0.05, 0.5), ["baseline gn was", "No correction covers choosing"]),
        (Chosen("bn", 0.1, 0.5), ["alpha 10 % was", "found at 10 % and not at 5 % is not promis"]),
        (Chosen("bn", 0.01, 0.5), ["alpha 1 % was", "the chance that was promised is 5 %"]),
        (Chosen("bn", 0.05, 1), ["margin 1 points was", "do not depend on the margin", "not prom"]),
        (Chosen("bn", 0.01, 2), ["alpha 1 % and margin 2 points were", "another margin is not"]),
    ],
)
def test_the_note_says_what_was_promised_and_what_is_left_of_it(chosen, words):
    analysis = make_analysis(seeds=6, chosen=chosen)
    note = analysis.promised.note
    assert "Asked for with the training: baseline bn, alpha 5 %, margin 0.5 points; by" in note
    for norm, outcome in outcomes(analysis.promised.verdicts).items():
        assert norm in note
        assert outcome in note
    assert all(each in note for each in words)
    assert ("looks" in note) == (analysis.rules.sequential)


def test_only_a_sequential_design_tells_of_its_looks():
    assert "looks" in make_analysis(design=LOOKING, chosen=Chosen("gn", 0.05, 0.5)).promised.note


def test_no_number_of_seeds_is_foreseen():
    """More of them would not make of it what was promised."""
    drawn = {"seeds": 9, "norms": ("bn", "gn"), "design": LOOKING, "change": behind(NOISY)}
    asked = make_analysis(**drawn)
    assert "more seed" in str(asked.answers[0])
    assert "more seed" in str(asked.recommendation)
    late = make_analysis(**drawn, chosen=Chosen("bn", 0.01, 0.5))
    assert late.answers[0].outcome == asked.answers[0].outcome == "undecided"
    assert "seeds)." in str(late.answers[0])
    assert not any("more seed" in str(each) for each in (*late.answers, late.recommendation))
    assert late.verdicts[0].judgement.more_seeds is None
    few = make_analysis(norms=("bn", "gn"), chosen=Chosen("bn", 0.01, 0.5))
    assert "more seeds" not in few.method


def test_seeds_of_the_users_choice_are_for_a_fixed_design():
    chosen = Chosen("gn", 0.05, 0.5)
    advice = "and in a fixed design with seeds that were not seen (--seeds A,B,...)."
    assert make_analysis(design=LOOKING, chosen=chosen).promised.note.endswith(advice)
    note = make_analysis(chosen=chosen).promised.note
    assert note.endswith("from the start and with seeds that were not seen (--seeds A,B,...).")


def test_of_many_verdicts_the_note_counts():
    norms = ("bn", "gn", "ln", "in", "frn", "brn")
    note = make_analysis(norms=norms, chosen=Chosen("gn", 0.05, 0.5)).promised.note
    told = note[note.index("by these, ") : note.index(". No")]
    assert sum(int(word) for word in told.split() if word.isdigit()) == 5


def test_every_surface_says_so(tmp_path):
    analysis = make_analysis(seeds=6, chosen=Chosen("gn", 0.05, 0.5))
    assert str(analysis.recommendation).endswith("by rules chosen after seeing the results.")
    assert str(analysis.caveats[0]) == analysis.promised.note
    assert "It would hold for rules that were chosen in advance" in analysis.method
    assert "Exploratory: baseline gn" in render_markdown(analysis, [])
    repeat = "normscope report FOLDER --baseline gn"
    assert f"    normscope compare --dataset cifar10\n\n    {repeat}\n" in (
        render_markdown(analysis, [])
    )
    assert f"<code>{repeat}</code>" in render_page(analysis, [], tmp_path)
    chosen = Chosen("bn", 0.01, 1)
    command = make_analysis(chosen=chosen).promised.command
    assert command == "normscope report FOLDER --alpha 0.01 --margin 1"
    assert "Exploratory: baseline gn" in render_latex(analysis)
    assert set(analysis.table()["rules"]) == {"chosen after seeing the results"}
    design = json.loads(json.dumps(as_json(analysis)))["design"]
    assert design["promised"]["baseline"] == "bn"
    assert design["promised"]["note"] == analysis.promised.note


def test_by_the_rules_that_were_asked_for_nothing_is_said_of_it():
    analysis = make_analysis()
    assert "rules" not in analysis.table()
    assert as_json(analysis)["design"]["promised"] is None
    assert "xploratory" not in render_markdown(analysis, [])
