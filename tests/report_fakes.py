"""Made-up experiments with plausible curves, for looking at reports without training anything."""

from dataclasses import replace

import numpy as np

from normscope.analysis import Analysis, Contents, analyse
from normscope.experiment import (
    RECIPES,
    RULES,
    Costs,
    DatasetFacts,
    Design,
    Environment,
    EpochRecord,
    Experiment,
    LayerSummary,
    ModelSummary,
    NormCost,
    Predictions,
    Predictors,
    Probes,
    Request,
    Result,
    Series,
    Spread,
    Trial,
)
from normscope.experiment.plan import plan

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

WHOLE_TRAIN_SIZE = 50_000  # images of the data set without a limit

FIXED = Design()

MACHINE = Environment(
    normscope="0.1.0",
    python="3.11.7",
    torch="2.13.0+cpu",
    numpy="2.2.6",
    platform="Linux x86_64",
    processor="AMD EPYC, 2 cores, AVX512",
    device="cpu",
    threads=2,
    precision="float32",
)


def make_experiment(
    norms=("bn", "gn", "ln"),
    seeds=3,
    epochs=15,
    batch_sizes=(512,),
    protocol="drop-in",
    train_limit=None,
) -> Experiment:
    recipe = RECIPES["s8"].model_copy(update={"epochs": epochs})
    return Experiment(
        dataset="cifar10",
        norms=tuple(norms),
        recipe=recipe,
        seeds=seeds,
        batch_sizes=batch_sizes,
        protocol=protocol,
        train_limit=train_limit,
    )


def make_history(norm_number: int, seed: int, epochs: int) -> tuple[EpochRecord, ...]:
    """A curve that climbs to about 75 % less half a point per norm, and stumbles on the way."""
    rng = np.random.default_rng([norm_number, seed])
    progress = np.arange(1, epochs + 1) / max(epochs, 2)
    noise = rng.normal(0, 2.5, epochs) * (1 - progress)
    test = 76 - 0.5 * norm_number + rng.normal(0, 0.25) - 45 * np.exp(-4 * progress) + noise
    train = test + 6 * progress - 2
    return tuple(
        EpochRecord(
            epoch=i + 1,
            train_loss_nats=float(2.3 - 1.7 * train[i] / 100),
            train_accuracy_percent=float(train[i]),
            test_loss_nats=float(2.3 - 2.0 * test[i] / 100),
            test_accuracy_percent=float(test[i]),
            learning_rate=0.02 * (1 - (i + 1) / epochs),  # it ends at 0, as that of OneCycleLR
            train_seconds=12.0 + norm_number + 0.1 * seed,
            test_seconds=0.8,
        )
        for i in range(epochs)
    )


def make_predictions(labels: np.ndarray, classes: int, error: float, rng) -> Predictions:
    """Right but for a share of errors, most of them at images that are hard for everyone."""
    hard = np.arange(len(labels)) % 7 == 0
    wrong = rng.random(len(labels)) < np.where(hard, 0.8, error)
    predicted = np.where(wrong, (labels + 1 + rng.integers(0, 2, len(labels))) % classes, labels)
    logits = rng.normal(0, 1, (len(labels), classes))
    logits[np.arange(len(labels)), predicted] += 4
    return Predictions(logits.argmax(axis=1), logits.astype(np.float16))


def make_result(experiment: Experiment, trial: Trial, labels, classes=10) -> Result:
    number, size = experiment.norms.index(trial.norm), trial.recipe.batch_size
    worse = 0 if size == 512 else 3  # and another draw
    rng = np.random.default_rng([7, number, trial.seed, *([size] if worse else [])])
    return Result(
        trial=trial,
        status="finished",
        history=make_history(number + worse, trial.seed, experiment.recipe.epochs),
        started=f"2026-01-{trial.seed + 1:02d}T00:{number:02d}:00+00:00",
        seconds=200.0,
        environment=MACHINE,
        peak_memory_mib=240.0 + 2 * number + 0.01 * trial.seed**2,
        predictions=make_predictions(labels, classes, 0.1 + 0.01 * number, rng),
    )


def make_results(experiment: Experiment, labels: np.ndarray, classes: int = 10) -> list[Result]:
    """Every trial of the experiment, finished; by seed, then by norm."""
    return [make_result(experiment, trial, labels, classes) for trial in plan(experiment)]


def fitting(result: Result, labels: np.ndarray) -> Result:
    """The same trial, had its history ended at the accuracy of its predictions, as it must."""
    assert result.predictions is not None
    percent = 100 * float((result.predictions.classes == labels).mean())
    last = replace(result.history[-1], test_accuracy_percent=percent)
    return result.model_copy(update={"history": (*result.history[:-1], last)})


def right_in(result: Result, labels: np.ndarray, percent: float) -> Result:
    """The same trial, had it ended with that share of the images right: the first are wrong."""
    assert result.predictions is not None
    wrong = round(len(labels) * (1 - percent / 100))
    classes = labels.copy()
    classes[:wrong] = (labels[:wrong] + 1) % result.predictions.logits.shape[1]
    predictions = Predictions(classes, result.predictions.logits)
    return fitting(result.model_copy(update={"predictions": predictions}), labels)


def diverged(result: Result, after: int) -> Result:
    """The same trial, had its loss left the finite numbers after so many epochs."""
    return result.model_copy(
        update={
            "status": "diverged",
            "history": result.history[:after],
            "error": f"the loss was not finite in epoch {after + 1}",
            "predictions": None,
        }
    )


def collapsed(result: Result) -> Result:
    """The same trial, had its network answered with the first class from beginning to end."""
    guessing = {"train_loss_nats": 2.3026, "train_accuracy_percent": 10.0,
                "test_loss_nats": 2.3026, "test_accuracy_percent": 10.0}  # fmt: skip
    kept = result.predictions
    assert kept is not None
    return result.model_copy(
        update={
            "status": "collapsed",
            "history": tuple(replace(record, **guessing) for record in result.history),
            "error": "train accuracy in the last epoch was 10.0 %, where guessing the largest "
            "class gives 10.0 %",
            "predictions": Predictions(np.zeros_like(kept.classes), np.zeros_like(kept.logits)),
        }
    )


def failed(result: Result, error: str) -> Result:
    return result.model_copy(
        update={"status": "failed", "history": (), "error": error, "predictions": None}
    )


def make_facts(
    class_names=CIFAR10, synthetic=False, test_size=1000, train_size=WHOLE_TRAIN_SIZE
) -> DatasetFacts:
    return DatasetFacts(
        name="cifar10",
        description="CIFAR-10: 60,000 photographs of 10 classes of things and animals",
        synthetic=synthetic,
        class_names=tuple(class_names),
        train_size=train_size,
        test_size=test_size,
        image_shape=(32, 32, 3),
        checksums={"train_images": "ab" * 32, "test_images": "cd" * 32},
    )


def make_model(norm: str, classes: int = 10) -> ModelSummary:
    layers = (
        LayerSummary(name="Conv2d-1", type="Conv2d", output_shape=(16, 30, 30), parameters=432,
                     multiply_adds=388_800),
        LayerSummary(name="Norm-2", type=f"Norm of {norm}", output_shape=(16, 30, 30),
                     parameters=32, multiply_adds=0),
        LayerSummary(name="Conv2d-3", type="Conv2d", output_shape=(classes, 1, 1),
                     parameters=280, multiply_adds=280),
    )  # fmt: skip
    return ModelSummary(model="s8", norm=norm, input_shape=(3, 32, 32), layers=layers)


def make_costs(norms=("bn", "gn", "ln")) -> Costs:
    """Each norm is a little dearer than the one before it, and its samples are more alike."""

    def cost(norm: str, place: int) -> NormCost:
        milliseconds = Spread(median=100.0 + place, low=90.0, high=130.5)
        quick = Spread(median=2.0 + place / 10, low=1.9, high=2.75)
        times = {1: quick, 128: milliseconds}
        return NormCost(
            norm=norm,
            parameters=31_216,
            multiply_adds=6_231_448,
            step_ms=milliseconds,
            inference_ms=times,
            folded_ms=times if norm == "bn" else None,
            peak_memory_mib=240.0,
            predictors=Predictors(
                similarity=(0.1, 0.2 + place / 50), gradient_norms=(0.5, 0.25), seeds=3
            ),
        )

    norms_costs = tuple(cost(norm, place) for place, norm in enumerate(norms))
    return Costs(norms=norms_costs, batch_size=512, rounds=7, environment=MACHINE)


def make_labels(test_size: int = 1000, classes: int = 10) -> np.ndarray:
    return np.arange(test_size, dtype=np.int64) * 7 % classes


def make_analysis(
    norms=("bn", "gn", "ln"),
    seeds=3,
    epochs=15,
    class_names=CIFAR10,
    synthetic=False,
    command="normscope compare --dataset cifar10",
    change=lambda results: results,
    test_size=1000,
    levels_percent=None,
    design=FIXED,
    batch_sizes=(512,),
    protocol="drop-in",
    searches=(),
    titles=None,
    train_limit=None,
    test_limit=None,
    costs=None,
    probes=None,
    labels=None,
    train_counts=None,
    rules=RULES,
    chosen=None,
) -> Analysis:
    """A whole made-up experiment, analysed; `change` may alter the list of results before.

    `probes` makes those of a trial, or None. `labels` are those of the test images, where classes
    are not to be equally frequent; `train_counts` the training images of each class.
    """
    experiment = make_experiment(norms, seeds, epochs, batch_sizes, protocol, train_limit)
    experiment = experiment.model_copy(update={"test_limit": test_limit})
    test_size = len(labels) if labels is not None else test_limit or test_size
    labels = make_labels(test_size, len(class_names)) if labels is None else labels
    facts = make_facts(class_names, synthetic, test_size, train_limit or WHOLE_TRAIN_SIZE)
    if train_counts is not None:
        tested = tuple(np.bincount(labels, minlength=len(class_names)).tolist())
        counts = {"train_counts": tuple(train_counts), "test_counts": tested}
        facts = facts.model_copy(update=counts)
    request = Request(date="2026-01-01T00:00:00+00:00", command=command, norms=experiment.norms,
                      seeds=seeds, design=design, rules=rules)  # fmt: skip
    results = change(make_results(experiment, labels, len(class_names)))
    taken = {r.trial.id: found for r in results if probes and (found := probes(r.trial))}
    contents = Contents(
        experiment,
        [request],
        facts,
        {norm: make_model(norm, len(class_names)) for norm in norms},
        results,
        labels,
        searches,
        costs,
        taken,
    )
    return analyse(contents, levels_percent, titles, WHOLE_TRAIN_SIZE, chosen)


def of_layers(start, end, epochs):
    """A measure of two layers whose mean goes from `start` to `end`."""
    both = np.array([[start - 0.01, start + 0.01], [end - 0.02, end + 0.02]])
    return Series(np.array([0.0, epochs]), both, ("norm",), (("a", "b"),))


def make_probes(value, spread=0.02):
    """Of a trial: everything that the channels are asked, at a value that moves with the seed."""

    def probes(trial):
        here = value + spread * (trial.seed - 2)
        ends = {
            "redundancy.sameness_position": (0.6, here),
            "redundancy.best_r2_position": (0.6, here - 0.01),
            "substitution.s1": (np.nan, here + 0.01),
            "redundancy.sameness_before_activation": (0.8, 0.7),
            "redundancy.sameness_pooled": (0.9, 0.65),
            "floor.sameness": (0.1, 0.12),
            "features.mean_channel": (0.2, here),
            "features.log_sd_channel": (0.2, here),
            "features.mean_image": (0.3, 0.1),
            "features.mean_interaction": (0.5, 0.25),
            "variance.channel": (0.1, 0.25),
        }
        epochs = trial.recipe.epochs
        return Probes({name: of_layers(*both, epochs) for name, both in ends.items()})

    return probes


KINDS = ("noise", "blur", "contrast", "brightness", "pixelation", "jpeg")


def corrupted_percent(norm: str, seed: int, mean: float) -> np.ndarray:
    """Made-up accuracies on six kinds in five strengths, (6, 5), each strength worse."""
    rng = np.random.default_rng([ord(letter) for letter in norm] + [seed])
    kinds, strengths = np.arange(6)[:, None] - 2.5, np.arange(5) - 2
    return mean + 3 * kinds - 2 * strengths + rng.normal(0, 1, (6, 5))


def make_corruptions(means, adapted=(), clean=True, without=()):
    """Of a trial: what the probe of corruptions reads, around a mean by norm.

    `adapted` are the norms with running statistics, 10 points better with those of the corrupted
    images; the clean accuracy is 80 % and a tenth by seed. `without`: norm and seed of trials that
    were not looked into.
    """

    def both(name, last, axes=("corruption", "strength"), names=(KINDS, tuple("12345"))):
        early = np.zeros_like(last)
        return {f"corruptions.{name}": Series(np.array([0.0, 15.0]), np.stack([early, last]),
                                              axes, names)}  # fmt: skip

    def probes(trial):
        if (trial.norm, trial.seed) in without:
            return None
        tested = corrupted_percent(trial.norm, trial.seed, means[trial.norm])
        own = corrupted_percent(f"{trial.norm}*", trial.seed, means[trial.norm] + 10)
        own = own if trial.norm in adapted else np.full_like(own, np.nan)
        series = both("tested_percent", tested) | both("adapted_percent", own)
        if clean is True or (trial.norm, trial.seed) in (clean or ()):
            series |= both("clean_percent", np.array(80 + trial.seed / 10), (), ())
        return Probes(series)

    return probes


LAYERS = ("2", "5", "9")


def make_everything(trial) -> Probes:
    """Of a trial: readings of every measure that has a figure, in three layers."""
    number = sum(map(ord, trial.norm))
    rng = np.random.default_rng([9, number, trial.seed])
    epochs = np.arange(trial.recipe.epochs + 1.0)
    ends, four = epochs[[0, -1]], np.linspace(0, trial.recipe.epochs, 4)
    shares = rng.dirichlet([1, 1, 2, 9], (len(epochs), len(LAYERS)))
    percent = 70 - 60 * np.exp(-epochs) + rng.normal(0, 1, (3, len(epochs)))
    features = rng.normal(0, 1, (2, len(LAYERS), 16, 24))
    steps = np.array([0, 0.003, 0.01, 0.03, 0.1])
    losses = (2.3 - 0.3 * np.arange(4))[:, None] + 30 * (steps - 0.02) ** 2 + rng.random() / 10

    def of_norms(values, at=epochs) -> Series:
        return Series(at, values, ("norm",), (LAYERS,))

    series = {
        f"redundancy.sameness_{where}": of_norms(rng.uniform(low, low + 0.2, shares.shape[:2]))
        for where, low in (("position", 0.2), ("pooled", 0.6))
    }
    series["floor.sameness"] = of_norms(rng.uniform(0, 0.05, (4, len(LAYERS))), four)
    parts = ("channel", "sample", "interaction", "spatial")
    series |= {f"variance.{part}": of_norms(shares[:, :, i]) for i, part in enumerate(parts)}
    series["affine-gap.affine_gap"] = of_norms(rng.uniform(0, 0.1, shares.shape[:2]))
    if trial.norm == "bn":
        names = ("running", "precise", "batch")
        series |= {f"eval-gap.{n}_percent": Series(epochs, percent[i]) for i, n in enumerate(names)}
        only = rng.integers(0, 60, (4, len(epochs)))
        counts = ("only_running_precise", "only_precise", "only_running_batch", "only_batch")
        series |= {f"eval-gap.{n}": Series(epochs, only[i]) for i, n in enumerate(counts)}
    for name, values in (("loss_nats", losses), ("gradient_change", 40 * steps * losses)):
        names = (tuple(f"{step:g}" for step in steps),)
        series[f"landscape.{name}"] = Series(four, values, ("step",), names)
    grams = features @ features.swapaxes(-1, -2)
    images = tuple(map(str, range(16)))
    axes = ("norm", "image", "other image")
    series["similarity.gram"] = Series(ends, grams, axes, (LAYERS, images, images))
    maps = np.full((4, 2, 12, 32, 32), np.nan)
    for place, (channels, size) in enumerate(((3, 32), (12, 30), (12, 12), (10, 4))):
        maps[place, :, :channels, :size, :size] = 255 * rng.random((2, channels, size, size))
    views = {"maps.maps": maps, "filters.filters": rng.normal(size=(12, 3, 3, 3))}
    for name, values in views.items():
        names = tuple(tuple(map(str, range(length))) for length in values.shape)
        axes = tuple(f"axis {i}" for i in range(values.ndim))
        series[name] = Series(ends[1:], values[None], axes, names)
    return Probes(series)
