"""A picture's features by transformers' FastVLM, as FastVlmModel.get_image_features takes them. Knows no
runtime: whoever traces, captures or counts calls this."""

from typing import Any


def features_of(tower: Any, projector: Any, pixels: Any) -> Any:
    """Rows (tokens, width) of one picture (1, 3, side, side), by timm's network and the projector."""
    grid = tower.forward_features(pixels)  # (1, channels, tokens a side, tokens a side)
    return projector(grid.flatten(2).transpose(1, 2))[0]
