"""Whether a norm fits into a network: found with one image, before anything is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from normscope.errors import UsageError, lookup
from normscope.models import MODELS
from normscope.models.layers import dropout_layers
from normscope.norms import Asked, asked
from normscope.norms.by_layer import norm_layers


@dataclass(frozen=True)
class Recorded:
    """Makes the layers that `norm` makes, and remembers them in `layers`."""

    norm: Asked
    layers: list[nn.Module]

    def __call__(self, num_channels: int) -> nn.Module:
        layer = self.norm(num_channels)
        if not isinstance(layer, nn.Module):
            raise TypeError(f"it returns a {type(layer).__name__}, and not an nn.Module")
        self.layers.append(layer)
        return layer

    @property
    def placement(self) -> str:
        return self.norm.placement

    @property
    def convolution(self) -> type[nn.Conv2d] | None:
        return self.norm.convolution


def check_fit(
    model: str,
    norm: str,
    num_classes: int,
    image_shape: tuple[int, int, int],
    least_batch: int,
    dropout: float | None = None,
) -> None:
    """Raise `UsageError`, naming norm, network and layer, if the norm cannot be used there.

    A norm must take the network's widths, leave shape and type of its input as they are, and have
    more than one value for each of its statistics when it trains on `least_batch` images.
    `image_shape` is (H, W, C). `dropout` is what the recipe sets the network's dropout to, which
    must then have some.
    """
    recorded = Recorded(asked(norm), [])
    make_model = lookup(MODELS, "model", model)
    generators = torch.Generator(), torch.Generator()
    network = _tried(
        f"{norm} cannot be put into {model}",
        lambda: make_model(recorded, num_classes, *generators).eval(),
    )
    if dropout is not None and not dropout_layers(network):
        raise UsageError(
            f"{model} has no dropout layer, so that a recipe with dropout={dropout:g} would say "
            "what does not happen"
        )
    if recorded.placement == "pre" and any(
        getattr(layer, "replaces_activation", False) for layer in recorded.layers
    ):
        raise UsageError(
            f"{norm}: it replaces the activation, so it is not before one; write "
            f"{norm.removesuffix(':pre')}:post"
        )
    names = {layer: name for name, layer in network.named_modules()}
    for layer in recorded.layers:
        where = f"{norm} does not fit into {model}: at {names.get(layer, type(layer).__name__)}"
        layer.register_forward_pre_hook(partial(_check_values, where, least_batch))
        layer.register_forward_hook(partial(_check_output, where))
    height, width, channels = image_shape
    image = torch.rand(1, channels, height, width, generator=generators[0])
    with torch.inference_mode():
        _tried(f"{norm} cannot be used in {model}", lambda: network(image))


def _tried(what: str, step: Callable):
    """The outcome of a step that may call code of the user, which raises whatever it likes."""
    try:
        return step()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{what}: {type(error).__name__}: {error}") from error


def _check_values(where: str, least_batch: int, layer: nn.Module, inputs: tuple) -> None:
    """Before the layer is called: torch's own refuse some of this, without saying where."""
    known = norm_layers().get(type(layer))
    if known is None or known.values_per_statistic is None:
        return
    shape = torch.Size((least_batch, *inputs[0].shape[1:]))
    if known.values_per_statistic(layer, shape) == 1:
        _, channels, height, width = shape
        raise UsageError(
            f"{where} a statistic would be taken over a single value, which leaves nothing of the "
            f"signal ({channels} channels of {height}x{width}, {least_batch} images in the "
            "smallest batch)"
        )


def _check_output(where: str, layer: nn.Module, inputs: tuple, output: object) -> None:
    (x,) = inputs
    if not isinstance(output, torch.Tensor):
        raise UsageError(f"{where} it returns a {type(output).__name__}, and not a tensor")
    if output.shape != x.shape or output.dtype != x.dtype:
        was, became = (f"{tuple(each.shape)} {each.dtype}" for each in (x, output))
        raise UsageError(f"{where} it turns {was} into {became}; a norm must keep both")
