"""Tells whether two boxes may show the same object, by their colours.

Colour indexing (Swain and Ballard 1991): histograms are compared by their intersection. The colours
are chromaticities, which shade and exposure hardly change.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Image

Floats = NDArray[np.float64]

BINS = 8  # along each chromaticity
SAMPLES = (12, 24)  # pixels of a box that are looked at: across, down
MARGIN = 0.15  # of a box's width, at both sides: mostly background
LEAST, MOST = 0.13, 0.53  # the range of a chromaticity; grey is 1/3
DARK = 8  # added to each channel, so that noise in the dark is no colour


def colours(image: Image, boxes: Floats) -> Floats:
    """The colour histograms (n, BINS²) of boxes (n, 4) in pixels of `image`; each sums to 1."""
    height, width = image.shape[:2]
    margin = MARGIN * (boxes[:, 2] - boxes[:, 0])
    left, right = boxes[:, 0] + margin, boxes[:, 2] - margin
    x1 = np.clip(left, 0, width - 1).astype(int)
    y1 = np.clip(boxes[:, 1], 0, height - 1).astype(int)
    x2 = np.maximum(x1 + 1, np.clip(right, 0, width).astype(int))
    y2 = np.maximum(y1 + 1, np.clip(boxes[:, 3], 0, height).astype(int))
    samples = [
        cv2.resize(image[y1[n] : y2[n], x1[n] : x2[n]], SAMPLES, interpolation=cv2.INTER_NEAREST)
        for n in range(len(boxes))
    ]
    pixels = np.array(samples, float).reshape(len(boxes), SAMPLES[0] * SAMPLES[1], 3) + DARK
    shares = pixels[..., ::2] / pixels.sum(axis=2, keepdims=True)  # of red and of blue
    cells = ((shares - LEAST) * (BINS / (MOST - LEAST))).astype(int).clip(0, BINS - 1)
    numbers = cells[..., 0] * BINS + cells[..., 1] + BINS**2 * np.arange(len(boxes))[:, None]
    counted = np.bincount(numbers.ravel(), minlength=len(boxes) * BINS**2)
    return np.asarray(counted.reshape(len(boxes), BINS**2) / (SAMPLES[0] * SAMPLES[1]))


def differences(first: Floats, second: Floats) -> Floats:
    """How every histogram of `first` (n, b) differs from every one of `second` (m, b), 0 to 1."""
    return np.asarray(1.0 - np.minimum(first[:, None], second[None]).sum(axis=2))
