"""Convolutions of one pixel in 8 bits, weights and activations both: nearly all of an encoder's arithmetic.

What an activation can be is read off a few photos, once, when the encoder is exported. Beyond that
range values are cut off, which harms far more than coarser steps do, so it is taken MARGIN wider.
Knows no particular network.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fastvlm.inputs import square_pixels

VIEWS = 4  # of each photo
MARGIN = 1.2
Span = tuple[float, float]  # the least and the greatest value of an activation


def products(graph: Any) -> list[Any]:
    """The convolutions of one pixel whose weights are known."""
    return [
        node
        for node in graph.get_ordered_ops()
        if node.get_type_name() == "Convolution"
        and weight(node).get_type_name() == "Constant"
        and list(weight(node).shape[2:]) == [1, 1]
    ]


def weight(product: Any) -> Any:
    """The node that holds a convolution's weights."""
    return product.input_value(1).get_node()


def views(side_px: int) -> Iterator[NDArray[np.float32]]:
    """Pixels (1, 3, side, side) of parts of the photos that Ultralytics installs."""
    from PIL import Image
    from ultralytics.utils import ASSETS

    generator = np.random.default_rng(0)
    for path in sorted(ASSETS.glob("*.jpg")):
        photo = np.array(Image.open(path).convert("RGB"))
        for share in np.linspace(1, 0.4, VIEWS):
            height, width = (round(share * side) for side in photo.shape[:2])
            top = int(generator.integers(photo.shape[0] - height + 1))
            left = int(generator.integers(photo.shape[1] - width + 1))
            part = photo[top : top + height, left : left + width]
            yield square_pixels(np.ascontiguousarray(part), side_px)


def spans(graph: Any, found: Sequence[Any]) -> list[Span]:
    """What each of `found` is given in a graph of one picture, over all views."""
    import openvino as ov
    from openvino import opset13 as op

    every = op.constant(np.arange(4))
    ends = [
        op.result(reduce(product.input_value(0), every, False))
        for product in found
        for reduce in (op.reduce_min, op.reduce_max)
    ]
    watched = ov.Model(ends, graph.get_parameters(), "watched")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(watched, "CPU", exact).create_infer_request()
    side_px = graph.input(0).shape[-1]
    seen = []
    for pixels in views(side_px):
        request.infer([pixels])
        seen.append([float(request.get_output_tensor(i).data) for i in range(len(ends))])
    lows, highs = np.min(seen, 0)[::2], np.max(seen, 0)[1::2]
    return [(MARGIN * low, MARGIN * high) for low, high in zip(lows, highs, strict=True)]


def round_product(product: Any, span: Span) -> None:
    """Have a convolution multiply in 8 bits: its weights with a scale a row, what it is given in 256
    even steps over `span`, of which one is zero."""
    import openvino as ov
    from openvino import opset13 as op

    values = weight(product).data
    tiny = np.float32(np.finfo(np.float16).smallest_normal)  # a row of zeros has to have a scale
    scales = np.maximum(np.abs(values).max((1, 2, 3), keepdims=True) / np.float32(127), tiny)
    codes = op.constant(np.rint(values / scales).astype(np.int8))
    rows = op.multiply(op.convert(codes, ov.Type.f32), op.constant(scales))
    low, high = min(span[0], 0.0), max(span[1], float(tiny))
    step = (high - low) / 255
    below = round(-low / step)
    ends = [
        op.constant(np.full((1, 1, 1, 1), count * step, np.float32))
        for count in (-below, 255 - below)
    ]
    given = op.fake_quantize(product.input_value(0), *ends, *ends, 256)
    product.input(0).replace_source_output(given.output(0))
    product.input(1).replace_source_output(rows.output(0))
