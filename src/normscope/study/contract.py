"""What must hold of a norm for its trials to mean something, and what is good to know of it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from normscope.norms import asked

MakeLayer = Callable[[], nn.Module]  # a layer, always the same
CLOSE = 1e-4  # of the largest output: what float32 and another order of adding up may change
ROUGH = 0.05  # likewise in bfloat16


@dataclass(frozen=True)
class Check:
    """`holds` is None for what may be either way; `detail` says what was seen."""

    name: str
    holds: bool | None
    detail: str


def check_norm(norm: str, num_channels: int = 16) -> list[Check]:
    """Try a norm on random images: what must hold of it first, then what is good to know.

    Raises `UsageError` if the norm is unknown or its file cannot be imported.

    >>> from normscope import check_norm
    >>> [check.name for check in check_norm("gn") if check.holds is False]
    []
    >>> check_norm("bn")[0]
    Check(name='keeps shape and type', holds=True, detail='')
    """
    factory = asked(norm)

    def make() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layer = factory(num_channels)
        if hasattr(layer, "generator"):
            layer.generator = torch.Generator().manual_seed(0)  # pyright: ignore
        return layer

    x = 2 * torch.randn(4, num_channels, 6, 7, generator=torch.Generator().manual_seed(1)) + 1
    must = [Check(name, *_tried(must_hold, make, x)) for name, must_hold in MUST_HOLD.items()]
    return must + [Check(name, None, _told(tell, make, x)) for name, tell in GOOD_TO_KNOW.items()]


def _tried(must_hold: Callable[[MakeLayer, torch.Tensor], str], make: MakeLayer, x: torch.Tensor):
    """Whether it holds, and what is wrong if it does not."""
    try:
        wrong = must_hold(make, x)
    except Exception as error:  # whatever a user's layer raises
        wrong = f"{type(error).__name__}: {error}".splitlines()[0]
    return not wrong, wrong


def _told(tell: Callable[[MakeLayer, torch.Tensor], str], make: MakeLayer, x: torch.Tensor) -> str:
    try:
        return tell(make, x)
    except Exception as error:
        return f"raises {type(error).__name__}: {error}".splitlines()[0]


# -- what must hold: each returns what is wrong, or "" ---------------------------------------------


def _keeps_shape_and_type(make: MakeLayer, x: torch.Tensor) -> str:
    y = make()(x)
    if not isinstance(y, torch.Tensor):
        return f"returns a {type(y).__name__}"
    same = y.shape == x.shape and y.dtype == x.dtype
    return "" if same else f"turns {tuple(x.shape)} {x.dtype} into {tuple(y.shape)} {y.dtype}"


def _takes_odd_sizes(make: MakeLayer, x: torch.Tensor) -> str:
    for size in ((5, 7), (1, 9), (32, 3)):
        odd = torch.ones(3, x.shape[1], *size).cumsum(3)
        if (y := make()(odd)).shape != odd.shape:
            return f"turns {tuple(odd.shape)} into {tuple(y.shape)}"
    return ""


def _gradient_in_training(make: MakeLayer, x: torch.Tensor) -> str:
    return _gradient(make().double(), x)


def _gradient_in_evaluation(make: MakeLayer, x: torch.Tensor) -> str:
    return _gradient(make().double().eval(), x)


def _gradient(layer: nn.Module, x: torch.Tensor) -> str:
    """In float64 against finite differences, from the same state each time."""
    few = x[:3, :, :3, :2].double()
    copy.deepcopy(layer)(few)  # one that takes its size from its first input has none yet

    def function(given: torch.Tensor) -> torch.Tensor:
        return copy.deepcopy(layer)(given)

    torch.autograd.gradcheck(function, few.requires_grad_())  # its fast mode misses little things
    return ""


def _leaves_its_input_alone(make: MakeLayer, x: torch.Tensor) -> str:
    given = x.clone()
    make()(given)
    return "" if torch.equal(given, x) else "changes its input in place"


def _same_twice(make: MakeLayer, x: torch.Tensor) -> str:
    return "" if torch.equal(make()(x), make()(x)) else "another output from the same state"


def _draws_nothing_global(make: MakeLayer, x: torch.Tensor) -> str:
    layer, before = make(), torch.get_rng_state()
    layer(x)
    drawn = not torch.equal(before, torch.get_rng_state())
    return "draws from torch's global random state; draw from self.generator" if drawn else ""


def _any_memory_layout(make: MakeLayer, x: torch.Tensor) -> str:
    y = make()(x)
    return _near(make()(x.to(memory_format=torch.channels_last)), y, CLOSE)


def _bfloat16(make: MakeLayer, x: torch.Tensor) -> str:
    rounded = x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = make()(rounded)
    if y.dtype != torch.bfloat16:
        return f"turns torch.bfloat16 into {y.dtype}"
    return _near(y.float(), make()(rounded.float()), ROUGH)


def _constant_input(make: MakeLayer, x: torch.Tensor) -> str:
    given = torch.full_like(x, 3.0).requires_grad_()
    y = make()(given)
    y.sum().backward()
    finite = bool(y.isfinite().all()) and given.grad is not None
    return "" if finite and bool(given.grad.isfinite().all()) else "is not finite"  # pyright: ignore


def _saved_and_loaded(make: MakeLayer, x: torch.Tensor) -> str:
    trained, loaded = make(), make()
    trained(x)
    loaded.eval()(x)  # takes its size, if it needs to
    loaded.load_state_dict(trained.state_dict())
    return _near(loaded.eval()(x), trained.eval()(x), 0.0)


def _near(y: torch.Tensor, expected: torch.Tensor, share: float) -> str:
    """What is wrong if they differ by more than a share of the largest value."""
    y, expected = y.detach(), expected.detach()
    off = float((y - expected).abs().max()) / max(float(expected.abs().max()), 1e-12)
    return "" if off <= share else f"differs by {100 * off:.2g} % of the largest output"


MUST_HOLD: dict[str, Callable[[MakeLayer, torch.Tensor], str]] = {
    "keeps shape and type": _keeps_shape_and_type,
    "takes odd sizes": _takes_odd_sizes,
    "gradient in training": _gradient_in_training,
    "gradient in evaluation": _gradient_in_evaluation,
    "leaves its input alone": _leaves_its_input_alone,
    "same output twice": _same_twice,
    "no global random numbers": _draws_nothing_global,
    "channels_last": _any_memory_layout,
    "bfloat16": _bfloat16,
    "finite on constant input": _constant_input,
    "saved and loaded": _saved_and_loaded,
}


# -- what is good to know --------------------------------------------------------------------------


def _evaluation(make: MakeLayer, x: torch.Tensor) -> str:
    layer = make()
    y = layer(x)
    same = not _near(layer.eval()(x), y, CLOSE)
    return "the same as training" if same else "differs from training"


def _other_images(make: MakeLayer, x: torch.Tensor) -> str:
    alone = not _near(make()(x)[:2], make()(x[:2]), CLOSE)
    return "have no part in an image's output" if alone else "have a part in an image's output"


def _one_image(make: MakeLayer, x: torch.Tensor) -> str:
    make()(x[:1])
    return "trains"


def _one_pixel(make: MakeLayer, x: torch.Tensor) -> str:
    y = make()(x[:, :, :1, :1])
    sizes = y.detach().abs()
    erased = bool((sizes - sizes.mean()).abs().max() < 1e-3)
    return "erases the signal: every output is as large" if erased else "trains"


def _scaled(make: MakeLayer, x: torch.Tensor) -> str:
    y, scaled = make()(x), make()(10 * x)
    if not _near(scaled, y, 0.01):
        return "changes nothing"
    return "scales the output alike" if not _near(scaled, 10 * y, 0.01) else "changes the output"


def _shifted(make: MakeLayer, x: torch.Tensor) -> str:
    same = not _near(make()(x + 5), make()(x), 0.01)
    return "changes nothing" if same else "changes the output"


def _parameters(make: MakeLayer, x: torch.Tensor) -> str:
    layer = make()
    layer(x)
    count, buffers = sum(p.numel() for p in layer.parameters()), len(list(layer.buffers()))
    return f"{count} for {x.shape[1]} channels; {buffers} buffers"


GOOD_TO_KNOW: dict[str, Callable[[MakeLayer, torch.Tensor], str]] = {
    "evaluation": _evaluation,
    "other images": _other_images,
    "a batch of one": _one_image,
    "a map of one pixel": _one_pixel,
    "the input times 10": _scaled,
    "the input plus 5": _shifted,
    "parameters": _parameters,
}
