import torch

from normscope.training.seeds import generator


def draw(seed, stream):
    return torch.rand(8, generator=generator(seed, stream))


def test_a_stream_is_repeatable_and_ignores_the_global_state():
    first = draw(0, "init")
    torch.manual_seed(99)
    torch.rand(3)
    assert torch.equal(draw(0, "init"), first)


def test_streams_and_seeds_differ():
    draws = [draw(0, "init"), draw(0, "order"), draw(1, "init"), draw(10, "rder")]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert not torch.equal(one, other)


def test_drawing_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    draw(0, "dropout")
    assert torch.equal(torch.get_rng_state(), before)
