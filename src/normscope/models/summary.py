"""The table of a model's layers: what users know from torchsummary, and the multiply-adds."""

import torch
from torch import nn

from normscope.experiment import LayerSummary, ModelSummary
from normscope.models.making import make_network
from normscope.models.receptive import Following


def summarize(
    model: str,
    norm: str,
    num_classes: int = 10,
    image_shape: tuple[int, int, int] = (32, 32, 3),
) -> ModelSummary:
    """Summarize a model of the MODELS table with a norm of the NORMS table, for one image.

    `image_shape` is (H, W, C). Raises `UsageError` if either name is unknown.

    >>> from normscope import summarize
    >>> summary = summarize("s8", "bn")
    >>> summary.parameters, summary.multiply_adds
    (31216, 6231448)
    >>> summary.layers[0].name, summary.layers[0].output_shape
    ('Conv2d-1', (16, 30, 30))
    """
    network = make_network(model, norm, num_classes, torch.Generator(), torch.Generator()).network
    network.eval()
    height, width, channels = image_shape
    shape_CHW = channels, height, width
    layers = _run_layers(network, torch.zeros(1, *shape_CHW))
    return ModelSummary(model=model, norm=norm, input_shape=shape_CHW, layers=tuple(layers))


def _run_layers(network: nn.Module, x_NCHW: torch.Tensor) -> list[LayerSummary]:
    rows: list[LayerSummary] = []
    following = Following(x_NCHW)

    def record(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        kind = type(layer).__name__
        rows.append(
            LayerSummary(
                name=f"{kind}-{len(rows) + 1}",
                type=kind,
                output_shape=tuple(output.shape[1:]),
                parameters=sum(p.numel() for p in layer.parameters() if p.requires_grad),
                multiply_adds=_multiply_adds(layer, output),
                receptive_field=field.size if (field := following.field(output)) else None,
            )
        )

    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(record)
    with torch.inference_mode(), following:
        network(x_NCHW)
    return rows


def _multiply_adds(layer: nn.Module, output: torch.Tensor) -> int:
    """Multiply-adds of a convolution: one per weight and output pixel. Other layers count as 0."""
    if not isinstance(layer, nn.Conv2d):
        return 0
    return layer.weight.numel() * output.shape[2] * output.shape[3]
