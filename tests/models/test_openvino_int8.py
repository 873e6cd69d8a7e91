"""1 x 1 convolutions in 8 bits, against the same in fp32."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.devices import has_vnni
from models.fastvlm.checkpoint import load_model
from models.fastvlm.export import openvino as openvino_export
from models.fastvlm.export.openvino import export_encoder
from models.fastvlm.openvino.int8 import (
    MARGIN,
    activation_ranges,
    calibration_pixels,
    pointwise_convolutions,
    quantize_convolution,
)
from models.packs import POCKET

pytestmark = pytest.mark.weights
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def network(weights: NDArray[np.float32], side: int, scale: float = 1, shift: float = 0) -> Any:
    """A 1 x 1 convolution with `weights` (rows, 3) of `scale` * image + `shift`."""
    import openvino as ov
    from openvino import opset13 as op

    pixels = op.parameter(ov.PartialShape([1, 3, side, side]), ov.Type.f32, "pixels")
    given = op.add(
        op.multiply(pixels, op.constant(np.float32(scale))), op.constant(np.float32(shift))
    )
    product = op.convolution(
        given, op.constant(weights[:, :, None, None]), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    return ov.Model([op.result(product)], [pixels], "network")


def answer(graph: Any, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    import openvino as ov

    found: NDArray[np.float32] = ov.compile_model(graph, "CPU", EXACT)([pixels])[0]
    return found.copy()


@pytest.mark.skipif(not has_vnni(), reason="8-bit sums overflow on this processor")
@pytest.mark.parametrize("value_range", [(-1.0, 3.0), (0.0, 3.0), (-2.0, -0.5)])
def test_a_quantized_convolution_is_close(value_range: tuple[float, float]) -> None:
    generator = np.random.default_rng(3)
    weights = generator.standard_normal((16, 3)).astype(np.float32)
    weights[4] = 0
    pixels = generator.uniform(*value_range, (1, 3, 8, 8)).astype(np.float32)
    pixels[..., 0] = 0
    graph = network(weights, 8)
    expected = answer(graph, pixels)
    (convolution,) = pointwise_convolutions(graph)
    quantize_convolution(convolution, value_range)
    got = answer(graph, pixels)
    assert not pointwise_convolutions(graph)  # its weights are no longer a plain constant
    assert 0 < np.linalg.norm(got - expected) < 0.01 * np.linalg.norm(expected)
    assert (got[..., 0] == 0).all()
    beyond = answer(graph, np.full_like(pixels, 9))
    top = answer(graph, np.full_like(pixels, max(value_range[1], 0)))
    assert np.allclose(beyond, top, atol=0.05)


def test_ranges_are_those_of_the_photos_widened_by_the_margin() -> None:
    graph = network(np.ones((4, 3), np.float32), 64, scale=3, shift=-1)
    (value_range,) = activation_ranges(graph, pointwise_convolutions(graph))
    inputs = np.concatenate(list(calibration_pixels(64))) * 3 - 1
    assert value_range == pytest.approx((MARGIN * inputs.min(), MARGIN * inputs.max()), rel=1e-4)
    assert len(inputs) > 1
    assert len(graph.outputs) == 1  # the observed outputs are gone


@pytest.mark.parametrize("vnni", [True, False])
def test_activations_are_quantized_only_if_sums_are_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vnni: bool
) -> None:
    import openvino as ov

    monkeypatch.setattr(openvino_export, "has_vnni", lambda: vnni)
    export_encoder(load_model(POCKET / "describer", torch.float32), "int8", 224, tmp_path)
    graph = ov.Core().read_model(tmp_path / "model.xml")
    nodes = graph.get_ops()
    kinds = [node.get_type_name() for node in nodes]
    assert (kinds.count("FakeQuantize") > 20) == vnni
    assert bool(kinds.count("FakeQuantize")) == vnni
    if vnni:
        assert not pointwise_convolutions(graph)
    sizes = [node.data.size for node in nodes if _has_8_bits(node)]
    assert sum(sizes) > 1e6  # weights are quantized in either case


def _has_8_bits(node: Any) -> bool:
    return bool(node.get_type_name() == "Constant" and node.get_element_type().get_size() == 1)
