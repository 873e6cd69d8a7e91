"""What every decoder does with what it is handed, before it reads it. Knows no runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import DescriberFailed, PromptTooLong


def refuse_misfits(
    ids: Sequence[int], features: Any, limit: int, *, context: int, image_id: int
) -> None:
    """Raise PromptTooLong where `ids` and `limit` more are over `context` tokens, and DescriberFailed
    where the features are not as many as the image tokens."""
    if len(ids) + limit > context:
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens, which leaves no room for {limit} more: this "
            f"describer holds {context}"
        )
    if (places := ids.count(image_id)) != len(features):
        raise DescriberFailed(
            f"the prompt has {places} image tokens, and the picture {len(features)}"
        )


def in_memory(features: Any) -> NDArray[np.float32]:
    """Features (tokens, width) of any encoder as NumPy's; torch's may lie on a card or in bf16."""
    if hasattr(features, "cpu"):
        features = features.detach().float().cpu()
    return np.ascontiguousarray(features, np.float32)
