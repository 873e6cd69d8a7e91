"""Fuses a vision tower for inference: merge branches and folds batch norms into the convolutions
before them. The output stays the same. Knows no particular network.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fused(tower: nn.Module, side_px: int) -> nn.Module:
    """`tower`, in eval mode, changed in place: reparameterized as timm does it, without batch
    norms.

    Pairs are found by one run on a grey image (1, 3, side_px, side_px): a norm is folded if its
    input is the output of the convolution that ran just before.
    """
    for module in list(tower.modules()):
        merge = getattr(module, "reparameterize", None)
        if merge is not None and getattr(module, "reparam_conv", None) is None:
            merge()  # not again if it was merged: some of timm's blocks fail then
    for convolution, norm in _pairs(tower, side_px):
        _fold(convolution, norm)
        parent, _, name = norm[0].rpartition(".")
        setattr(tower.get_submodule(parent), name, _activation(norm[1]))
    return tower


def _pairs(tower: nn.Module, side_px: int) -> list[tuple[nn.Conv2d, tuple[str, nn.BatchNorm2d]]]:
    """Each convolution with the name and module of the norm that reads its output."""
    last: list[tuple[Tensor, nn.Conv2d]] = []
    pairs: list[tuple[nn.Conv2d, tuple[str, nn.BatchNorm2d]]] = []

    def note_output(module: Any, inputs: Any, output: Tensor) -> None:
        last[:] = [(output, module)]

    def pair_with(name: str) -> Any:
        def hook(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
            if last and last[0][0] is inputs[0]:
                pairs.append((last[0][1], (name, module)))

        return hook

    hooks = []
    for name, module in tower.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(pair_with(name)))
    like = next(tower.parameters())
    with torch.no_grad():
        grey = torch.full((1, 3, side_px, side_px), 0.5, device=like.device, dtype=like.dtype)
        tower.forward_features(grey)  # all timm networks have it
    for hook in hooks:
        hook.remove()
    return pairs


def _fold(convolution: nn.Conv2d, norm: tuple[str, nn.BatchNorm2d]) -> None:
    """Fold a norm into a convolution, in fp32 because variances are small."""
    layer = norm[1]
    assert layer.running_mean is not None
    assert layer.running_var is not None
    dtype = convolution.weight.dtype
    weight, bias = fuse_conv_bn_weights(
        convolution.weight.float(),
        None if convolution.bias is None else convolution.bias.float(),
        layer.running_mean.float(),
        layer.running_var.float(),
        layer.eps,
        layer.weight.float(),
        layer.bias.float(),
    )
    convolution.weight = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
    convolution.bias = nn.Parameter(bias.detach().to(dtype), requires_grad=False)


def _activation(norm: nn.BatchNorm2d) -> nn.Module:
    """The activation that timm's norms may contain."""
    return getattr(norm, "act", nn.Identity())
