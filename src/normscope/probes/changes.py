"""Probes of what a network makes of changes: of its weights, its channels and its images."""

from dataclasses import asdict

import numpy as np
import torch

from normscope.probes.corruptions import CORRUPTIONS, STRENGTHS
from normscope.probes.gradient_shift import gradient_shift
from normscope.probes.initial import predictors
from normscope.probes.landscape import landscape
from normscope.probes.maps import seen
from normscope.probes.moment import Moment, percent_right
from normscope.probes.similarity import gram
from normscope.probes.static import Readings, by_field
from normscope.probes.substitution import substitution
from normscope.probes.weights import weight_norms

LANDSCAPE_IMAGES = 256  # of a training batch; each of five passes goes forth and back
SUBSTITUTED_IMAGES = 128
COMPARED_IMAGES = 128
NOISE_SEED = 0  # of what is added to images: the same in every trial


def surroundings(moment: Moment) -> Readings:
    """Losses, gradient changes and cosines along the gradient, with no step first: (1 + steps,)."""
    x, labels = (each[:LANDSCAPE_IMAGES] for each in moment.train[0])
    found = landscape(moment.fastest(moment.network, "fp32"), x, labels)
    return {
        "loss_nats": np.array([found.loss, *found.losses]),
        "gradient_change": np.array([0.0, *found.gradient_changes]),
        "cosine": np.array([1.0, *found.cosines]),
    }


def shift(moment: Moment) -> Readings:
    """Distance and cosine of each layer's gradient after a step of all earlier layers, (W,)."""
    found = gradient_shift(moment.network, *moment.train[0], moment.learning_rate)
    distances, cosines = zip(*found, strict=True)
    return {"distance": np.array(distances), "cosine": np.array(cosines)}


def weights(moment: Moment) -> Readings:
    """Norms of gradient and weight, and the learning rate over the squared one, (W,)."""
    found = weight_norms(moment.network, *moment.train[0], moment.learning_rate)
    return by_field([asdict(each) for each in found])


def samples(moment: Moment) -> Readings:
    """How alike the activations of samples are that enter each layer but the first, (W,)."""
    found = predictors(moment.copy(), *moment.train[0])
    count = len(moment.weighted)
    similarity = [float("nan"), *found.similarity] if found else [float("nan")] * count
    return {"similarity": np.array(similarity)}


def substitutes(moment: Moment) -> Readings:
    """S1 at the output of every norm layer, (L,)."""
    x, labels = (each[:SUBSTITUTED_IMAGES] for each in moment.test)
    layers = list(moment.precise.norms.values())
    return {"s1": np.array(substitution(moment.precise.network, layers, x, labels))}


def grams(moment: Moment) -> Readings:
    """Inner products of test images in the output of every norm layer, (L, N, N)."""
    precise, x = moment.precise, moment.test[0][:COMPARED_IMAGES]
    with torch.no_grad():
        found = seen(precise.network, precise.norms, x, lambda before, after: gram(after))
    return {"gram": np.stack(found)}


def corrupted(moment: Moment) -> Readings:
    """Test accuracy in percent for each kind and strength of corruption, (kinds, strengths).

    As the network is tested; and, if it has running statistics, with those of the corrupted images
    in their place. Source of the latter: Schneider et al. 2020, arXiv:2006.16971. Beside them the
    accuracy on the same images as they are, (), as the network is tested.
    """
    tested = np.empty((len(CORRUPTIONS), STRENGTHS))
    adapted = np.full_like(tested, np.nan)
    labels, size = moment.test[1], len(moment.train[0][1])
    clean = percent_right(moment.trained(), *moment.test, size)
    for row, corrupt in enumerate(CORRUPTIONS.values()):
        for column in range(STRENGTHS):
            rng = np.random.default_rng(NOISE_SEED)
            x = moment.normalized(corrupt(moment.test_pixels, column + 1, rng))
            tested[row, column] = percent_right(moment.trained(), x, labels, size)
            if moment.has_running_statistics:
                own = moment.with_statistics_of(list(x.split(size))).trained()
                adapted[row, column] = percent_right(own, x, labels, size)
    return {
        "clean_percent": np.array(clean),
        "tested_percent": tested,
        "adapted_percent": adapted,
    }
