"""Writes an ONNX graph with its weights in a separate file, and quantizes weights. Knows no model.

Each weight is written at once, so that at most one of them is in memory twice.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.fastvlm.onnx.form import MODEL

DATA = f"{MODEL}.data"

BLOCK = 32  # inputs that share a scale
ROWS = 4096  # quantized at once; a whole vocabulary matrix would need gigabytes
CONTRIB = "com.microsoft"  # the domain of ONNX Runtime's own operators
# The versions of ONNX 1.16 and 1.17, which all allowed versions of ONNX Runtime read.
OPSETS = {"": 21, CONTRIB: 1}
IR_VERSION = 10
INLINE_BYTES = 1024  # smaller weights stay in the graph, where shape inference needs them
ALIGNMENT = 65536  # bytes; lets ONNX Runtime map a weight instead of reading it, also on Windows
# Lets MatMulNBits round activations to 8 bits, by blocks: several times faster on a CPU.
ACCURACY = 4


def quantize(
    weight: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(packed (out, in / 32, 4 * bits), scales (out, in / 32)) of a matrix (out, in), for 4 or 8
    bits.

    Symmetric, in blocks of 32 inputs; the largest value of a block is exact, as in llama.cpp's
    Q4_0. Raises ValueError if the number of inputs is not a multiple of 32.
    """
    out, inputs = weight.shape
    if inputs % BLOCK:
        raise ValueError(
            f"{bits}-bit weights: expected a width that is a multiple of {BLOCK}, got {inputs}"
        )
    codes = np.empty((out, inputs // BLOCK, BLOCK * bits // 8), np.uint8)
    scales = np.empty((out, inputs // BLOCK), np.float32)
    middle = 1 << (bits - 1)
    for start in range(0, out, ROWS):
        rows = slice(start, start + ROWS)
        blocks = weight[rows].reshape(-1, inputs // BLOCK, BLOCK)
        peak = np.abs(blocks).argmax(axis=2, keepdims=True)
        scale = np.take_along_axis(blocks, peak, axis=2) / np.float32(-middle)
        steps = np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale != 0)
        code = np.clip(np.rint(steps) + middle, 0, 2 * middle - 1).astype(np.uint8)
        codes[rows] = code if bits == 8 else code[..., 0::2] | code[..., 1::2] << 4
        scales[rows] = scale[..., 0]
    return codes, scales


class Graph:
    """A graph under construction. Weights are written to `folder` at once, the graph by `save`.

    `fp16`: the arithmetic is in fp16 instead of fp32. `bits`: how many bits `linear` gives a
    matrix.
    """

    def __init__(self, folder: Path, fp16: bool, bits: int | None) -> None:
        self.fp16 = fp16
        self.bits = bits
        self.type = TensorProto.FLOAT16 if fp16 else TensorProto.FLOAT
        self._path = folder / DATA
        self._data = self._path.open("wb")
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def weight(self, name: str, array: NDArray[Any], keep: bool = False) -> str:
        """Store an array and return its name. Floats get the graph's type, or with `keep` their
        own."""
        if array.dtype.kind == "f" and not keep:
            array = array.astype(np.float16 if self.fp16 else np.float32)
        tensor = numpy_helper.from_array(np.asarray(array, order="C"), name)
        if len(tensor.raw_data) > INLINE_BYTES:
            self._data.write(b"\0" * (-self._data.tell() % ALIGNMENT))
            place, size = self._data.tell(), len(tensor.raw_data)
            self._data.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", DATA), ("offset", place), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
        self._weights.append(tensor)
        return name

    def node(self, kind: str, *inputs: str, name: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output of the same name; returns that name."""
        self.nodes(kind, inputs, (name,), name, domain, **attributes)
        return name

    def nodes(
        self,
        kind: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        name: str,
        domain: str = "",
        **attributes: Any,
    ) -> None:
        """Add a node with any number of outputs; "" leaves one out."""
        self._nodes.append(
            helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes)
        )

    def linear(
        self,
        x: str,
        name: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None = None,
        bits: int | None = None,
    ) -> str:
        """x (..., in) times a matrix (out, in), plus `bias` (out,); `bits` overrides the
        graph's."""
        bits = bits or self.bits
        if bits is None:
            matrix = self.weight(f"{name}.weight", weight.T)
            x = self.node("MatMul", x, matrix, name=f"{name}.product")
        else:
            codes, scales = quantize(weight, bits)
            x = self.node(
                "MatMulNBits",
                x,
                self.weight(f"{name}.codes", codes),
                self.weight(f"{name}.scales", scales.reshape(-1)),
                name=f"{name}.product",
                domain=CONTRIB,
                K=weight.shape[1],
                N=weight.shape[0],
                bits=bits,
                block_size=BLOCK,
                accuracy_level=ACCURACY,
            )
        if bias is None:
            return x
        return self.node("Add", x, self.weight(f"{name}.bias", bias), name=f"{name}.sum")

    def save(self, inputs: list[Any], outputs: list[Any]) -> None:
        """Write the graph next to its weights; nothing can be added afterwards."""
        self._data.close()
        graph = helper.make_graph(self._nodes, "graph", inputs, outputs, self._weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(name, number) for name, number in OPSETS.items()],
            ir_version=IR_VERSION,
        )
        onnx.save_model(model, self._path.with_name(MODEL))
