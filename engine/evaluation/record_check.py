"""Checks the numbers of a stored output: finite, and of a size that the engine can have written."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from engine.core.glance import Box

LARGEST = 1e9
SHARE = (-1e-6, 1.0 + 1e-6)  # they are stored with six decimals
SHARES = (
    *("score", "probability", "entropy", "top", "blur", "exposure", "contrast", "edges"),
    *("strokes", "change"),
)
BOUNDS = {
    **dict.fromkeys(SHARES, SHARE),
    "width": (1.0, 65_535.0),
    "height": (1.0, 65_535.0),
    "seq": (0.0, LARGEST),
    "time_s": (0.0, LARGEST),
    "distance_m": (1e-6, 1e6),
    "distance_sigma_m": (0.0, 1e6),
    "bearing_deg": (-180.0, 180.0),
    "ttc_s": (0.0, 1e6),
    "ttc_sigma_s": (0.0, 1e6),
    "hfov_deg": (1.0, 359.0),
}


def check_numbers(value: Any) -> None:
    """Raise ValueError, which names the field, for the first impossible number in a dataclass."""
    for path, name, number in _numbers(value, "", ""):
        low, high = BOUNDS.get(name, (-LARGEST, LARGEST))
        if name.endswith("_ms"):
            low = 0.0
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError(f"{path}: expected a number from {low:g} to {high:g}, got {number:g}")


def _numbers(value: Any, path: str, name: str) -> Iterator[tuple[str, str, float]]:
    """Every number in `value`, with its path and the name of its field."""
    if isinstance(value, Box) and not (value.x1 <= value.x2 and value.y1 <= value.y2):
        corners = f"{value.x1:g} {value.y1:g} {value.x2:g} {value.y2:g}"
        raise ValueError(
            f"{path}: expected a box x1 y1 x2 y2 of a size of 0 or more, got {corners}"
        )
    if is_dataclass(value):
        for field in fields(value):
            inner = f"{path}.{field.name}" if path else field.name
            yield from _numbers(getattr(value, field.name), inner, field.name)
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{path}.{index}", name)
    elif isinstance(value, int | float):
        yield path, name, value
