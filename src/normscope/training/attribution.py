"""Where a network looks, by captum's Grad-CAM and occlusion: the only file that imports captum."""

from collections.abc import Callable
from types import ModuleType

import torch
from torch import nn

from normscope.errors import RunError
from normscope.experiment.heat_maps import window

AT_ONCE = 64  # images; what the layers of so many hold fits into any memory

Looked = tuple[str, torch.Tensor]  # the layer that was explained, or "", and maps (N, h, w)


def check_captum() -> None:
    """Raise `RunError` if captum is not installed."""
    _captum()


def grad_cam(network: nn.Module, x_NCHW: torch.Tensor, classes: torch.Tensor) -> Looked:
    """Grad-CAM of `classes` (N,) int64 at the network's last layer that has a map.

    ``relu(sum_k a_k A_k)``, where A_k (h, w) is channel k of the layer's output and a_k the mean
    over its pixels of the gradient of the class's logit. Returns the layer, such as ``layers.26
    (BatchNorm2d)``, and maps (N, h, w) in the unit of the logit. The network must be in evaluation
    mode. Raises `RunError` if it has no such layer. Source: Selvaraju et al. 2017, arXiv
    1610.02391, equations 1 and 2.
    """
    name = last_map(network, x_NCHW[:1])
    layer = network.get_submodule(name)
    method = _captum().LayerGradCam(network, layer)
    parts = zip(x_NCHW.split(AT_ONCE), classes.split(AT_ONCE), strict=True)
    maps = [
        method.attribute(x.detach().clone().requires_grad_(), c, relu_attributions=True)
        for x, c in parts
    ]
    return f"{name} ({type(layer).__name__})", torch.cat(maps).detach()[:, 0]


@torch.no_grad()
def occlusion(network: nn.Module, x_NCHW: torch.Tensor, classes: torch.Tensor) -> Looked:
    """What the probability of `classes` (N,) loses when a square of the image is painted over.

    In points of the softmax probability, maps (N, H, W): of each pixel the mean over the squares
    that cover it, which move by a stride; see `window`. The paint is 0, which is the mean colour of
    the training images. Negative where the class gains. Source: Zeiler and Fergus 2014, arXiv
    1311.2901, section 4.2.
    """
    channels, side = x_NCHW.shape[1], x_NCHW.shape[2]
    size, stride = window(side)
    method = _captum().Occlusion(lambda x: 100 * network(x).softmax(dim=1))
    maps = [
        method.attribute(
            x,
            sliding_window_shapes=(channels, size, size),
            strides=(channels, stride, stride),
            baselines=0,
            target=c,
        )
        for x, c in zip(x_NCHW.split(AT_ONCE), classes.split(AT_ONCE), strict=True)
    ]
    return "", torch.cat(maps)[:, 0]  # all channels of a pixel are painted together


LOOKS: dict[str, Callable[[nn.Module, torch.Tensor, torch.Tensor], Looked]] = {
    "grad-cam": grad_cam,
    "occlusion": occlusion,
}


def last_map(network: nn.Module, x_NCHW: torch.Tensor) -> str:
    """The name of the last layer, in the order of the forward pass, whose output is a map.

    That is, of (N, C, h, w) with more than one pixel, on which the answer depends. A layer that
    hands its input on as it is, such as dropout in evaluation mode, is none, and of a layer and a
    container that ends with it the layer counts. Raises `RunError` if there is none.
    """
    outputs: dict[int, tuple[str, torch.Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple, torch.Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple, y: torch.Tensor) -> None:
            if y.dim() == 4 and y.shape[2] * y.shape[3] > 1 and y is not inputs[0]:
                outputs.setdefault(id(y), (name, y))

        return hook

    hooks = [
        layer.register_forward_hook(keep(name)) for name, layer in network.named_modules() if name
    ]
    try:
        with torch.enable_grad():
            answer = network(x_NCHW.detach().clone().requires_grad_()).sum()
    finally:
        for each in hooks:
            each.remove()
    names, maps = zip(*outputs.values(), strict=True) if outputs else ((), ())
    gradients = torch.autograd.grad(answer, maps, allow_unused=True) if maps else ()
    found = [n for n, gradient in zip(names, gradients, strict=True) if gradient is not None]
    if not found:
        raise RunError(
            "this network has no layer whose output is a map of several pixels, which Grad-CAM "
            "needs; use the method occlusion"
        )
    return found[-1]


def _captum() -> ModuleType:
    """captum's methods, imported when they are first needed: it is an extra."""
    try:
        from captum import attr
    except ModuleNotFoundError as error:
        raise RunError(
            'explaining needs captum, which is not installed: pip install "normscope[explain]"'
        ) from error
    return attr
