"""Image features of transformers' FastVLM, computed as FastVlmModel.get_image_features does.

Shared by all code that traces, captures or measures the encoder. Knows no runtime.
"""

from typing import Any


def image_features(tower: Any, projector: Any, pixels: Any) -> Any:
    """Features (tokens, width) of one image (1, 3, side, side): timm's network, then the
    projector."""
    grid = tower.forward_features(pixels)  # (1, channels, tokens per side, tokens per side)
    return projector(grid.flatten(2).transpose(1, 2))[0]
