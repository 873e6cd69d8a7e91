"""Checks and converts the inputs of a decoder, the same way for every runtime. Knows no runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import DescriberFailed, PromptTooLong


def check_decoder_inputs(
    ids: Sequence[int], features: Any, limit: int, *, context: int, image_id: int
) -> None:
    """Check that the prompt `ids` and `limit` new tokens fit into `context` tokens, and that each
    image token has one row of features. Raises PromptTooLong and DescriberFailed."""
    if len(ids) + limit > context:
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens, which leaves no room for {limit} more: this "
            f"describer holds {context}"
        )
    if (image_tokens := ids.count(image_id)) != len(features):
        raise DescriberFailed(
            f"the prompt has {image_tokens} image tokens, but the image has {len(features)}"
        )


def features_as_numpy(features: Any) -> NDArray[np.float32]:
    """Features (tokens, width) of any encoder as a NumPy array; torch's may be on a GPU or in
    bf16."""
    if hasattr(features, "cpu"):
        features = features.detach().float().cpu()
    return np.ascontiguousarray(features, np.float32)
