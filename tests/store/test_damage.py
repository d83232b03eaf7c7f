"""No number that was changed on disk is reported as if nothing had happened."""

import errno
import hashlib
import io
import os
import shutil
import stat

import numpy as np
import pytest
from PIL import Image
from report_fakes import make_facts, make_labels, right_in
from store_fakes import (
    IMAGES,
    KINDS,
    TRUNCATIONS,
    UNREPORTED,
    first,
    flipped,
    make_store,
    make_trials,
)

from normscope import files
from normscope.errors import NormscopeError, RunError, UsageError
from normscope.experiment import Design
from normscope.experiment.plan import plan
from normscope.report.as_json import as_json
from normscope.report.plots.pictures import read_picture
from normscope.seals import open_text
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.study.doctor import examine

FACTS, LABELS = make_facts(test_size=IMAGES), make_labels(IMAGES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder that nothing is wrong with, what its report says, and says where costs are lost."""
    folder = make_store(tmp_path_factory.mktemp("whole") / "e").folder
    costless = shutil.copytree(folder, folder.with_name("costless"))
    (costless / "costs.json").unlink()
    return folder, reported(folder), reported(costless)


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "e")


def reported(folder):
    return as_json(Comparison.read(folder).analysis)


def check_told(folder, kind, whole):
    """Whatever was done to a file: its damage has a name, and no number is another one."""
    before = whole[2] if kind == "costs.json" else whole[1]
    damaged = {finding.path for finding in examine(folder).findings}
    assert damaged, kind
    try:
        now = reported(folder)
    except NormscopeError:
        return
    said = Store(folder).left_out()
    assert said or kind in UNREPORTED, kind
    now["caveats"] = [caveat for caveat in now["caveats"] if caveat not in said]
    assert now == before, kind


def test_nothing_is_wrong_with_a_whole_folder(whole):
    found = examine(whole[0])
    assert found.findings == ()
    assert (found.trials, found.without_record, found.well) == (6, 0, True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flips", [2, pytest.param(25, marks=pytest.mark.soak)])
def test_a_flipped_bit(whole, folder, kind, flips):
    rng = np.random.default_rng(KINDS.index(kind))
    path = first(folder, kind)
    content = path.read_bytes()
    for _ in range(flips):
        flipped(path, rng)
        check_told(folder, kind, whole)
        path.write_bytes(content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", TRUNCATIONS, ids=lambda damage: damage.__name__)
def test_a_file_that_is_no_longer_what_it_was(whole, folder, kind, damage):
    rng = np.random.default_rng(0)
    optional = ("costs.json", "pictures/*.png", "heat_maps/*.npz", "trials/*/probes.npz",
                "trials/*/weights.safetensors")  # fmt: skip
    if damage.__name__ == "gone" and kind in optional:
        pytest.skip("a folder may lack it: then its report does, too")
    damage(first(folder, kind), rng)
    check_told(folder, kind, whole)


# -- the files of a trial --------------------------------------------------------------------------


def trials_in(folder):
    return sorted((folder / "trials").iterdir())


def refused(folder, *words):
    for word in words:
        with pytest.raises(RunError, match=word):
            Comparison.read(folder)


@pytest.mark.parametrize("name", ["predictions.npz", "probes.npz", "record.json"])
def test_what_another_trial_left_is_not_taken_for_its_own(folder, name):
    one, two, *_ = trials_in(folder)
    (one / name).rename(folder / "kept")
    (two / name).rename(one / name)
    (folder / "kept").rename(two / name)
    said = {
        "predictions.npz": f"2 trials .*{one.name}.*{two.name}.*run the experiment again",
        "probes.npz": f"{one.name}/probes.npz is damaged .*not what was written",
        "record.json": f"{one.name} holds no trial of the experiment",
    }
    refused(folder, said[name])


@pytest.mark.parametrize("name", ["dataset.json", "models.json", "costs.json"])
def test_what_another_experiment_left_is_not_taken_for_its_own(whole, folder, tmp_path, name):
    """Of the same data set, model and norms, as the copy of a folder is not: that is the same."""
    other = make_store(tmp_path / "other", command="another")
    shutil.copy(other.folder / name, folder / name)
    (finding,) = examine(folder).findings
    assert (finding.path, finding.reason) == (name, "it is of another experiment")
    check_told(folder, name, whole)
    shutil.copy(whole[0] / name, folder / name)
    assert examine(folder).well


def test_a_file_too_many_and_one_too_few(folder):
    one, two, three, *_ = trials_in(folder)
    (one / "notes.txt").write_text("mine")
    (two / "predictions.npz").unlink()
    (three / "record.json").unlink()
    refused(folder, rf"{one.name} \(notes.txt is no file of this trial\)")
    refused(folder, rf"{two.name} \(predictions.npz is gone\)")
    refused(folder, rf"{three.name} \(record.json is gone\)")


def test_of_many_damaged_trials_some_are_named(folder):
    for path in trials_in(folder):
        (path / "record.json").write_bytes(b"")
    refused(folder, r"6 trials .* and 3 more, which `normscope doctor` names")


def test_weights_may_be_taken_away(whole, folder):
    for weights in folder.glob("trials/*/weights.safetensors"):
        weights.unlink()
    assert reported(folder) == whole[1]
    assert examine(folder).well


def test_damaged_weights_are_named_when_they_are_read(folder):
    flipped(first(folder, "trials/*/weights.safetensors"), np.random.default_rng(3))
    store = Store(folder)
    with pytest.raises(RunError, match=r"weights.safetensors is damaged .*train it again"):
        [store.weights(result.trial) for result in store.records()]


def test_a_record_whose_seal_was_removed_is_no_record_of_an_old_folder(folder):
    path = first(folder, "trials/*/record.json")
    text, _ = open_text(path.read_bytes())
    path.write_bytes(text)
    refused(folder, rf"{path.parent.name} \(record.json: its seal is gone\)")


def test_damaged_trials_are_set_aside_and_missing(whole, folder):
    one, two, *_ = trials_in(folder)
    (one / "predictions.npz").write_bytes(b"")
    (two / "probes.npz").write_bytes(b"")
    store = Store(folder)
    (said,) = store.set_damaged_aside(FACTS, LABELS)
    assert said.startswith(f"{one.name} is damaged (predictions.npz: it is not what was written)")
    (said,) = store.set_damaged_probes_aside()
    assert said.startswith(f"The probes of {two.name} are damaged (its seal is gone)")
    assert [trial.id for trial in store.missing(plan(store.experiment))] == [one.name]
    kept = {(path.parent.name[: len(one.name)], path.name) for path in folder.glob("damaged/*/*")}
    names = ("predictions.npz", "probes.npz", "record.json", "weights.safetensors")
    assert kept == {(one.name, name) for name in names} | {(two.name, "probes.npz")}
    assert examine(folder).without_record == 1
    again = next(r for r in make_trials(store.experiment) if r.trial.id == one.name)
    store.add(again)
    probed = next(result.trial for result in store.records() if result.trial.id == two.name)
    store.keep_probes(probed, again.probes)
    assert reported(folder) == whole[1]
    assert examine(folder).well


# -- predictions and history -----------------------------------------------------------------------


def changed(folder, change):
    """Another result in the place of a trial's, with seals that fit it."""
    store = Store(folder)
    result = store.results(plan(store.experiment))[0]
    shutil.rmtree(folder / "trials" / result.trial.id)
    Store(folder).add(change(result))
    return result.trial.id


def predictions(classes=None, logits=None):
    def change(result):
        kept = result.predictions
        new = type(kept)(
            kept.classes if classes is None else classes(kept.classes.copy()),
            kept.logits if logits is None else logits(kept.logits.copy()),
        )
        return result.model_copy(update={"predictions": new})

    return change


def put_in(value):
    def change(array):
        array.flat[5] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (predictions(classes=lambda c: np.roll(c, 1)), "its history ends at .*, its predictions"),
        (predictions(classes=put_in(99)), "a predicted class is none"),
        (predictions(classes=put_in(-1)), "a predicted class is none"),
        (predictions(classes=lambda c: c.astype(float)), "these are no predictions"),
        (predictions(logits=put_in(np.nan)), "a logit is no number"),
        (predictions(logits=put_in(np.inf)), "a logit is no number"),
        (predictions(lambda c: c[:-1], lambda x: x[:-1]), "not for the test images"),
    ],
)
def test_predictions_that_cannot_be_are_damage_whatever_their_seal_says(folder, change, said):
    trial_id = changed(folder, change)
    refused(folder, f"{trial_id} .*{said}")
    assert [finding.path for finding in examine(folder).findings] == [f"trials/{trial_id}"]


def test_labels_are_held_against_the_check_sum_of_the_data_set(folder):
    labels, file = LABELS.copy(), io.BytesIO()
    digest = hashlib.sha256(labels.tobytes()).hexdigest()
    facts = FACTS.model_copy(update={"checksums": {**FACTS.checksums, "test_labels": digest}})
    store = Store(folder)
    store.describe(facts, labels, store.models().values())
    np.testing.assert_array_equal(Store(folder).test_labels(), labels)
    labels[3] = (labels[3] + 1) % 10
    np.save(file, labels)
    store.describe(facts, labels, store.models().values())
    with pytest.raises(RunError, match=r"test_labels.npy is damaged .*check sum"):
        Store(folder).test_labels()


# -- the header ------------------------------------------------------------------------------------


def test_a_lost_header_does_not_change_the_design(tmp_path):
    design = Design(until_decided=True, max_seeds=20, alpha=0.01)
    folder = make_store(tmp_path, design=design).folder
    (folder / "experiment.json").unlink()
    store = Store(folder)
    assert store.requests[-1].design == design
    assert store.left_out() == [
        "experiment.json: it is gone; its copy experiment.backup.json was read."
    ]
    store.extend(4)
    assert Store(folder).requests[-1].design == design
    assert Store(folder).left_out() == []


def test_without_header_and_copy_nothing_is_made_of_the_trials(folder):
    for name in ("experiment.json", "experiment.backup.json"):
        (folder / name).unlink()
    with pytest.raises(RunError, match=r"is gone, and so is its copy; restore that file, or"):
        Store(folder)


def test_an_altered_design_is_damage(folder):
    path = folder / "experiment.json"
    path.write_text(path.read_text().replace('"alpha": 0.05', '"alpha": 0.45'))
    assert Store(folder).requests[0].design.alpha == 0.05
    (folder / "experiment.backup.json").unlink()
    with pytest.raises(RunError, match=r"damaged \(it is not what was written\), and there is no"):
        Store(folder)


def test_a_folder_whose_header_lost_its_seal_is_no_old_one(folder):
    path = folder / "experiment.json"
    path.write_bytes(open_text(path.read_bytes())[0])
    assert Store(folder).kept.sealed  # as its copy says
    (folder / "experiment.backup.json").write_bytes(b"")
    with pytest.raises(RunError, match=r"experiment.json is damaged .*no whole copy"):
        Store(folder)
    (folder / "experiment.backup.json").unlink()
    with pytest.raises(RunError, match=r"experiment.json has lost its seal"):
        Comparison.read(folder)


# -- what cannot be read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "the right to read it"),
        (errno.EIO, "look after the disk"),
        (errno.ESTALE, "mount its network file system again"),
        (errno.EMFILE, "once it can be read"),
    ],
)
@pytest.mark.parametrize("call", ["open", "scandir", "lstat"])
def test_what_cannot_be_read_is_neither_lost_nor_damaged(folder, monkeypatch, call, number, advice):
    one, *_ = trials_in(folder)
    asked = one if call == "scandir" else one / "record.json"
    usual = getattr(os, call)

    def denied(path, *arguments, **options):
        if str(path) == str(asked):
            raise OSError(number, os.strerror(number), str(path))
        return usual(path, *arguments, **options)

    monkeypatch.setattr(files.os, call, denied)
    said = rf"cannot read {asked} \({os.strerror(number)}\); it may be whole: .*{advice}"
    with pytest.raises(RunError, match=said):
        Comparison.read(folder)
    with pytest.raises(RunError, match=said):
        Store(folder).missing([])
    (finding,) = examine(folder).findings
    assert (finding.path, finding.state) == (f"trials/{one.name}", "unreadable")


# -- hostile folders -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trials", "pictures", "heat_maps", "sources"])
def test_no_link_leads_out_of_a_folder(folder, tmp_path, name):
    (tmp_path / "outside").mkdir()
    if (folder / name).exists():
        shutil.rmtree(folder / name)
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(RunError, match=f"{name} is damaged \\(it is a link and no folder\\)"):
        Store(folder)


def test_a_trial_that_is_a_link_is_damaged(folder, tmp_path):
    one, *_ = trials_in(folder)
    one.rename(tmp_path / "outside")
    one.symlink_to(tmp_path / "outside")
    refused(folder, f"{one.name} .*link")
    Store(folder).set_damaged_aside(FACTS, LABELS)
    assert (tmp_path / "outside" / "record.json").exists()


def test_a_picture_is_decoded_before_it_is_shown(folder, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    pictures = folder / "pictures"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(secret, format="png")
    assert read_picture(pictures, 7).shape == (8, 8, 3)
    (pictures / "7.png").unlink()
    (pictures / "7.png").symlink_to(secret)
    assert read_picture(pictures, 7) is None
    (pictures / "7.png").unlink()
    (pictures / "7.png").write_bytes(b"a key")
    assert read_picture(pictures, 7) is None
    monkeypatch.setattr("normscope.report.plots.pictures.LARGEST", 7)
    assert read_picture(pictures, 14) is None


def test_a_device_is_not_opened(folder, monkeypatch):
    path = first(folder, "trials/*/record.json")
    usual, opened = os.lstat, os.open

    def device(asked):
        found = list(usual(asked))
        if str(asked) == str(path):
            found[0] = stat.S_IFCHR | 0o600
        return os.stat_result(found)

    def never(asked, *flags):
        assert str(asked) != str(path)
        return opened(asked, *flags)

    monkeypatch.setattr(files.os, "lstat", device)
    monkeypatch.setattr(files.os, "open", never)
    refused(folder, r"it is a device and no file")


def test_no_experiment_is_no_patient(tmp_path):
    with pytest.raises(UsageError, match="holds no normscope experiment"):
        examine(tmp_path)


def test_what_does_not_belong_there_is_foreign(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "pictures" / "me.jpg").write_bytes(b"")
    (folder / "trials" / "list.txt").write_text("")
    result = right_in(make_trials(Store(folder).experiment)[0], LABELS, 50)
    other = result.model_copy(update={"trial": result.trial.model_copy(update={"seed": 77})})
    Store(folder).add(other)
    (folder / "trials" / ".x.999999999.partial").mkdir()
    found = {(each.path, each.state) for each in examine(folder).findings}
    assert found == {("notes.txt", "foreign"), ("pictures/me.jpg", "foreign"),
                     ("trials/list.txt", "foreign"), (f"trials/{other.trial.id}", "foreign"),
                     ("trials/.x.999999999.partial", "left over")}  # fmt: skip
