"""Random augmented views of whole images, computed on the images' device."""

import torch
from torch import Tensor
from torch.nn import functional


def random_views(images: Tensor, size: int, least_area: float = 0.6) -> Tensor:
    """Crop, stretch, mirror and relight uint8 [B, H, W, 3] to 0-1 pixels [B, 3, size, size].

    A crop keeps at least about `least_area` of the image.
    """
    device, batch = images.device, len(images)
    pixels = images.permute(0, 3, 1, 2).float() / 255

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch, device=device).uniform_(low, high)

    area, stretch = uniform(least_area, 1.0), uniform(-0.25, 0.25).exp()
    width = (area * stretch).sqrt().clamp(max=1)
    height = (area / stretch).sqrt().clamp(max=1)
    theta = torch.zeros(batch, 2, 3, device=device)
    theta[:, 0, 0] = width * torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = (1 - width) * uniform(-1, 1)
    theta[:, 1, 2] = (1 - height) * uniform(-1, 1)
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    view = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    if size != view.shape[-1]:
        view = functional.interpolate(view, size, mode="bilinear", antialias=True)
    gain, shift = uniform(-0.25, 0.25), uniform(-0.25, 0.25)
    lit = (view - 0.5) * (1 + gain.view(-1, 1, 1, 1)) + 0.5 + 0.5 * shift.view(-1, 1, 1, 1)
    return lit.clamp(0, 1)


def whole_views(images: Tensor, size: int) -> Tensor:
    """The whole images, uint8 [B, H, W, 3], as 0-1 pixels [B, 3, size, size]."""
    pixels = images.permute(0, 3, 1, 2).float() / 255
    if size != pixels.shape[-1]:
        pixels = functional.interpolate(pixels, size, mode="bicubic", antialias=True)
    return pixels.clamp(0, 1)
