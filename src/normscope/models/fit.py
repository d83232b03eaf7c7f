"""Whether a norm fits into a network: found with an image or two, before anything is trained."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from normscope.errors import UsageError
from normscope.models.layers import dropout_layers
from normscope.models.making import Made, make_network
from normscope.norms import asked
from normscope.norms.by_layer import norm_layers


def check_fit(
    model: str,
    norm: str,
    num_classes: int,
    image_shape: tuple[int, int, int],
    least_batch: int,
    dropout: float | None = None,
) -> Made:
    """The network with the norm in it, which was called in evaluation mode.

    Raises `UsageError`, naming norm, network and layer, if the norm cannot be used there. A norm
    must take the network's widths, leave shape and type of its input as they are, and have more
    than one value for each of its statistics when it trains on `least_batch` images. The network
    must answer images with logits, a user's own in training mode, too. `image_shape` is (H, W, C).
    `dropout` is what the recipe sets the network's dropout to, which must then have some.
    """
    init, drawn = torch.Generator(), torch.Generator()
    made = _tried(
        f"{norm} cannot be put into {model}",
        lambda: make_network(model, norm, num_classes, init, drawn),
    )
    network = made.network.eval()
    if dropout is not None and not dropout_layers(network):
        raise UsageError(
            f"{model} has no dropout layer, so that a recipe with dropout={dropout:g} would say "
            "what does not happen"
        )
    if asked(norm).placement == "pre" and any(
        getattr(layer, "replaces_activation", False) for layer in made.norms
    ):
        raise UsageError(
            f"{norm}: it replaces the activation, so it is not before one; write "
            f"{norm.removesuffix(':pre')}:post"
        )
    hooks = list(_watched(made, f"{norm} does not fit into {model}: at", least_batch))
    height, width, channels = image_shape
    images = torch.rand(2, channels, height, width, generator=init)
    images = images.contiguous(memory_format=torch.channels_last)
    what = f"{norm} cannot be used in {model}"
    with torch.no_grad():
        _check_answer(model, num_classes, _tried(what, lambda: network(images[:1])))
    if made.conversion is not None:
        again = make_network(model, norm, num_classes, init, drawn).network
        _check_own(model, num_classes, network.train(), again, what, images)
    for hook in hooks:
        hook.remove()
    return made


def _check_own(
    model: str,
    num_classes: int,
    network: nn.Module,
    again: nn.Module,
    what: str,
    images: torch.Tensor,
) -> None:
    """Raise `UsageError` for what a user's network may do, and no packaged one does.

    `again` is the network built a second time.
    """
    known = set(network.parameters())
    if any(parameter in known for parameter in again.parameters()):
        raise UsageError(f"{model} is the same network each time; build a new one in every call")
    for name, value in network.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise UsageError(f"{model} keeps {name} in its state, which is no tensor")
        if value.is_floating_point() and value.dtype != torch.float32:
            raise UsageError(f"{model} has {name} in {value.dtype}; make it float32")
    trained = [parameter for parameter in known if parameter.requires_grad]
    if not trained:
        raise UsageError(f"{model} has no parameter that is trained (requires_grad)")
    answer = _tried(what, lambda: network(images))
    _check_answer(model, num_classes, answer)
    _tried(what, lambda: torch.autograd.grad(answer.sum(), trained, allow_unused=True))


def _watched(made: Made, what: str, least_batch: int) -> Iterator[RemovableHandle]:
    """Let every norm layer check what it is given and what it returns."""
    names = {layer: name for name, layer in made.network.named_modules()}
    for layer in made.norms:
        where = f"{what} {names.get(layer, type(layer).__name__)}"
        yield layer.register_forward_pre_hook(partial(_check_values, where, least_batch))
        yield layer.register_forward_hook(partial(_check_output, where))


def _tried(what: str, step: Callable):
    """The outcome of a step that may call code of the user, which raises whatever it likes."""
    try:
        return step()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{what}: {type(error).__name__}: {error}") from error


def _check_answer(model: str, num_classes: int, answer: object) -> None:
    shape = getattr(answer, "shape", None)
    if shape is None:
        raise UsageError(
            f"{model} answers images with a {type(answer).__name__}, and not with one tensor of "
            "logits; return that alone"
        )
    if len(shape) != 2 or shape[1] != num_classes:
        raise UsageError(
            f"{model} answers {shape[0]} images with a tensor {tuple(shape)}, and not with logits "
            f"({shape[0]}, {num_classes}); let it return as many as the classes that it is given"
        )


def _check_values(where: str, least_batch: int, layer: nn.Module, inputs: tuple) -> None:
    """Before the layer is called: torch's own refuse some of this, without saying where."""
    known = norm_layers().get(type(layer))
    if known is None or known.values_per_statistic is None:
        return
    _, channels, *sizes = inputs[0].shape
    shape = torch.Size((least_batch, channels, math.prod(sizes), 1))  # the map's shape is nothing
    if known.values_per_statistic(layer, shape) == 1:
        size = "x".join(map(str, sizes)) or "a single value"
        raise UsageError(
            f"{where} a statistic would be taken over a single value, which leaves nothing of the "
            f"signal ({channels} channels of {size}, {least_batch} images in the smallest batch)"
        )


def _check_output(where: str, layer: nn.Module, inputs: tuple, output: object) -> None:
    (x,) = inputs
    if not isinstance(output, torch.Tensor):
        raise UsageError(f"{where} it returns a {type(output).__name__}, and not a tensor")
    if output.shape != x.shape or output.dtype != x.dtype:
        was, became = (f"{tuple(each.shape)} {each.dtype}" for each in (x, output))
        raise UsageError(f"{where} it turns {was} into {became}; a norm must keep both")
