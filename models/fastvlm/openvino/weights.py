"""Weights as OpenVINO constants in fp32, fp16, bf16, or quantized to 8 or 4 bits with scales.

The CPU plugin reads compressed weights and dequantizes them while it multiplies, so a token costs
the memory traffic of the compressed weights only. Rounding to nearest needs no data and no other library.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP = 64  # neighbours in a row that share a scale in 4 bits
# Rows that are quantized at once: all 136 million weights of the vocabulary would need 2 GB.
BLOCK = 2048


def weight_constant(values: NDArray[np.float32], precision: str) -> Any:
    """A node that gives `values` (rows, ...) in fp32, from a constant in `precision`: fp32, fp16,
    bf16, int8 (one scale per row) or int4 (one scale for GROUP weights of a row)."""
    import openvino as ov
    from openvino import opset13 as op

    if precision == "fp32":
        return op.constant(values)
    if precision == "fp16":
        return op.convert(op.constant(values.astype(np.float16)), ov.Type.f32)
    if precision == "bf16":
        bits = np.concatenate([_bf16_bits(values[at : at + BLOCK]) for at in _starts(values)])
        return op.convert(_constant(bits, values.shape, ov.Type.bf16), ov.Type.f32)
    length = math.prod(values.shape[1:])
    if precision == "int8":
        top, kind = 255, ov.Type.u8
        grouped, scaled = values.shape, (len(values), *[1] * (values.ndim - 1))
    else:
        top, kind = 15, ov.Type.u4
        length = math.gcd(length, GROUP)
        grouped = (len(values), values.size // len(values) // length, length)
        scaled = (*grouped[:2], 1)
    codes, zeros, scales = quantize(values.reshape(-1, length), top)
    node = op.multiply(
        op.subtract(
            op.convert(_constant(codes, grouped, kind), ov.Type.f16),
            op.convert(_constant(zeros, scaled, kind), ov.Type.f16),
        ),
        op.constant(scales.reshape(scaled)),
    )
    if grouped != values.shape:
        node = op.reshape(node, np.array(values.shape), False)
    return op.convert(node, ov.Type.f32)


def quantize(
    values: NDArray[np.float32], top: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float16]]:
    """(codes (rows, columns) from 0 to `top`, zero points (rows, 1), scales (rows, 1)) of `values`
    (rows, columns): value = (code - zero point) * scale."""
    blocks = [_quantize_block(values[at : at + BLOCK], top) for at in _starts(values)]
    codes, zeros, scales = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return codes, zeros, scales


def _starts(values: NDArray[np.float32]) -> range:
    return range(0, len(values), BLOCK)


def _bf16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """`values` in bf16, rounded to nearest, ties to even; as integers, since NumPy has no bf16."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded: NDArray[np.uint16] = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return rounded


def _quantize_block(values: NDArray[np.float32], top: int) -> tuple[NDArray[Any], ...]:
    low = np.minimum(values.min(1, keepdims=True), 0)
    high = np.maximum(values.max(1, keepdims=True), 0)
    tiny = np.float32(np.finfo(np.float16).smallest_normal)  # so that a row of zeros has a scale
    scales = np.maximum((high - low) / top, tiny).astype(np.float16)
    steps = scales.astype(np.float32)
    zeros = np.clip(np.rint(-low / steps), 0, top)
    codes = np.clip(np.rint(values / steps) + zeros, 0, top)
    return codes.astype(np.uint8), zeros.astype(np.uint8), scales


def _constant(raw: NDArray[Any], shape: tuple[int, ...], kind: Any) -> Any:
    """A constant of a type that NumPy lacks. The tensor owns its memory, as OpenVINO does not keep
    an array alive."""
    import openvino as ov
    from openvino import opset13 as op

    flat = raw.ravel()
    if kind == ov.Type.u4:  # two codes in a byte, the first in the lower half
        flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
        flat = flat[0::2] | flat[1::2] << 4
    tensor = ov.Tensor(kind, list(shape))
    tensor.data.reshape(-1).view(np.uint8)[:] = flat.view(np.uint8)
    return op.constant(tensor)
