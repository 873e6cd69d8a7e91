"""4-bit weights on a GPU: two in a byte, one scale for GROUP neighbours in a row.

Rounded to nearest, which needs no data. Products with a single row read the codes directly (see
triton_kernels.py); for products with many rows the whole matrix is dequantized first.
"""

import math

import torch
from torch import Tensor

from models.fastvlm.torch import triton_kernels as kernels

GROUP = 64
LARGEST = 7  # codes are -7 to 7, stored as 1 to 15
ROWS_AT_ONCE = 8192  # quantized together: the whole vocabulary would need 2 GB
BLOCK = 256
ROWS = 8


class Int4Weights:
    """A matrix (rows, columns) with an even number of columns, as `codes` (rows, columns / 2) uint8
    and `scales` (rows, columns / group)."""

    def __init__(self, weight: Tensor) -> None:
        self.shape, self.dtype = weight.shape, weight.dtype
        self.group = math.gcd(weight.shape[1] // 2, GROUP)
        parts = [_quantize(part, self.group) for part in weight.split(ROWS_AT_ONCE)]
        self.codes, self.scales = (torch.cat(each) for each in zip(*parts, strict=True))

    def dequantized(self) -> Tensor:
        """The matrix (rows, columns) in its original dtype."""
        rows, columns = self.shape
        out = torch.empty(self.shape, device=self.codes.device, dtype=self.dtype)
        kernels.dequantize[(-(-rows // ROWS),)](
            out, self.codes, self.scales, rows, K=columns, BLOCK=BLOCK, ROWS=ROWS, GROUP=self.group
        )
        return out


def _quantize(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """(codes, scales) of some rows."""
    grouped = weight.float().view(len(weight), -1, group)
    tiny = torch.finfo(torch.float16).smallest_normal  # so that a group of zeros has a scale
    scales = (grouped.abs().amax(-1) / LARGEST).clamp(min=tiny).half()
    codes = (grouped / scales.float()[..., None]).round().clamp(-LARGEST, LARGEST) + 8
    low, high = codes.view(weight.shape).to(torch.uint8).chunk(2, 1)
    return low | high << 4, scales
