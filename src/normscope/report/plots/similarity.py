"""Whether networks see images alike: with the same norm and other seeds, and across norms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from normscope.analysis import Analysis
from normscope.analysis.why.reading import layer_mean
from normscope.report.plots.differences import add_key
from normscope.report.plots.figure import MAX_NORMS_IN_WORDS, ReportFigure
from normscope.report.plots.inside import (
    BAND_ALPHA,
    LAYER,
    Band,
    layers,
    norm_panels,
    set_layers,
    trained,
    untrained,
)
from normscope.report.plots.style import INK, MUTED, NormStyle, norm_styles, styled
from normscope.stats import cka_matrix
from normscope.words import counted, number

GRAM = "similarity.gram"
UNTRAINED_ALPHA = 0.3


@dataclass(frozen=True)
class NormSimilarity:
    """CKA of a norm's networks by layer, (L,), over pairs of networks of different seeds.

    `within` the norm, `across` to the networks of other norms, and `untrained` within it before
    the training. Any may be lacking, but not both of the first two.
    """

    norm: str
    within: Band | None
    across: Band | None
    untrained: Band | None


def similarity_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `similarity`; none without two trained networks whose images were compared."""
    rows = similarity_data(analysis)
    if not rows:
        return []
    told = "; ".join(map(_told, rows[:MAX_NORMS_IN_WORDS]))
    caption = (
        "Do two networks find the same images alike? At 1 they do, but for a rotation of their "
        "channels; at 0 they have nothing in common (centred kernel alignment, unbiased). Solid: "
        "two networks of the same norm with different seeds. Dashed: one of this norm and one of "
        "another, with different seeds, too. Where the dashed line lies on the solid one, the norm "
        "changes what a layer sees no more than chance does. Grey: the same norm, untrained. "
        f"Means over layers: {told}. Bands span the pairs."
    )
    alt = f"CKA between networks by layer. Means over layers: {told}."
    draw = partial(draw_similarity, rows, analysis.asked)
    return [ReportFigure("similarity", draw, alt, caption)]


def _told(row: NormSimilarity) -> str:
    """``bn with itself 0.88 (10 pairs), with other norms 0.85 (40 pairs)``."""
    parts = {"with itself": row.within, "with other norms": row.across}
    words = [
        f"{name} {number(layer_mean(band.mean), 2)} ({counted(band.n, 'pair')})"
        for name, band in parts.items()
        if band is not None
    ]
    return f"{row.norm} {', '.join(words)}"


def similarity_data(analysis: Analysis) -> tuple[NormSimilarity, ...]:
    """Of every norm with a network that can be paired with another one, after the training."""
    norms = analysis.order
    after = pairs_of({norm: trained(analysis, norm, GRAM) for norm in norms})
    before = pairs_of({norm: untrained(analysis, norm, GRAM) for norm in norms})
    rows = []
    for norm in norms:
        within = Band.of(after.get((norm, norm), []))
        across = Band.of([one for key, found in after.items() for one in found if _is(norm, key)])
        if within is not None or across is not None:
            rows.append(NormSimilarity(norm, within, across, Band.of(before.get((norm, norm), []))))
    return tuple(rows)


def _is(norm: str, pair: tuple[str, str]) -> bool:
    """Whether a pair is of the norm and another one."""
    return norm in pair and pair[0] != pair[1]


def pairs_of(
    grams: Mapping[str, Mapping[int, np.ndarray]],
) -> dict[tuple[str, str], list[np.ndarray]]:
    """CKA by layer, (L,), of all pairs of networks of different seeds, by their norms.

    `grams` (L, N, N) are by norm and seed. Networks of one seed begin with the same weights, which
    would make norms look alike. Norms whose networks have other numbers of layers than the first
    norm's are left out: no layer of theirs stands for one of its.
    """
    networks = [(norm, seed, gram) for norm, seeds in grams.items() for seed, gram in seeds.items()]
    networks = [each for each in networks if each[2].shape == networks[0][2].shape]
    if not networks:
        return {}
    by_layer = np.array([cka_matrix(np.array(layer)) for layer in zip(*[g for _, _, g in networks],
                                                                     strict=True)])  # fmt: skip
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for i, (norm, seed, _) in enumerate(networks):
        for j, (other, other_seed, _) in enumerate(networks[:i]):
            if seed != other_seed:
                found.setdefault((other, norm), []).append(by_layer[:, i, j])
    return found


@styled
def draw_similarity(rows: Sequence[NormSimilarity], norms: Sequence[str]) -> Figure:
    """A panel per norm on one scale; `norms` are all of the experiment, which fix the styles."""
    styles, names = norm_styles(norms), [row.norm for row in rows]
    title = "Whether networks find the same images alike (CKA)"
    figure, panels = norm_panels(names, title, LAYER, 1.2)
    panels[0].set_ylim(0, 1)
    panels[0].set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    for axes, row in zip(panels, rows, strict=True):
        _draw_norm(axes, row, styles[row.norm])
    bands = [band for row in rows for band in (row.within, row.across) if band is not None]
    set_layers(panels[-1], len(bands[0].mean))
    add_key(figure, _key())
    return figure


def _draw_norm(axes: Axes, row: NormSimilarity, style: NormStyle) -> None:
    if row.untrained is not None:
        _fill(axes, row.untrained, MUTED, UNTRAINED_ALPHA)
        axes.plot(layers(row.untrained.mean), row.untrained.mean, color=MUTED, linewidth=1)
    if row.across is not None:
        axes.plot(layers(row.across.mean), row.across.mean, color=style.color, linewidth=1.3,
                  dashes=(4, 1.5))  # fmt: skip
    if row.within is not None:
        _fill(axes, row.within, style.color, BAND_ALPHA)
        axes.plot(layers(row.within.mean), row.within.mean, color=style.color, linewidth=2,
                  marker=style.marker, markersize=4.5)  # fmt: skip


def _fill(axes: Axes, band: Band, color: str, alpha: float) -> None:
    axes.fill_between(layers(band.mean), band.low, band.high, color=color, alpha=alpha, linewidth=0)


def _key() -> list[Line2D]:
    return [
        Line2D([], [], color=INK, linewidth=2, marker="o", markersize=4, label="same norm"),
        Line2D([], [], color=INK, linewidth=1.3, dashes=(4, 1.5), label="another norm"),
        Line2D([], [], color=MUTED, linewidth=1, label="same norm, untrained"),
    ]
