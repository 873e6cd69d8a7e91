"""Weights of 4 bits on a graphics card: a byte for two, a scale for GROUP neighbours in a row.

Rounded to the nearest, which needs no data. Products with one row read them as they lie (see
triton_kernels.py); with many rows they are widened first, one weight after the other, into one buffer.
"""

import math

import torch
from torch import Tensor

from models.fastvlm import triton_kernels as kernels

GROUP = 64
LARGEST = 7  # codes are -7 to 7, stored as 1 to 15
BLOCK = 256
ROWS = 8


class Fours:
    """W (rows, columns), an even number of columns, in `codes` (rows, columns / 2) uint8 and `scales`
    (rows, columns / group); `whole` writes to `room`, which several may share."""

    def __init__(self, weight: Tensor) -> None:
        rows, columns = weight.shape
        self.shape, self.dtype = weight.shape, weight.dtype
        self.group = math.gcd(columns // 2, GROUP)
        grouped = weight.float().view(rows, -1, self.group)
        tiny = torch.finfo(torch.float16).smallest_normal  # a group of zeros has to have a scale
        scales = (grouped.abs().amax(-1) / LARGEST).clamp(min=tiny).half()
        codes = (grouped / scales.float()[..., None]).round().clamp(-LARGEST, LARGEST) + 8
        codes = codes.view(rows, columns).to(torch.uint8)
        low, high = codes.chunk(2, 1)
        self.codes = (low | high << 4).contiguous()
        self.scales = scales
        self.room = torch.empty(0)

    def whole(self) -> Tensor:
        """(rows, columns), good until the next weight that shares the room is asked for."""
        rows, columns = self.shape
        out = self.room[: rows * columns].view(rows, columns)
        kernels.widen[(-(-rows // ROWS),)](
            out, self.codes, self.scales, rows, K=columns, BLOCK=BLOCK, ROWS=ROWS, GROUP=self.group
        )
        return out


def share_room(weights: list[Fours]) -> None:
    """One buffer for all of them."""
    largest = max(weights, key=lambda weight: math.prod(weight.shape))
    room = torch.empty(math.prod(largest.shape), device=largest.codes.device, dtype=largest.dtype)
    for weight in weights:
        weight.room = room
