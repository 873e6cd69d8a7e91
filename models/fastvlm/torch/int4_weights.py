"""Weights of 4 bits on a graphics card: a byte for two, a scale for GROUP neighbours in a row.

Rounded to the nearest, which needs no data. Products with one row read them as they lie (see
triton_kernels.py); with many rows they are widened first, one weight after the other.
"""

import math

import torch
from torch import Tensor

from models.fastvlm.torch import triton_kernels as kernels

GROUP = 64
LARGEST = 7  # codes are -7 to 7, stored as 1 to 15
AT_ONCE = 8192  # rows rounded: the vocabulary's would take 2 GB on their way
BLOCK = 256
ROWS = 8


class Int4Weights:
    """W (rows, columns), an even number of columns, in `codes` (rows, columns / 2) uint8 and `scales`
    (rows, columns / group)."""

    def __init__(self, weight: Tensor) -> None:
        self.shape, self.dtype = weight.shape, weight.dtype
        self.group = math.gcd(weight.shape[1] // 2, GROUP)
        parts = [_rounded(part, self.group) for part in weight.split(AT_ONCE)]
        self.codes, self.scales = (torch.cat(each) for each in zip(*parts, strict=True))

    def whole(self) -> Tensor:
        """(rows, columns), in halves."""
        rows, columns = self.shape
        out = torch.empty(self.shape, device=self.codes.device, dtype=self.dtype)
        kernels.widen[(-(-rows // ROWS),)](
            out, self.codes, self.scales, rows, K=columns, BLOCK=BLOCK, ROWS=ROWS, GROUP=self.group
        )
        return out


def _rounded(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Codes and scales of some rows."""
    grouped = weight.float().view(len(weight), -1, group)
    tiny = torch.finfo(torch.float16).smallest_normal  # a group of zeros has to have a scale
    scales = (grouped.abs().amax(-1) / LARGEST).clamp(min=tiny).half()
    codes = (grouped / scales.float()[..., None]).round().clamp(-LARGEST, LARGEST) + 8
    low, high = codes.view(weight.shape).to(torch.uint8).chunk(2, 1)
    return low | high << 4, scales
