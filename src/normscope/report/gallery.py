"""What the page tells of a misclassified image: every norm's probabilities, and where it looked."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from normscope.analysis import Analysis
from normscope.analysis.gallery import NormAnswer
from normscope.analysis.order import sorted_by
from normscope.experiment import HeatMaps
from normscope.experiment.heat_maps import window
from normscope.report.overlays import key, overlay
from normscope.report.plots.pictures import read_picture
from normscope.words import number

BARS = 8  # norms whose shares are drawn


@dataclass(frozen=True)
class Share:
    """A class's probability in percent: its mean, the lowest to the highest if they differ."""

    percent: str
    spread: str


@dataclass(frozen=True)
class Row:
    """What one norm says of an image: how many of its trials err, and a share for each class."""

    norm: str
    wrong: int
    trials: int
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Look:
    """Where the network of a norm looked for the class `words`; `source` is a data URI."""

    norm: str
    words: str
    right: bool
    source: str


@dataclass(frozen=True)
class Card:
    """All that there is to one image; `classes` begin with the true one.

    `looks` are by the title of a method.
    """

    agreement: str
    classes: tuple[str, ...]
    rows: tuple[Row, ...]
    looks: dict[str, tuple[Look, ...]]

    @property
    def bars(self) -> bool:
        """Whether shares are drawn as well: with many norms a page would hold tens of thousands."""
        return len(self.rows) <= BARS


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def heat_key() -> str:
    """The colours of heat maps, as a data URI."""
    return data_uri(key())


def make_card(analysis: Analysis, index: int, pictures: Path) -> Card:
    """Of the test image at `index`, whose picture is in the folder `pictures`, if it is there."""
    answers, names = analysis.images[index], analysis.facts.class_names
    classes = answers.classes
    image = read_picture(pictures, index) if analysis.heat_maps else None
    looks = {}
    if image is not None:
        for maps in analysis.heat_maps:
            if found := _looks(maps, index, image, names, answers.true, analysis.order):
                looks[_TITLES[maps.method]] = found
    return Card(
        agreement=answers.agreement,
        classes=tuple(names[each] for each in classes),
        rows=tuple(_row(answer, classes) for answer in answers.norms),
        looks=looks,
    )


def _row(answer: NormAnswer, classes: tuple[int, ...]) -> Row:
    shares = []
    for each in classes:
        low, high = number(answer.low[each], 0), number(answer.high[each], 0)
        spread = low if low == high else f"{low}\u2013{high}"
        percent = number(answer.percent[each], 1)
        shares.append(Share(percent, spread if answer.trials > 1 else ""))
    return Row(answer.norm, answer.wrong, answer.trials, tuple(shares))


def _looks(
    maps: HeatMaps,
    index: int,
    image: np.ndarray,
    names: tuple[str, ...],
    true: int,
    order: Sequence[str],
) -> tuple[Look, ...]:
    found = sorted_by(order, maps.of(index))
    most = max((float(heat.max()) for _, heat in found.values()), default=0.0)
    return tuple(
        Look(norm, names[predicted], predicted == true, data_uri(overlay(image, heat, most)))
        for norm, (predicted, heat) in found.items()
    )


# -- what the heat maps are ------------------------------------------------------------------------

_TITLES = {"grad-cam": "Grad-CAM", "occlusion": "Occlusion"}


def heat_notes(analysis: Analysis) -> list[tuple[str, str]]:
    """The title of every method, and what its maps show and do not show."""
    return [
        (_TITLES[maps.method], _NOTES[maps.method](maps, analysis)) for maps in analysis.heat_maps
    ]


def _grad_cam_note(maps: HeatMaps, analysis: Analysis) -> str:
    sizes = {heat.maps.shape[1:] for heat in maps.norms.values()}
    size = ", ".join(f"{height} \u00d7 {width}" for height, width in sorted(sizes))
    return (
        f"where the last layer with a map ({_layers(maps)}; {size}) speaks for the class that the "
        f"network of seed {maps.seed} predicts, which is named below each picture. Bright is the "
        "most of all norms on this picture; only evidence for the class is shown, none against "
        "it. The map is coarse and enlarged, and gradients are averaged over it, so that it may "
        "light up what the answer does not depend on. It says where, not what was seen there, and "
        "a norm with larger logits is brighter (Selvaraju et al. 2017, arXiv 1610.02391)."
    )


def _layers(maps: HeatMaps) -> str:
    """The layer, or by norm where they differ: ``layers.26 (BatchNorm2d) with bn, ...``."""
    norms: dict[str, list[str]] = {}
    for norm, heat in maps.norms.items():
        norms.setdefault(heat.layer, []).append(norm)
    if len(norms) == 1:
        return next(iter(norms))
    return ", ".join(f"{layer} with {' and '.join(those)}" for layer, those in norms.items())


def _occlusion_note(maps: HeatMaps, analysis: Analysis) -> str:
    side, stride = window(analysis.facts.image_shape[0])
    return (
        f"how many points of its probability the class that the network of seed {maps.seed} "
        f"predicts, which is named below each picture, loses when a square of {side} \u00d7 {side} "
        f"pixels is painted in the mean colour of the training images, in steps of {stride}; of "
        "each pixel the mean over the squares that cover it. Bright is the most of all norms on "
        "this picture; where the class gains by it, nothing is shown. A painted picture is unlike "
        "those of the training, and where one of two things would do, covering either shows little "
        "(Zeiler and Fergus 2014, arXiv 1311.2901)."
    )


_NOTES: dict[str, Callable[[HeatMaps, Analysis], str]] = {
    "grad-cam": _grad_cam_note,
    "occlusion": _occlusion_note,
}
