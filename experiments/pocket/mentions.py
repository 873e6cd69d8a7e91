"""Which objects a text names, and rates over images with bootstrap intervals.

Shared by the evaluation of the describer and by `experiments.quality`; imports no framework.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.language.nouns import Vocabulary

BOOTSTRAPS = 1000

# The classes that the boxes of the evaluated images cover: COCO's, named as in the machine labels.
KINDS = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "bench",
    "bird", "cat", "dog", "horse", "sheep", "cow", "backpack", "umbrella", "handbag", "frisbee",
    "skis", "snowboard", "sports ball", "skateboard", "surfboard", "bottle", "cup", "chair",
    "couch", "potted plant", "bed", "dining table", "toilet", "tv", "oven", "sink", "refrigerator",
)  # fmt: skip
VOCABULARY = Vocabulary(KINDS, "en")


def named(text: str) -> set[str]:
    """The objects that a sentence names."""
    return {mention.thing for mention in VOCABULARY.mentions(text)}


def rate(parts: NDArray[np.float64], wholes: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Sum of `parts` over sum of `wholes`, with a bootstrap 95 % interval over images."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(parts), size=(BOOTSTRAPS, len(parts)))
    ratios = parts[draws].sum(1) / np.maximum(wholes[draws].sum(1), 1e-9)
    return {
        "value": round(float(parts.sum() / max(wholes.sum(), 1e-9)), 4),
        "interval95": [round(float(v), 4) for v in np.percentile(ratios, [2.5, 97.5])],
        "n": len(parts),
    }
