"""Two folders side by side: recorded experiments to the digit, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from between_fakes import asked, ended
from report_fakes import make_experiment, make_facts, make_labels, make_model

import normscope
from normscope.errors import RunError, UsageError
from normscope.experiment import Design
from normscope.experiment.plan import plan
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.study.diff import diff

RESULTS = Path(__file__).parents[2] / "docs" / "results"
NORMS, COURSE = RESULTS / "cifar10-s8-s8-norms", RESULTS / "cifar10-s8-course"


@pytest.fixture
def folder(tmp_path):
    """Makes the folder of an experiment: accuracies drawn around `mean` from `of_seed` on."""

    def make(name, mean=70.0, of_seed=0, trials=True, design=None, facts=None, **experiment):
        experiment = make_experiment(**{"norms": ("bn", "gn"), **experiment})
        own = tuple(range(of_seed, of_seed + experiment.seeds)) if of_seed else ()
        experiment = experiment.model_copy(update={"own_seeds": own})
        request = asked(experiment, design=design or Design())
        store = Store.create(tmp_path / name, experiment, request)
        store.describe(facts or make_facts(), make_labels(1000), map(make_model, experiment.norms))
        for place, trial in enumerate(plan(experiment) if trials else []):
            accuracy = mean + np.random.default_rng([place, int(mean)]).normal(0, 0.3)
            store.add(ended(trial, round(accuracy, 2), loss=mean / 100))
        return tmp_path / name

    return make


# -- recorded experiments --------------------------------------------------------------------------


def test_the_gap_of_each_side_is_the_difference_that_its_own_report_tells():
    found = diff(NORMS, COURSE).found
    for folder, side in ((NORMS, "a"), (COURSE, "b")):
        own = {v.norm: v.difference for v in Comparison.read(folder).analysis.verdicts}
        for gap in found.gaps:
            told = own[gap.asked.norm]
            assert getattr(gap, side).n == told.n == 3
            assert getattr(gap, side).mean == pytest.approx(told.mean)
            assert getattr(gap, side).sd == pytest.approx(told.sd)


def test_accuracies_are_those_of_the_reports_and_what_differs_is_the_recipe():
    found = diff(NORMS, COURSE).found
    for folder, side in ((NORMS, "a"), (COURSE, "b")):
        own = {n.norm: n.test_accuracy_percent for n in Comparison.read(folder).analysis.norms}
        for each in found.compared:
            assert getattr(each, side).mean == pytest.approx(own[each.asked.norm].mean)
    assert [row.what for row in found.differing] == ["recipe", "epochs", "max_lr", "augmentation"]
    assert [each.outcome for each in found.compared] == ["better", "better", "undecided"]
    assert [each.outcome for each in found.gaps] == ["worse", "undecided"]


def test_swapped_folders_swap_the_answer():
    forth, back = diff(NORMS, COURSE).found, diff(COURSE, NORMS).found
    assert [each.outcome for each in back.compared] == ["worse", "worse", "undecided"]
    for there, here in zip(forth.compared, back.compared, strict=True):
        assert there.verdict.difference.mean == pytest.approx(-here.verdict.difference.mean)
        assert (there.a, there.b) == (here.b, here.a)


def test_trials_that_two_folders_hold_alike_are_found_to_be_identical():
    found = diff(RESULTS / "cifar10-s8-bump", RESULTS / "cifar10-s8-channels").found
    assert (found.trials, found.repeated, found.identical) == (5, 5, 5)
    assert found.differing == ()
    assert [each.outcome for each in found.compared] == ["identical"]
    assert found.gaps == ()  # the first has bn alone


def test_a_copy_of_a_folder_is_the_same_trials_twice(tmp_path):
    shutil.copytree(COURSE, tmp_path / "copy")
    found = diff(COURSE, tmp_path / "copy").found
    assert (found.identical, found.differing) == (9, ())


# -- the design ------------------------------------------------------------------------------------


def test_margin_and_alpha_are_those_of_both(folder):
    design = Design(margin_points=1.5, alpha=0.1)
    folders = folder("a", design=design), folder("b", 71.0, design=design, epochs=3)
    rules = diff(*folders).found.rules
    assert (rules.margin, rules.alpha, rules.version) == (1.5, 0.1, 2)
    rules = diff(*folders, margin_points=0.0, alpha=0.02).found.rules
    assert (rules.margin, rules.alpha) == (0.0, 0.02)


def test_designs_that_do_not_agree_need_a_word(folder):
    a, b = folder("a"), folder("b", design=Design(margin_points=1.0, alpha=0.1), epochs=3)
    with pytest.raises(UsageError, match=r"--alpha 0\.05 and B with --alpha 0\.1; say with"):
        diff(a, b, margin_points=1.0)
    with pytest.raises(UsageError, match=r"--margin 0\.5 and B with --margin 1; say with"):
        diff(a, b, alpha=0.1)
    assert diff(a, b, alpha=0.1, margin_points=1.0).found.rules.margin == 1.0


def test_a_value_that_is_none_is_refused(folder):
    with pytest.raises(UsageError, match="alpha"):
        diff(folder("a"), folder("b", epochs=3), alpha=0.7)


def test_it_is_there_in_python(folder):
    assert normscope.diff is diff
    found = normscope.diff(str(folder("a")), folder("b", 72.0, epochs=3))
    assert found.found.answers[0].norm == "bn"
    assert found.b.name == "b"


# -- what is refused -------------------------------------------------------------------------------


def test_no_experiment_and_the_same_one_twice_are_refused(folder, tmp_path):
    a = folder("a")
    (tmp_path / "notes.csv").write_text("x")
    (tmp_path / "link").symlink_to(a)
    for other, words in (
        (tmp_path / "absent", "absent holds no normscope experiment"),
        (tmp_path, "holds no normscope experiment"),
        (tmp_path / "notes.csv", r"notes\.csv is a file; name the folder of an experiment"),
        (a, "are the same folder; name two experiments"),
        (tmp_path / "link", "are the same folder; name two experiments"),
    ):
        with pytest.raises(UsageError, match=words):
            diff(a, other)
    with pytest.raises(UsageError, match="absent holds no"):
        diff(tmp_path / "absent", a)


def test_other_test_images_are_refused(folder):
    a = folder("a")
    other = make_facts().model_copy(update={"checksums": {"test_images": "00" * 32}})
    with pytest.raises(UsageError, match=r"b: 1,000 of cifar10 with other content\); compare"):
        diff(a, folder("b", facts=other))
    fewer = make_facts(test_size=500)
    fewer = fewer.model_copy(update={"checksums": {"test_images": "11" * 32}})
    with pytest.raises(UsageError, match=r"\(.*a: 1,000 of cifar10, .*c: 500 of cifar10\)"):
        diff(a, folder("c", facts=fewer))


def test_folds_against_none_are_refused(folder, tmp_path):
    a = folder("a")
    experiment = make_experiment(("bn", "gn"), 3).model_copy(update={"folds": 3})
    store = Store.create(tmp_path / "f", experiment, asked(experiment))
    store.describe(make_facts(), make_labels(1000), map(make_model, experiment.norms))
    with pytest.raises(UsageError, match=r"a has no folds, .*f 3 folds, so that their networks"):
        diff(a, tmp_path / "f")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"norms": ("ln", "in")}, "no norm in common: .*a has bn, gn, .*b ln, in; train one"),
        ({"batch_sizes": (64, 128)}, "no batch size in common: .*a has 512, .*b 64, 128; train"),
        ({"of_seed": 7}, "no seed in common: .*a has 0, 1, 2, .*b 7, 8, 9; train both"),
        ({"trials": False}, "no trial of both has a result yet: .*a has 6 results, .*b 0; go on"),
    ],
)
def test_experiments_with_nothing_in_common_are_refused(folder, other, words):
    with pytest.raises(UsageError, match=words):
        diff(folder("a"), folder("b", **other))


def test_a_damaged_record_is_named(folder):
    a, b = folder("a"), folder("b", epochs=3)
    record = min(b.glob("trials/*/record.json"))
    record.write_text(record.read_text().replace("finished", "diverged"))
    with pytest.raises(RunError, match=f"cannot be used, being damaged: {record.parent.name}"):
        diff(a, b)


def test_an_experiment_that_still_trains_is_undecided_where_it_lacks_trials(folder):
    a, b = folder("a", seeds=4), folder("b", 75.0, seeds=4, epochs=3)
    for path in b.glob("trials/gn-seed3-*"):
        shutil.rmtree(path)
    bn, gn = diff(a, b).found.compared
    assert (bn.outcome, gn.outcome) == ("better", "undecided")
    assert (gn.verdict.difference.n, gn.planned) == (3, 4)
