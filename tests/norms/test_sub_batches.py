"""bn over sub-batches: its name, and the number of images that its statistics run over."""

import pytest
import torch

from normscope.errors import UsageError
from normscope.norms import asked, over_sub_batches, over_whole_batches, statistics_batch


@pytest.mark.parametrize(
    ("norm", "size", "name"),
    [
        ("bn", 8, "ghost-bn:size=8"),
        ("BatchNorm2d", 2, "ghost-bn:size=2"),
        ("bn", 32, "ghost-bn"),  # its default
        ("bn:pre", 8, "ghost-bn:size=8:pre"),
        ("bn:momentum=0.2:eps=0.01:pre", 4, "ghost-bn:size=4:eps=0.01:momentum=0.2:pre"),
        ("gn", 8, None),
        ("ghost-bn:size=4", 8, None),
        ("brn", 8, None),
        ("layers.py:bn", 8, None),
    ],
)
def test_bn_over_sub_batches_keeps_its_options_and_its_place(norm, size, name):
    assert over_sub_batches(norm, size) == name


def test_an_option_that_bn_does_not_have_is_refused():
    with pytest.raises(UsageError, match="bn has no option 'size'"):
        over_sub_batches("bn:size=4", 8)


@pytest.mark.parametrize("norm", ["bn", "bn:pre", "bn:eps=0.01:momentum=0.2:pre"])
def test_over_whole_batches_it_is_bn_again(norm):
    for size in (2, 32, 100):
        assert over_whole_batches(over_sub_batches(norm, size)) == norm
    assert [over_whole_batches(other) for other in (norm, "gn:groups=2")] == [norm, "gn:groups=2"]


@pytest.mark.parametrize(
    ("norm", "images"),
    [("bn", 48), ("bn:pre", 48), ("ghost-bn:size=8", 8), ("ghost-bn", 32), ("ghost-bn:size=64", 48),
     ("gn", None), ("iternorm:size=8", None), ("brn", None)],
)  # fmt: skip
def test_statistics_run_over_the_batch_or_the_sub_batch(norm, images):
    assert statistics_batch(norm, 48) == images


@pytest.mark.parametrize("options", ["", ":eps=0.3", ":momentum=0.5", ":eps=0.01:momentum=0.7"])
def test_a_single_sub_batch_is_bn_with_the_same_options(options):
    """Names that say the same thing must lead to layers that do."""
    x = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    norm = f"bn{options}"
    whole, parts = asked(norm)(4), asked(over_sub_batches(norm, 5))(4)
    assert torch.allclose(parts(x), whole(x), atol=1e-6)
    assert torch.allclose(parts.eval()(x), whole.eval()(x), atol=1e-6)
