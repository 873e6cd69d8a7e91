"""Quantizes 1 x 1 convolutions to 8 bits, weights and activations: nearly all of an encoder's
arithmetic.

The ranges of the activations are calibrated on a few photos, once, when the encoder is exported.
Values outside a range are clipped, which harms far more than coarser steps do, so each range is
widened by MARGIN. Knows no particular network.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fastvlm.inputs import square_pixels

CROPS = 4  # of each photo
MARGIN = 1.2
ValueRange = tuple[float, float]  # smallest and largest value of an activation


def pointwise_convolutions(graph: Any) -> list[Any]:
    """The 1 x 1 convolutions with constant weights."""
    return [
        node
        for node in graph.get_ordered_ops()
        if node.get_type_name() == "Convolution"
        and weight_node(node).get_type_name() == "Constant"
        and list(weight_node(node).shape[2:]) == [1, 1]
    ]


def weight_node(convolution: Any) -> Any:
    """The node that holds a convolution's weights."""
    return convolution.input_value(1).get_node()


def calibration_pixels(side_px: int) -> Iterator[NDArray[np.float32]]:
    """Pixels (1, 3, side, side) of crops of the photos that Ultralytics installs."""
    from PIL import Image
    from ultralytics.utils import ASSETS

    generator = np.random.default_rng(0)
    for path in sorted(ASSETS.glob("*.jpg")):
        photo = np.array(Image.open(path).convert("RGB"))
        for share in np.linspace(1, 0.4, CROPS):
            height, width = (round(share * side) for side in photo.shape[:2])
            top = int(generator.integers(photo.shape[0] - height + 1))
            left = int(generator.integers(photo.shape[1] - width + 1))
            crop = photo[top : top + height, left : left + width]
            yield square_pixels(np.ascontiguousarray(crop), side_px)


def activation_ranges(graph: Any, convolutions: Sequence[Any]) -> list[ValueRange]:
    """The range of each convolution's input over all calibration images, widened by MARGIN."""
    import openvino as ov
    from openvino import opset13 as op

    all_axes = op.constant(np.arange(4))
    extremes = [
        op.result(reduce(convolution.input_value(0), all_axes, False))
        for convolution in convolutions
        for reduce in (op.reduce_min, op.reduce_max)
    ]
    watched = ov.Model(extremes, graph.get_parameters(), "watched")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(watched, "CPU", exact).create_infer_request()
    side_px = graph.input(0).shape[-1]
    seen = []
    for pixels in calibration_pixels(side_px):
        request.infer([pixels])
        seen.append([float(request.get_output_tensor(i).data) for i in range(len(extremes))])
    lows, highs = np.min(seen, 0)[::2], np.max(seen, 0)[1::2]
    return [(MARGIN * low, MARGIN * high) for low, high in zip(lows, highs, strict=True)]


def quantize_convolution(convolution: Any, value_range: ValueRange) -> None:
    """Make a convolution multiply in 8 bits: weights with one scale per row, its input in 256 equal
    steps over `value_range`, one of which is zero."""
    import openvino as ov
    from openvino import opset13 as op

    values = weight_node(convolution).data
    tiny = np.float32(np.finfo(np.float16).smallest_normal)  # so that a row of zeros has a scale
    scales = np.maximum(np.abs(values).max((1, 2, 3), keepdims=True) / np.float32(127), tiny)
    codes = op.constant(np.rint(values / scales).astype(np.int8))
    rows = op.multiply(op.convert(codes, ov.Type.f32), op.constant(scales))
    low, high = min(value_range[0], 0.0), max(value_range[1], float(tiny))
    step = (high - low) / 255
    steps_below_zero = round(-low / step)
    limits = [
        op.constant(np.full((1, 1, 1, 1), count * step, np.float32))
        for count in (-steps_below_zero, 255 - steps_below_zero)
    ]
    quantized = op.fake_quantize(convolution.input_value(0), *limits, *limits, 256)
    convolution.input(0).replace_source_output(quantized.output(0))
    convolution.input(1).replace_source_output(rows.output(0))
