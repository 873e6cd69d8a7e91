"""A vision tower with fewer layers and the same output: branches merged, batch norms folded into the
convolutions before them. For inference alone; knows no particular network.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fused(tower: nn.Module, side_px: int) -> nn.Module:
    """`tower`, in eval mode, changed in place: as timm's own merging leaves it, without batch norms.

    Pairs are found by one run on a grey picture (1, 3, side_px, side_px): a norm is folded where its
    input is what a convolution has just given.
    """
    for module in list(tower.modules()):
        merges = getattr(module, "reparameterize", None)
        if merges is not None and getattr(module, "reparam_conv", None) is None:
            merges()  # not all of timm's blocks bear to be asked twice
    for convolution, norm in _pairs(tower, side_px):
        _fold(convolution, norm)
        parent, _, name = norm[0].rpartition(".")
        setattr(tower.get_submodule(parent), name, _rest(norm[1]))
    return tower


def _pairs(tower: nn.Module, side_px: int) -> list[tuple[nn.Conv2d, tuple[str, nn.BatchNorm2d]]]:
    """Each convolution and the named norm that reads its output."""
    given: list[tuple[Tensor, nn.Conv2d]] = []
    pairs: list[tuple[nn.Conv2d, tuple[str, nn.BatchNorm2d]]] = []

    def gave(module: Any, inputs: Any, output: Tensor) -> None:
        given[:] = [(output, module)]

    def takes(name: str) -> Any:
        def hook(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
            if given and given[0][0] is inputs[0]:
                pairs.append((given[0][1], (name, module)))

        return hook

    hooks = []
    for name, module in tower.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(gave))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(takes(name)))
    like = next(tower.parameters())
    with torch.no_grad():
        grey = torch.full((1, 3, side_px, side_px), 0.5, device=like.device, dtype=like.dtype)
        tower.forward_features(grey)  # every timm network has it
    for hook in hooks:
        hook.remove()
    return pairs


def _fold(convolution: nn.Conv2d, norm: tuple[str, nn.BatchNorm2d]) -> None:
    """In float32, whatever the weights are kept in: a variance is small."""
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


def _rest(norm: nn.BatchNorm2d) -> nn.Module:
    """timm's norms may carry an activation."""
    return getattr(norm, "act", nn.Identity())
