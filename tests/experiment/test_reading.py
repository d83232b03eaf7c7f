"""What users write, as experiments and recipes, and what is wrong with it, in one line."""

import pytest

from normscope.errors import UsageError
from normscope.experiment import RECIPES, Recipe
from normscope.experiment.reading import read_experiment, read_recipe

S8 = RECIPES["s8"]


def write(folder, text, name="mine.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(base=S8, **changes):
    return base.model_copy(update=changes)


def refused(*arguments, **options):
    with pytest.raises(UsageError) as caught:
        read_experiment(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ('base = "s8"', changed(name="mine")),
        ('base = "s8"\nname = "other"\nl1 = 0.001', changed(name="other", l1=0.001)),
        ('base = "s8"\nbatch_size = 128', changed(name="mine", batch_size=128, max_lr=0.005)),
        ('base = "s8"\nbatch_size = 128\nmax_lr = 0.1',
         changed(name="mine", batch_size=128, max_lr=0.1)),
        ('base = "course"\naugmentation = "none"',
         changed(RECIPES["course"], name="mine", augmentation=())),
        ('epochs = 2\nbatch_size = 32\nmax_lr = 0.1\naugmentation = ["crop"]\nema = 0.9',
         Recipe(name="mine", epochs=2, batch_size=32, max_lr=0.1, augmentation=("crop",), ema=0.9)),
    ],
    ids=str,
)  # fmt: skip
def test_a_file_holds_a_recipe_or_changes_to_one(tmp_path, text, recipe):
    path = write(tmp_path, text)
    assert read_recipe(path) == recipe
    assert read_experiment(recipe=path).recipe == recipe


def test_options_and_settings_change_the_recipe_of_a_file(tmp_path):
    path = write(tmp_path, 'base = "s8"\nl1 = 0.001')
    found = read_experiment(None, ["ema=0.9"], recipe=path, epochs=2, batch_size=256).recipe
    assert found == changed(name="mine", l1=0.001, ema=0.9, epochs=2, batch_size=256, max_lr=0.01)


def test_a_recipe_of_the_command_line_takes_the_place_of_the_configs(tmp_path):
    config = write(tmp_path, 'seeds = 2\nrecipe = {name = "s8", epochs = 4}', "e.toml")
    found = read_experiment(config, recipe=write(tmp_path, 'base = "short"'))
    assert (found.recipe, found.seeds) == (changed(RECIPES["short"], name="mine"), 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr = 3\nbase = 's8'", "unknown key 'lr'; known: name, epochs, batch_size, max_lr, prec"),
        ("base = 's8'\nmax_lr = 'a'", "max_lr = 'a': should be a valid number"),
        ("base = 's8'\naugmentation = 3", "augmentation = 3: should be a list"),
        ("base = 's8'\nwarmup = 0.1", "warmup: the schedule one-cycle has a warm-up of its own"),
        ("base = 's9'", "base: unknown recipe 's9'; known: s8, quick, "),
        ("base = 5", "base: unknown recipe '5'"),
        ("epochs = 3", "batch_size is missing; "),
        ("base =", "is not valid TOML"),
        ("base = 's8'\nname = '../up'", "name = '../up': should name a folder"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path, text, words):
    path = write(tmp_path, text)
    told = refused(recipe=path)
    assert told.startswith(str(path))
    assert words in told


def test_a_file_that_is_not_there(tmp_path):
    told = refused(recipe=tmp_path / "none.toml")
    assert told.startswith(f"cannot read the recipe file {tmp_path / 'none.toml'}: No such file")


# -- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        (["max_lr=0.05"], {"max_lr": 0.05}),
        (["max_lr=1"], {"max_lr": 1.0}),
        (["batch_size=256"], {"batch_size": 256, "max_lr": 0.01}),
        (["batch_size=256", "max_lr=0.3"], {"batch_size": 256, "max_lr": 0.3}),
        (["augmentation=flip,crop"], {"augmentation": ("flip", "crop")}),
        (["augmentation=flip"], {"augmentation": ("flip",)}),
        (["ema=none", "weight_decay=5e-4"], {"weight_decay": 0.0005}),
        (["schedule=cosine", "warmup=0.1"], {"schedule": "cosine", "warmup": 0.1}),
    ],
)
def test_settings_change_single_values(settings, changes):
    assert read_experiment(None, settings, dataset="cifar10").recipe == changed(**changes)


def test_settings_go_before_the_config_file(tmp_path):
    config = write(tmp_path, 'recipe = {name = "s8", ema = 0.5, l1 = 0.1}')
    assert read_experiment(config, ["ema=none"]).recipe == changed(l1=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["max_lr=abc"], "--set max_lr=abc: should be a valid number"),
        (["max_lr="], "--set max_lr=: should be a valid number"),
        (["max_lr"], "--set max_lr: write KEY=VALUE, such as --set max_lr=0.05"),
        (["lr=3"], "--set lr=3: unknown key 'lr'; known: epochs, batch_size, max_lr"),
        (["name=x"], "--set name=x: unknown key 'name'"),
        (["epochs=1.5"], "--set epochs=1.5: should be a valid integer"),
        (["batch_size=0"], "--set batch_size=0: should be greater than or equal to 1"),
        (["augmentation=flip,foo"], "--set augmentation=flip,foo: should be 'flip', 'crop' or"),
        (["ema=2"], "--set ema=2: should be less than 1"),
        (["max_lr=inf"], "--set max_lr=inf: should be a finite number"),
        (["warmup=0.1"], "--set warmup=0.1: the schedule one-cycle has a warm-up of its own"),
        (["max_lr=1", "max_lr=2"], "--set max_lr=2: max_lr is set twice"),
    ],
    ids=str,
)
def test_a_bad_setting_is_told_as_it_was_written(settings, words):
    assert refused(None, settings).startswith(words)


@pytest.mark.parametrize("key", ["epochs", "batch_size", "max_lr", "precision"])
def test_a_value_is_not_set_twice(key):
    told = refused(None, [f"{key}=1"], **{key: 2})
    assert told == f"--set {key}=1 and --{key.replace('_', '-')} set the same; leave one out"


# -- statistics over sub-batches -------------------------------------------------------------------


def norms_of(*arguments, **options):
    return read_experiment(*arguments, **options).norms


def test_behind_every_bn_come_its_sub_batches_in_the_order_given():
    found = norms_of(norms=["ln", "BatchNorm2d", "gn"], stat_batch=(8, 2))
    assert found == ("ln", "bn", "ghost-bn:size=8", "ghost-bn:size=2", "gn")
    assert norms_of(stat_batch=(4,)) == ("bn", "ghost-bn:size=4", "gn", "ln")


def test_sub_batches_have_the_options_and_the_places_of_bn():
    found = norms_of(norms=["bn:momentum=0.2", "gn"], stat_batch=(4,), placement="both")
    assert found == (
        "bn:momentum=0.2", "ghost-bn:size=4:momentum=0.2",
        "bn:momentum=0.2:pre", "ghost-bn:size=4:momentum=0.2:pre", "gn", "gn:pre",
    )  # fmt: skip


def test_a_sub_batch_that_was_named_as_well_stays_where_it_was_named():
    found = norms_of(norms=["ghost-bn:size=8", "bn"], stat_batch=(4, 8))
    assert found == ("ghost-bn:size=8", "bn", "ghost-bn:size=4")
    assert "names a norm twice" in refused(norms=["bn", "BatchNorm2d"], stat_batch=(4,))


def test_the_baseline_may_be_any_of_them():
    found = norms_of(norms=["bn", "gn"], stat_batch=(4,), baseline="gn")
    assert found == ("gn", "bn", "ghost-bn:size=4")
    assert norms_of(norms=["bn"], stat_batch=(4,), baseline="ghost-bn:size=4")[0] != "bn"


def test_an_experiment_knows_norms_alone_however_it_was_asked_for(tmp_path):
    config = write(tmp_path, 'norms = ["bn", "gn"]\nstat_batch = [2, 8]', "e.toml")
    named = read_experiment(norms=["bn", "ghost-bn:size=2", "ghost-bn:size=8", "gn"])
    assert read_experiment(config) == named
    assert read_experiment(norms=["bn", "gn"], stat_batch=(2, 8)) == named
    assert norms_of(config, stat_batch=(4,)) == ("bn", "ghost-bn:size=4", "gn")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"norms": ["gn", "ln"]}, "--stat-batch takes the statistics of bn over fewer images, and "
         "bn is not among the norms (gn,ln); add bn to --norms"),
        ({"norms": ["ghost-bn", "brn"]}, "bn is not among the norms (ghost-bn,brn)"),
        ({"stat_batch": (4, 64)}, "--stat-batch 4,64: 64 images are a whole batch of 64 or more"),
        ({"stat_batch": (4, 65)}, "65 images are a whole batch of 64 or more, and bn itself takes "
         "its statistics over whole batches; write sizes below 64"),
        ({"batch_sizes": (16, 64), "stat_batch": (4, 32)}, "32 images are a whole batch of 16"),
        ({"stat_batch": (1, 4)}, "--stat-batch 1,4: statistics over 1 image are no longer those of "
         "a batch, but of InstanceNorm (in) while it trains; write sizes from 2 on"),
        ({"stat_batch": (0, 4)}, "--stat-batch 0,4: write numbers of images from 2 on"),
        ({"stat_batch": (4, 8, 4)}, "--stat-batch 4,8,4: names a size twice"),
    ],
    ids=str,
)  # fmt: skip
def test_sub_batches_that_make_no_sense_are_refused_with_the_reason(options, words):
    assert words in refused(**{"stat_batch": (4,), "batch_size": 64, **options})


@pytest.mark.parametrize("text", ["8", "[]", '["8"]', "[8.5]", "[true]"])
def test_in_a_file_sub_batches_are_a_list_of_whole_numbers(tmp_path, text):
    config = write(tmp_path, f"stat_batch = {text}", "e.toml")
    told = refused(config)
    assert told.startswith(f"{config}: stat_batch")
    assert "write a list of whole numbers, such as [2, 8, 32]" in told


def test_what_is_wrong_with_sub_batches_of_a_file_names_the_file(tmp_path):
    config = write(tmp_path, "stat_batch = [4, 4]", "e.toml")
    assert refused(config) == f"{config}: stat_batch 4,4: names a size twice"
