"""bn by the images in its statistics: which norms belong together, and what verdicts say."""

from dataclasses import replace

import pytest
from report_fakes import make_analysis

from normscope.analysis.statistics_batch import sub_batches_of

NORMS = ("bn", "ghost-bn:size=128", "ghost-bn:size=2", "ghost-bn", "gn")
NOISE = (0.1, -0.2, 0.0, 0.2, -0.1)  # of a seed, in points; another one for every norm


def fallen(norms=NORMS, seeds=5, **points):
    """bn reaches 75 % with every seed, and the others so many points more, by their last value."""

    def changed(results):
        for result in results:
            norm, seed = result.trial.norm, result.trial.seed
            more = points.get(norm.split("=")[-1].replace("-", "_"), 0.0)
            noise = NOISE[(seed + norms.index(norm)) % 5] if norm != "bn" else 0.0
            update = {"test_accuracy_percent": 75.0 + more + noise}
            last = replace(result.history[-1], **update)
            yield result.model_copy(update={"history": (*result.history[:-1], last)})

    return make_analysis(
        norms=norms, seeds=seeds, epochs=2, test_size=50, change=lambda rs: list(changed(rs))
    )


def remarks(analysis):
    return [r.text for r in analysis.findings if r.topic == "Statistics batch"]


def test_bn_and_its_sub_batches_are_one_by_their_images():
    (found,) = sub_batches_of(fallen())
    assert found.norm == "bn"
    assert {size: member.norm for size, member in found.members.items()} == {
        2: "ghost-bn:size=2", 32: "ghost-bn", 128: "ghost-bn:size=128", 512: "bn",
    }  # fmt: skip
    assert list(found.members) == [2, 32, 128, 512]


def test_options_and_place_tell_one_bn_from_another():
    names = ("bn", "bn:pre", "ghost-bn:size=4:pre", "ghost-bn:momentum=0.2",
             "ghost-bn:size=8:momentum=0.2", "ghost-bn:size=8:eps=0.1")  # fmt: skip
    found = {one.norm: list(one.members) for one in sub_batches_of(fallen(names))}
    assert found == {"bn:pre": [4, 512], "bn:momentum=0.2": [8, 32]}


@pytest.mark.parametrize("norms", [("bn", "gn"), ("gn", "ghost-bn", "ln"), ("bn", "brn", "bin")])
def test_one_size_is_nothing_to_look_at(norms):
    assert sub_batches_of(fallen(norms)) == ()
    assert remarks(fallen(norms)) == []


def test_a_sub_batch_as_large_as_a_batch_is_no_other_size():
    assert sub_batches_of(fallen(("bn", "ghost-bn:size=512", "ghost-bn:size=600"))) == ()


# The differences of 5 seeds to bn have an sd of 0.158 points, so their mean is known to +-0.31 with
# 4 comparisons at once: 3 points are worse, and 0 is within the margin of 0.5.
def test_it_is_told_where_sub_batches_fall_behind_whole_ones():
    (told,) = remarks(fallen(**{"2": -3.0}))
    assert told == (
        "bn by the images in its statistics, against bn with 512 after 196 steps: worse with 2; "
        "equivalent with 32 and 128. Gradients are averaged over 512 images everywhere (5 seeds)."
    )


def test_it_is_told_where_bn_falls_behind_another_baseline():
    norms = ("gn", *NORMS[:-1])
    analysis = fallen(norms, **{"2": -3.0, "ghost_bn": 0.3, "128": 2.0})
    (told,) = remarks(analysis)
    assert (
        "in its statistics, against gn after 196 steps: worse with 2; undecided with 32; " in told
    )
    assert "; better with 128; equivalent with 512. Gradients" in told
    outcomes = {verdict.norm: verdict.outcome for verdict in analysis.verdicts}
    assert outcomes == {
        "ghost-bn:size=2": "worse", "ghost-bn": "undecided", "ghost-bn:size=128": "better",
        "bn": "equivalent",
    }  # fmt: skip


def test_with_one_seed_nothing_is_told():
    assert remarks(fallen(seeds=1)) == []
