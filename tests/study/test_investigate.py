"""Ready experiments: that each of them can be run and read, and what is written in the end."""

import dataclasses
import re
from dataclasses import replace

import numpy as np
import pytest
from report_fakes import make_analysis
from scipy import stats as scipy_stats

import normscope as package
from normscope.analysis.why import ACROSS, READINGS
from normscope.errors import UsageError
from normscope.experiment import RECIPES, Design, Experiment
from normscope.experiment.investigations import INVESTIGATIONS
from normscope.norms import canonical
from normscope.observers import Observer
from normscope.probes import PROBES
from normscope.report.figures import FIGURES
from normscope.report.finding import render_finding
from normscope.store import Store
from normscope.study.investigate import investigate, plan

TINY = {
    "train_limit": 64,
    "test_limit": 40,
    "recipe": {"base": "quick", "epochs": 2, "batch_size": 16},
}


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INVESTIGATIONS)
def test_whatever_an_investigation_names_is_there(name, tmp_path):
    found = INVESTIGATIONS[name]
    assert [canonical(norm) for norm in found.norms] == [*found.norms]
    assert {*found.probes} <= {*PROBES}
    assert {*found.claims} <= {*READINGS}
    assert {*found.across} <= {*ACROSS}
    patterns = [pattern for entry in FIGURES for pattern in entry.names]
    for figure in found.figures:
        assert any(re.fullmatch(pattern, figure) for pattern in patterns), figure
    planned = plan(name, Experiment(), out=tmp_path / "runs", device="cpu")
    assert [each.asked.norms for each in planned.parts.values()] == [found.norms] * len(found.parts)
    assert all(each.asked.seeds == 5 for each in planned.parts.values())
    assert not (tmp_path / "runs").exists()


def test_what_is_asked_for_goes_before_what_is_planned():
    asked = Experiment(dataset="cifar10", norms=("ln", "bn"), seeds=2, batch_sizes=(64,))
    parts = INVESTIGATIONS["regularization"].experiments(asked)
    assert {part: each.recipe.dropout for part, each in parts.items()} == {
        "as-it-is": None, "without-dropout": 0.0
    }  # fmt: skip
    for part in parts.values():
        assert part.model_copy(update={"recipe": RECIPES["s8"]}) == asked
    (whole,) = INVESTIGATIONS["batch-size"].experiments(Experiment(dataset="cifar10")).values()
    assert whole.batch_sizes == (8, 32, 128, 512)
    assert whole.recipe == RECIPES["s8"]


def test_a_finding_says_below_its_table_what_the_intervals_are():
    """And names the norms in full, as the report does."""
    alike = make_analysis(norms=("bn", "gn"), design=Design(margin_points=50))
    alike = replace(alike, titles={"gn": "GroupNorm"})
    text = render_finding("Why?", {"": alike}, {"": ()}, (), (), {"": ()}, "normscope")
    assert (
        "\n\nDifferences are taken within seeds, with their 95 % interval. Equivalence is judged "
        "by a 90 % interval of its own.\n\ngn: GroupNorm\n\n"
    ) in text


# -- a whole one -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bump(tmp_path_factory):
    out = tmp_path_factory.mktemp("investigated") / "shared"
    asked = Experiment(norms=("bn", "ln"), seeds=1, **TINY)
    return investigate(
        "bump", asked, out=out, workers=1, observer=Observer(), command="the command"
    )


def test_the_finding_says_the_question_the_answer_and_how(bump):
    text = bump.path.read_text(encoding="utf-8")
    assert bump.path.name == "finding-bump.md"
    assert text.startswith(f"# {INVESTIGATIONS['bump'].question}\n\n**Synthetic data.**")
    assert bump.readings[""][0].claim in text
    for reading in bump.readings[""]:
        assert f'The claim "{reading.claim}" is {reading.outcome}.' in text
    assert "[report.html](report.html)" in text
    assert text.endswith("    the command\n")
    for link in re.findall(r"!\[[^]]*\]\((.+?)\)", text):
        assert (bump.path.parent / link).exists(), link


def test_another_question_in_the_same_folder_trains_what_is_missing_alone(bump):
    folder = bump.path.parent
    asked = Experiment(norms=("bn", "ln", "in"), seeds=1, **TINY)
    again = investigate("smoothness", asked, out=folder, workers=1, observer=Observer())
    assert {path.name for path in folder.glob("finding-*.md")} == {
        "finding-bump.md", "finding-smoothness.md"
    }  # fmt: skip
    trained = {r.trial.norm: r.started for r in Store(folder).records()}
    assert {*trained} == {"bn", "ln", "in"}
    # bn and ln were trained without a look at their landscape and their channels.
    assert again.unread == ("landscape", "drift")
    assert len(again.readings[""]) == 2
    assert "Nothing can be said on landscape, drift" in again.path.read_text(encoding="utf-8")


def test_parts_have_folders_and_are_read_together(tmp_path):
    asked = Experiment(norms=("bn", "ln"), seeds=2, **TINY)
    found = investigate(
        "regularization", asked, out=tmp_path / "out", workers=1, observer=Observer()
    )
    assert {part: each.folder.name for part, each in found.comparisons.items()} == {
        "as-it-is": "as-it-is", "without-dropout": "without-dropout"
    }  # fmt: skip
    assert found.across[0].claim == "bn takes the place of another regularizer"
    assert {part: len(each) for part, each in found.readings.items()} == {
        "as-it-is": 1, "without-dropout": 1
    }  # fmt: skip
    assert "with dropout on" in found.readings["as-it-is"][0].limits
    assert "with dropout on" not in found.readings["without-dropout"][0].limits
    text = found.path.read_text(encoding="utf-8")
    assert "### Without dropout" in text
    links = re.findall(r"\]\((.+?)\)", text)
    assert "without-dropout/report.html" in links
    for link in links:
        assert (tmp_path / "out" / link).exists(), link


def test_nothing_is_begun_that_cannot_be_done(tmp_path):
    with pytest.raises(UsageError, match="unknown investigation 'colour'; known: channels, bump"):
        investigate("colour", out=tmp_path / "out")
    with pytest.raises(UsageError, match="unknown norm 'foo'"):
        investigate("regularization", Experiment(norms=("bn", "foo")), out=tmp_path / "out")
    dropless = Experiment(recipe={"base": "quick", "dropout": 0.0})
    with pytest.raises(UsageError, match="which are the same with this recipe"):
        investigate("regularization", dropless, out=tmp_path / "out")
    with pytest.raises(UsageError, match="name two or more in --batch-sizes"):
        investigate("batch-size", Experiment(batch_sizes=(64,)), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert package.investigate is investigate


# -- the claim on both parts -----------------------------------------------------------------------

NOISE = np.array([0.05, -0.02, 0.03, -0.04, 0.01])


def accuracies(by_norm):
    """An analysis of trials that end at these test accuracies, by norm and seed."""

    def change(results):
        moved = []
        for r in results:
            last = {"test_accuracy_percent": float(by_norm[r.trial.norm][r.trial.seed])}
            history = (*r.history[:-1], replace(r.history[-1], **last))
            moved.append(r.model_copy(update={"history": history}))
        return moved

    return make_analysis(tuple(by_norm), 5, change=change)


@pytest.mark.parametrize(
    ("bn_gains", "ln_gains", "outcome"),
    [
        (0.2, -1.0, "supported"),
        (0.2, 1.5, "contradicted"),
        (0.2, 0.2, "not decided"),
        (2.0, 1.0, "not decided"),  # nobody loses anything
    ],
)
def test_who_misses_dropout_less(bn_gains, ln_gains, outcome):
    whole = {"bn": 75 + 3 * NOISE, "ln": 74 - NOISE}
    without = {"bn": whole["bn"] + bn_gains, "ln": whole["ln"] + ln_gains + NOISE - NOISE.mean()}
    found = ACROSS["without dropout"](
        {"as-it-is": accuracies(whole), "without-dropout": accuracies(without)}
    )
    assert found.outcome == outcome
    differences = ln_gains + NOISE - NOISE.mean() - bn_gains
    low, high = scipy_stats.ttest_1samp(differences, 0).confidence_interval()
    size = f"{differences.mean() + 0.0:+.2f} points (95 % {low:+.2f} to {high:+.2f}, 5 seeds)"
    assert f"bn {bn_gains:+.2f} points; ln {ln_gains:+.2f} points (95 %".replace("-", "−") in (
        found.text
    )
    assert size.replace("-0.00", "+0.00").replace("-", "−") in found.text


def test_a_part_without_a_norm_leaves_nothing_to_say():
    whole, without = (
        accuracies({"bn": 75 + NOISE, "ln": 74 + NOISE}),
        accuracies({"bn": 75 + NOISE}),
    )
    parts = {"as-it-is": whole, "without-dropout": without}
    assert ACROSS["without dropout"](parts) is None
    alone = dataclasses.replace(whole, all_trials=())
    assert ACROSS["without dropout"]({"as-it-is": alone, "without-dropout": whole}) is None
