"""Results from files, judged: this project's own to the digit, others against scipy."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from normscope.errors import UsageError
from normscope.experiment import Design
from normscope.study.comparison import Comparison
from normscope.study.judge import default_folder, judge
from normscope.study.results_columns import Columns

RESULTS = Path(__file__).parents[2] / "docs" / "results"
OWN = sorted(path.parent for path in RESULTS.glob("*/trials.csv"))
ALONE = ("cifar10-resnet9-page", "cifar10-s8-bump")  # of bn, without another norm
COMPARABLE = [folder for folder in OWN if folder.name not in ALONE]


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """What results come to, with no report drawn."""
    monkeypatch.setattr("normscope.study.judge.write_judged", lambda *_: tmp_path / "report.html")

    def run(*files, **options):
        return judge(files, out=tmp_path / "out", **options).judged

    return run


def saved(path, head, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("folder", COMPARABLE, ids=lambda folder: folder.name)
def test_own_trials_are_judged_to_the_digit_as_compare_does(folder, version, judged, monkeypatch):
    monkeypatch.setattr("normscope.analysis.numbers.rules_of", lambda _: version)
    analysis = Comparison.read(folder).analysis
    found = judged(folder / "trials.csv", looked=analysis.rules.sequential, rules=version)
    assert found.rules == analysis.rules
    theirs = {(v.norm, v.batch_size): v for v in analysis.verdicts}
    assert {(v.norm, v.batch_size) for v in found.verdicts} == set(theirs)
    for verdict in found.verdicts:
        other = theirs[verdict.norm, verdict.batch_size]
        assert verdict.judgement.pairs.differences == other.judgement.pairs.differences
        assert verdict.judgement.difference == other.judgement.difference
        assert verdict.judgement.simultaneous == other.judgement.simultaneous
        assert verdict.judgement.equivalence == other.judgement.equivalence
        assert verdict.judgement.p_value == other.judgement.p_value
        assert verdict.judgement.family == other.judgement.family
        assert verdict.judgement.seeds_needed == other.judgement.seeds_needed
        assert (verdict.outcome, verdict.baseline) == (other.outcome, other.baseline)
        assert verdict.guessing == other.guessing
        assert verdict.unfinished == other.unfinished
    means = {(n.norm, n.batch_size): n.test_accuracy_percent for n in analysis.by_batch_size}
    for panel in found.panels:
        for level in panel.levels:
            assert level.accuracy == means[level.name, panel.batch_size]
    told = [str(answer) for answer in analysis.answers]
    if not any(" after " in each for each in told):  # the length of a training is not in the file
        assert sorted(str(answer) for answer in found.answers) == sorted(told)


# -- three norms, three seeds, three settings, against scipy ---------------------------------------

NORMS, SETTINGS, SEEDS = ("bn", "gn", "ln"), ("s8", "resnet20", "vgg"), (0, 1, 2)
DRAWN = np.random.default_rng(5).normal(75, 0.3, (3, 3, 3)).round(2)  # setting, norm, seed
DRAWN[:, 1] -= 2


@pytest.fixture
def three_by_three(tmp_path):
    rows = [
        [model, norm, seed, DRAWN[m, n, seed]]
        for m, model in enumerate(SETTINGS)
        for n, norm in enumerate(NORMS)
        for seed in SEEDS
    ]
    return saved(tmp_path / "three.csv", ["model", "norm", "seed", "test_accuracy"], rows)


def test_each_setting_is_judged_as_scipy_has_it(three_by_three, judged):
    found = judged(three_by_three)
    assert [panel.setting for panel in found.panels] == [*SETTINGS]
    for panel, accuracy in zip(found.panels, DRAWN, strict=True):
        tests = [stats.ttest_rel(accuracy[n], accuracy[0]) for n in (1, 2)]
        smaller, larger = sorted(test.pvalue for test in tests)
        by_holm = [min(1, 2 * smaller), max(min(1, 2 * smaller), larger)]
        first, second = sorted(panel.verdicts, key=lambda v: v.judgement.p_value)
        ours = [first.judgement.p_value, second.judgement.p_value]
        assert ours == pytest.approx(by_holm, rel=1e-9)
        for verdict, test in zip(panel.verdicts, tests, strict=True):
            at_once = test.confidence_interval(1 - 0.05 / 2)
            assert verdict.judgement.simultaneous == pytest.approx([*at_once], abs=1e-8)
            assert verdict.judgement.family == 2
        decided = [v for v in panel.verdicts if v.judgement.p_value <= 0.05]
        assert all(v.outcome in ("better", "worse") for v in decided)
    assert sum(verdict.outcome == "worse" for verdict in found.verdicts) >= 2
    assert "Each setting is a family of its own, of 2 comparisons." in found.method


def test_over_all_settings_it_is_as_a_suite_has_it(three_by_three, judged):
    found = judged(three_by_three)
    gn, ln = found.across
    assert (gn.norm, ln.norm) == ("gn", "ln")
    means = (DRAWN[:, 1] - DRAWN[:, 0]).mean(axis=1)
    assert gn.pooled.mean == pytest.approx(means.mean(), abs=0.3)
    assert gn.interval[0] < gn.pooled.mean < gn.interval[1]
    assert [each.setting for each in gn.found] == [*SETTINGS]
    assert "over all" in gn.sentence
    withheld = judged(three_by_three, looked=True)
    assert withheld.rules.sequential
    assert all(across.outcome == "undecided" for across in withheld.across)
    assert "seeds were added after a look" in withheld.across[0].sentence


def test_a_baseline_margin_and_alpha_are_kept(three_by_three, judged):
    found = judged(three_by_three, baseline="ln", design=Design(alpha=0.01, margin_points=2.0))
    assert (found.baseline, found.rules.alpha, found.rules.margin) == ("ln", 0.01, 2.0)
    assert [verdict.norm for verdict in found.panels[0].verdicts] == ["bn", "gn"]
    interval = stats.ttest_rel(DRAWN[0, 0], DRAWN[0, 2]).confidence_interval(1 - 0.01 / 2)
    assert found.verdicts[0].judgement.simultaneous == pytest.approx([*interval], abs=1e-8)


# -- somebody else's table ------------------------------------------------------------------------

# Mean and sd of three seeds as MLS-Bench publishes them, of the networks in the order of the file.
PUBLISHED_MEANS = {
    "group_norm": [(67.88667, 0.41016), (69.98, 0.40112), (93.2, 0.20298)],
    "batch_instance_norm": [(66.69, 0.57), (68.77667, 0.27301), (93.53333, 0.10504)],
    "switchable_norm": [(69.15, 0.18682), (70.07667, 0.43822), (94.21, 0.16523)],
}


def test_a_public_table_of_three_norms_three_seeds_and_three_networks(judged):
    """`examples/mls-bench.csv`, whose source is in docs/judge.md; the tests are scipy's."""
    table = Path(__file__).parents[2] / "examples" / "mls-bench.csv"
    found = judged(table)
    assert [panel.setting for panel in found.panels] == [
        "cifar100, resnet56", "cifar100, resnet110", "fashion-mnist, mobilenetv2"
    ]  # fmt: skip
    assert found.baseline == "group_norm"
    for place, panel in enumerate(found.panels):
        for level in panel.levels:
            told = (level.accuracy.mean, level.accuracy.sd)
            assert told == pytest.approx(PUBLISHED_MEANS[level.name][place], abs=1e-4)
        baseline, *others = ([*level.percent.values()] for level in panel.levels)
        p_values = [stats.ttest_rel(other, baseline).pvalue for other in others]
        differ = 2 * min(p_values) <= 0.05  # Holm's first step
        apart = [v.norm for v in panel.verdicts if v.outcome in ("better", "worse")]
        assert bool(apart) == differ
        tost = [ttost_paired(np.array(o), np.array(baseline), -0.5, 0.5)[0] for o in others]
        equal = [v.norm for v in panel.verdicts if v.judgement.within_margin]
        assert bool(equal) == (2 * min(tost) <= 0.05)
    outcomes = {(v.norm, v.outcome) for v in found.verdicts}
    assert outcomes == {
        ("batch_instance_norm", "undecided"), ("switchable_norm", "undecided"),
        ("switchable_norm", "equivalent"), ("switchable_norm", "better"),
    }  # fmt: skip
    assert [across.outcome for across in found.across] == ["undecided"] * 2


# -- what one run each carries ---------------------------------------------------------------------

PUBLISHED = {
    "bn": [33.54, 45.42, 55.37, 60.62, 62.86, 65.21, 68.41, 67.49, 68.32, 73.56, 73.91, 75.18,
           75.68, 75.77, 75.77, 80.49],
    "gn": [30.54, 43.26, 52.42, 56.27, 60.98, 64.29, 66.20, 68.32, 69.79, 70.35, 72.03, 73.38,
           73.26, 73.90, 74.18, 78.59],
    "ln": [31.68, 46.60, 52.52, 57.44, 63.09, 66.44, 67.43, 69.68, 69.45, 71.96, 73.38, 74.07,
           74.42, 74.72, 74.98, 79.55],
}  # fmt: skip


def published_wide(path):
    head = ["norm", *range(1, 16), "train"]
    return saved(path, head, [[norm, *row] for norm, row in PUBLISHED.items()])


def published_long(path):
    rows = [[n, e, row[e - 1]] for n, row in PUBLISHED.items() for e in range(1, 16)]
    return saved(path, ["norm", "epoch", "test accuracy (%)"], rows)


@pytest.mark.parametrize("form", [published_wide, published_long])
def test_the_published_runs_are_one_each_and_conclude_nothing(form, tmp_path, judged):
    found = judged(form(tmp_path / "published.csv"))
    gn, ln = found.verdicts
    assert (gn.outcome, ln.outcome) == ("undecided", "undecided")
    assert gn.difference.mean == pytest.approx(74.18 - 75.77)
    assert (gn.difference.low, gn.judgement.p_value) == (None, 1.0)
    assert [str(answer) for answer in found.answers] == [
        "gn against bn: −1.59 points in one run each: no conclusion.",
        "ln against bn: −0.79 points in one run each: no conclusion.",
    ]
    assert found.caveats[0].startswith("One run each: no conclusion.")
    assert any("the last" in note and "counts" in note for note in found.notes)


def test_seven_single_runs_conclude_nothing(tmp_path, judged):
    accuracies = [78, 76.5, 75.1, 74.2, 73.3, 72.9, 71.5]
    rows = [[f"norm{i}", 40 + i, accuracy] for i, accuracy in enumerate(accuracies)]
    found = judged(saved(tmp_path / "seven.csv", ["method", "seed", "acc"], rows))
    assert [verdict.outcome for verdict in found.verdicts] == ["undecided"] * 6
    assert all("no conclusion" in str(answer) for answer in found.answers)
    assert found.baseline == "norm0"


def test_two_seeds_and_no_spread_are_told(tmp_path, judged):
    rows = [["sgd", 0, 70], ["sgd", 1, 71], ["adamw", 0, 71], ["adamw", 1, 72]]
    path = saved(tmp_path / "two.csv", ["optimizer", "seed", "accuracy"], rows)
    found = judged(path, columns=Columns(factor="optimizer"))
    assert found.factor == "optimizer"
    assert "Two seeds: " in found.caveats[0]
    assert "leaves no spread to judge by" in str(found.answers[0])
    assert found.verdicts[0].outcome == "undecided"


# -- kinds of files --------------------------------------------------------------------------------

ACCURACY = {("bn", 0): 75.8, ("bn", 1): 75.9, ("bn", 2): 76.3, ("gn", 0): 73.9, ("gn", 1): 74.3,
            ("gn", 2): 74.1}  # fmt: skip


def as_wandb(folder):
    lines = [
        '"Name","State","Created","config.norm","config.seed","summary.test_acc"',
        *(f'"run-{n}-{s}","finished","2026-01-01","{n}","{s}","{a / 100:.4f}"'
          for (n, s), a in ACCURACY.items()),
    ]  # fmt: skip
    path = folder / "wandb_export.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def as_mlflow(folder):
    head = ["run_id", "status", "params.norm", "params.seed", "params.batch_size",
            "metrics.test_accuracy", "metrics.train_loss", "tags.mlflow.runName"]  # fmt: skip
    rows = [[f"{i:032x}", "FINISHED", n, s, 512, a / 100, 0.5, f"{n} run"]
            for i, ((n, s), a) in enumerate(ACCURACY.items())]  # fmt: skip
    return saved(folder / "runs.csv", head, rows)


def as_german(folder):
    lines = ["Norm;Random Seed;Test Accuracy", *(f"{n};{s}.0;{a} %" for (n, s), a in
                                                 ACCURACY.items())]  # fmt: skip
    path = folder / "ergebnisse.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig", newline="")
    return path


def as_epochs(folder):
    head = ["normalization", "trial", "epoch", "val_loss", "val_acc"]
    rows = [[n, s, e, 1 / (e + 1), "" if e in (2, 4) else a - 10 * (3 - e)]
            for (n, s), a in ACCURACY.items() for e in (4, 3, 1, 2)]  # fmt: skip
    return saved(folder / "history.csv", head, rows)


def as_a_line_a_run(folder):
    lines = [f'{{"norm": "{n}", "seed": {s}, "test": {{"acc": {a / 100}}}}}\n' for (n, s), a in
             ACCURACY.items()]  # fmt: skip
    path = folder / "all.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def as_a_file_a_run(folder):
    (folder / "logs").mkdir()
    for (n, s), a in ACCURACY.items():
        lines = [f'{{"config": {{"norm": "{n}", "seed": {s}}}}}']
        lines += [f'{{"epoch": {e}, "test_acc": {(a - 5 * (2 - e)) / 100}, "lr": null}}'
                  for e in (1, 2)]  # fmt: skip
        (folder / "logs" / f"{n}{s}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "logs"


@pytest.mark.parametrize(
    "form", [as_wandb, as_mlflow, as_german, as_epochs, as_a_line_a_run, as_a_file_a_run]
)
def test_every_kind_of_file_comes_to_the_same(form, tmp_path, judged):
    options = {"columns": Columns(accuracy="test.acc")} if form is as_a_line_a_run else {}
    found = judged(form(tmp_path), **options)
    (gn,) = found.verdicts
    assert gn.judgement.pairs.differences == pytest.approx([-1.9, -1.6, -2.2], abs=1e-6)
    values = [[ACCURACY[n, s] for s in (0, 1, 2)] for n in ("gn", "bn")]
    interval = stats.ttest_rel(*values).confidence_interval()
    assert (gn.difference.low, gn.difference.high) == pytest.approx([*interval], abs=1e-6)
    assert (gn.outcome, found.baseline) == ("worse", "bn")
    fractions = any("taken for fractions" in note for note in found.notes)
    assert fractions == (form in (as_wandb, as_mlflow, as_a_line_a_run, as_a_file_a_run))
    assert any("the last epoch" in note for note in found.notes) == (
        form in (as_epochs, as_a_file_a_run)
    )
    assert any("validation" in caveat for caveat in found.caveats) == (form is as_epochs)


def test_several_files_are_one(tmp_path, judged):
    one = saved(tmp_path / "a.csv", ["norm", "seed", "acc"],
                [[n, s, a] for (n, s), a in ACCURACY.items() if n == "bn"])  # fmt: skip
    two = saved(tmp_path / "b.csv", ["seed", "test_acc", "variant"],
                [[s, a / 100, n] for (n, s), a in ACCURACY.items() if n == "gn"])  # fmt: skip
    (gn,) = judged(two, one).verdicts
    assert gn.judgement.pairs.differences == pytest.approx([-1.9, -1.6, -2.2], abs=1e-6)


def test_only_the_seeds_of_both_are_used_and_the_others_named(tmp_path, judged):
    rows = [[n, s, a] for (n, s), a in ACCURACY.items()]
    rows += [["bn", 7, 70], ["gn", "x9", 80]]
    found = judged(saved(tmp_path / "r.csv", ["norm", "seed", "acc"], rows))
    (gn,) = found.verdicts
    assert gn.judgement.pairs.differences == (-1.9, -1.6, -2.2)
    assert gn.outcome == "worse"
    (left,) = found.caveats
    assert "seed x9 of gn, which bn lacks" in left
    assert "seed 7 of bn, which gn lacks" in left


def test_folds_widen_the_intervals(tmp_path, judged):
    rows = [[n, f"{s}", a] for (n, s), a in ACCURACY.items()]
    path = saved(tmp_path / "folds.csv", ["norm", "fold", "accuracy"], rows)
    (gn,) = judged(path).verdicts
    differences = np.array([-1.9, -1.6, -2.2])
    error = differences.std(ddof=1) * np.sqrt(1 / 3 + 1 / 2)  # Nadeau and Bengio, 3 folds
    half = stats.t.ppf(0.975, 2) * error
    assert (gn.difference.low, gn.difference.high) == pytest.approx((-1.9 - half, -1.9 + half))
    (five,) = judged(path, folds=5).verdicts
    half = stats.t.ppf(0.975, 2) * differences.std(ddof=1) * np.sqrt(1 / 3 + 1 / 4)
    assert five.difference.high == pytest.approx(-1.9 + half)
    with pytest.raises(UsageError, match="folds are not; leave --looked out"):
        judged(path, looked=True)


def test_a_column_of_percent_holds_percent_however_low(tmp_path, judged):
    rows = [[n, s, round(a / 100, 3)] for (n, s), a in ACCURACY.items()]
    for name, size in (("test_accuracy_percent", 1), ("Acc (%)", 1), ("Acc", 100)):
        found = judged(saved(tmp_path / "r.csv", ["norm", "seed", name], rows))
        assert found.panels[0].levels[0].accuracy.mean == pytest.approx(0.76 * size)
    mixed = saved(tmp_path / "r.csv", ["norm", "seed", "acc"], [*rows, ["gn", 7, 20]])
    assert "also 0.739 (row 5), as the highest is 20." in judged(mixed).notes[1]


def test_over_all_settings_the_largest_batch_size_counts(tmp_path, judged):
    rows = [[n, s, m, size, a + (size == 64) * (n == "gn") * (1 + s / 10)]
            for (n, s), a in ACCURACY.items() for m in ("a", "b") for size in (64, 8)]  # fmt: skip
    found = judged(saved(tmp_path / "r.csv", ["norm", "seed", "model", "bs", "acc"], rows))
    assert found.across[0].pooled.mean == pytest.approx(-1.9 + 1.1, abs=1e-6)
    assert found.method.endswith("Of each setting that is at its largest batch size.")


def test_batch_sizes_of_one_setting_are_one_family(tmp_path, judged):
    rows = [[n, s, size, a + size / 100] for (n, s), a in ACCURACY.items() for size in (8, 64)]
    found = judged(saved(tmp_path / "r.csv", ["norm", "seed", "Batch Size", "acc"], rows))
    assert [(v.batch_size, v.judgement.family) for v in found.verdicts] == [(8, 2), (64, 2)]
    assert "gn is 1.90 points worse than bn at batch size 8 (" in str(found.answers[0])
    assert found.across == ()


def test_other_columns_tell_runs_apart(tmp_path, judged):
    rows = [[n, s, lr, a + 10 * lr] for (n, s), a in ACCURACY.items() for lr in (0.1, 0.2)]
    path = saved(tmp_path / "r.csv", ["norm", "seed", "lr", "acc"], rows)
    with pytest.raises(UsageError, match=r"row 2 and .*row 3 are both bn, seed 0; .*--setting"):
        judged(path)
    found = judged(path, columns=Columns(setting=("lr",)))
    assert [panel.setting for panel in found.panels] == ["lr 0.1", "lr 0.2"]


def test_runs_that_did_not_end_well_are_outcomes(tmp_path, judged):
    rows = [[n, s, a, "finished"] for (n, s), a in ACCURACY.items() if (n, s) != ("gn", 2)]
    path = tmp_path / "r.csv"
    head = ["norm", "seed", "acc", "status"]
    saved(path, head, [*rows, ["gn", 2, "", "diverged"]])
    with pytest.raises(UsageError, match=r"row 7: the run diverged, .* --chance"):
        judged(path)
    (gn,) = judged(path, chance_percent=10).verdicts
    assert gn.judgement.pairs.ordinal
    assert gn.judgement.p_value == pytest.approx(2 / 2**3)
    assert gn.guessing[0].diverged == 1
    four = [*rows, ["bn", 3, 76.1, "finished"], ["gn", 2, 74.2, "finished"]]
    assert judged(saved(path, head, four)).verdicts[0].outcome == "worse"
    saved(path, head, [*four, ["gn", 3, 50, "crashed"]])
    found = judged(path)
    assert found.verdicts[0].outcome == "undecided"
    assert found.verdicts[0].unfinished == 1
    assert "1 run of gn did not finish" in " ".join(found.caveats)


def test_runs_that_ended_early_and_best_epochs_are_told(tmp_path, judged):
    rows = [
        [n, s, e, a] for (n, s), a in ACCURACY.items() for e in (1, 2) if (n, s, e) != ("gn", 1, 2)
    ]
    found = judged(saved(tmp_path / "r.csv", ["norm", "seed", "epoch", "best_acc"], rows),
                   columns=Columns(accuracy="best_acc"))  # fmt: skip
    told = " ".join(found.caveats)
    assert "1 run ended before epoch 2, such as gn, seed 1 after epoch 1" in told
    assert "chosen on the images that it is measured on" in told


# -- what cannot be judged -------------------------------------------------------------------------

GOOD = "norm,seed,acc\nbn,0,75.8\nbn,1,75.9\ngn,0,73.9\ngn,1,74.3\n"


OF_ALL = ("holds bn alone", "no column says", "bn has no seed", "has runs of bn")  # of all files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; its first line names the columns"),
        ("norm,seed,acc\n", "holds no rows"),
        ("a,b,c\n1,2,3\n", "no column for what is compared (norm, normalization"),
        ("norm,seed,loss\nbn,0,3\n", "no column for test accuracy (test_accuracy, test_acc"),
        ("norm,norm,acc\nbn,0,3\n", "two columns 'norm'"),
        ("norm,config.norm,seed,acc\nbn,gn,0,3\n", "'norm' and 'config.norm', which differ"),
        (GOOD + "gn,2,74,3\n", "row 6: it has 4 cells, where the first row names 3 columns"),
        (GOOD + 'gn,2,"74,3"\n', "row 6: the accuracy '74,3' (column acc) is no number; write 74"),
        (GOOD + "gn,2,nan\n", "row 6: the accuracy 'nan' (column acc) is no number; if the run"),
        (GOOD + "gn,2,seven\n", "row 6: the accuracy 'seven' (column acc) is no number; correct"),
        (GOOD + "gn,2,\n", "row 6: there is no accuracy; fill it in"),
        (GOOD + "gn,2,174\n", "row 6: the accuracy 174 (column acc) is not between 0 and 100"),
        (GOOD + "gn,2,-3\n", "row 6: the accuracy -3 (column acc) is not between 0 and 100"),
        (GOOD + "gn,2,74 %\n", "row 2: the accuracy '75.8' has no percent sign, as others have"),
        (GOOD + ",2,74\n", "row 6: the column norm is blank"),
        (GOOD + "gn,,74\n", "row 6: the column seed is blank"),
        (GOOD + "gn,1.0,74\n", "row 5 and "),
        ("norm,seed,acc\nbn,0,7\nbn,1,8\n", "holds bn alone, which leaves nothing to compare"),
        ("norm,acc\nbn,7\nbn,8\ngn,7\n", "no column says which runs belong together"),
        ("norm,seed,acc\nbn,0,7\nbn,1,8\ngn,2,7\ngn,3,7\n", "bn has no seed in common with any"),
        ("norm,model,seed,acc\nbn,a,0,7\ngn,b,0,8\n", "has runs of bn and of another norm"),
        ("norm,seed,acc,status\nbn,0,7,lost\n", "row 2: unknown status 'lost'; known: finished"),
        ("norm,seed,acc,batch_size\nbn,0,7,big\n", "row 2: the batch size 'big' is no whole"),
        ("norm,seed,epoch,acc\nbn,0,one,7\n", "row 2: the epoch 'one' is no number"),
        ("norm,epoch,acc\nbn,1,7\nbn,1,8\n", "are both epoch 1 of bn; if they are two runs, a"),
        ("Name,norm,seed,epoch,acc\na,bn,0,9,7\nb,bn,0,8,6\na,gn,0,9,7\n",
         "row 2 and r.csv, row 3 are of two runs, a and b, but both are bn, seed 0; if they"),
        ("norm,seed,acc\nbn,0,7\0\n", "it holds zero bytes"),
        ("norm,seed,acc\nbn,0," + "7" * 200_000, "is no CSV file (field larger than"),
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_what_cannot_be_understood_is_one_error_that_names_the_place(text, words, tmp_path, judged):
    path = tmp_path / "r.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(UsageError) as error:
        judged(path)
    assert words in str(error.value).replace(f"{tmp_path}/", "")
    assert ("r.csv" in str(error.value)) != words.startswith(OF_ALL)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; each of its lines is an object"),
        ('{"norm": "bn"}\nnot json\n', "line 2 is no JSON"),
        ("[1, 2]\n", "line 1 is no object"),
        ("[" * 100_000, "line 1 is no JSON"),
        ('{"norm": "bn", "seed": 0, "acc": NaN}\n', "line 1: the accuracy 'NaN'"),
        ('{"norm": "bn", "seed": 0, "acc": 1}\n{"norm": "gn", "acc": 1}\n'
         '{"norm": "gn", "seed": 1, "acc": 1}\n', "line 2: the column seed is blank"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_lines_that_cannot_be_understood(text, words, tmp_path, judged):
    path = tmp_path / "r.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        judged(path)
    assert words in str(error.value)
    assert "r.jsonl" in str(error.value)


def test_folders_and_files_that_are_none(tmp_path, judged):
    with pytest.raises(UsageError, match="holds no JSON lines"):
        judged(tmp_path)
    shutil.copy(COMPARABLE[0] / "trials.csv", tmp_path)
    with pytest.raises(UsageError, match=r"holds no JSON lines \(\*.jsonl\); name .*trials.csv"):
        judged(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read .*absent\.csv"):
        judged(tmp_path / "absent.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UsageError, match="is no text in UTF-8"):
        judged(tmp_path / "picture.csv")
    with pytest.raises(UsageError, match="name a file of results"):
        judged()


def test_no_experiments_report_is_replaced():
    folder = COMPARABLE[0]
    with pytest.raises(UsageError, match="holds an experiment, whose report would be replaced"):
        judge([folder / "trials.csv"], out=folder)


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["results.csv"], "judged-results"),
        (["docs/results/cifar10-s8-s8/trials.csv"], "judged-cifar10-s8-s8-trials"),
        (["a/b c.csv", "d.csv"], "judged-a-b-c-and-1-more"),
        (["../logs"], "judged-..-logs"),
    ],
)
def test_a_folder_is_called_after_the_files(paths, name):
    assert default_folder([Path(path) for path in paths]).as_posix() == f"runs/{name}"


def test_a_baseline_that_is_not_there(three_by_three, judged):
    with pytest.raises(UsageError, match="'rms' is not among bn, gn, ln"):
        judged(three_by_three, baseline="rms")


def test_a_column_that_is_not_there(three_by_three, judged):
    with pytest.raises(UsageError, match="has no column 'lr'; its columns are model, norm, seed"):
        judged(three_by_three, columns=Columns(factor="lr"))


def test_a_level_that_is_not_in_all_settings_is_named_and_regrouped_norms_alone_are_judged(
    tmp_path, judged
):
    rows = [[n, s, m, a] for (n, s), a in ACCURACY.items() for m in ("a", "b")]
    rows = [[{"gn": f"gn:order={m}"}.get(n, n), s, m, a] for n, s, m, a in rows]
    found = judged(saved(tmp_path / "r.csv", ["norm", "seed", "model", "acc"], rows))
    assert [v.judgement.family for v in found.verdicts] == [1, 1]
    assert "Each setting is a family of its own, of 1 comparison." in found.method
    assert found.across == ()
    assert found.caveats == (
        "Not in all settings, so that nothing is said of them over all: gn:order=a and gn:order=b.",
    )
