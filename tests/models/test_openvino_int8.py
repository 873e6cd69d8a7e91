"""Convolutions of one pixel in 8 bits, against the same in fp32."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import quiet_offline
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

quiet_offline()
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def network(weights: NDArray[np.float32], side: int, scale: float = 1, shift: float = 0) -> Any:
    """`weights` (rows, 3) applied to each pixel of `scale` * picture + `shift`."""
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


@pytest.mark.skipif(not has_vnni(), reason="sums of such products overflow on this processor")
@pytest.mark.parametrize("span", [(-1.0, 3.0), (0.0, 3.0), (-2.0, -0.5)])
def test_a_product_in_8_bits_is_nearly_the_product(span: tuple[float, float]) -> None:
    generator = np.random.default_rng(3)
    weights = generator.standard_normal((16, 3)).astype(np.float32)
    weights[4] = 0
    pixels = generator.uniform(*span, (1, 3, 8, 8)).astype(np.float32)
    pixels[..., 0] = 0
    graph = network(weights, 8)
    expected = answer(graph, pixels)
    (product,) = pointwise_convolutions(graph)
    quantize_convolution(product, span)
    got = answer(graph, pixels)
    assert not pointwise_convolutions(graph)  # none is left whose weights are not rounded
    assert 0 < np.linalg.norm(got - expected) < 0.01 * np.linalg.norm(expected)
    assert (got[..., 0] == 0).all()
    beyond = answer(graph, np.full_like(pixels, 9))
    top = answer(graph, np.full_like(pixels, max(span[1], 0)))
    assert np.allclose(beyond, top, atol=0.05)


def test_spans_are_those_of_the_photos_and_wider() -> None:
    graph = network(np.ones((4, 3), np.float32), 64, scale=3, shift=-1)
    (span,) = activation_ranges(graph, pointwise_convolutions(graph))
    given = np.concatenate(list(calibration_pixels(64))) * 3 - 1
    assert span == pytest.approx((MARGIN * given.min(), MARGIN * given.max()), rel=1e-4)
    assert len(given) > 1
    assert len(graph.outputs) == 1  # nothing of the watching is left in it


@pytest.mark.parametrize("vnni", [True, False])
def test_an_int8_encoder_multiplies_in_8_bits_where_that_is_exact(
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
    assert sum(sizes) > 1e6  # weights in any case


def _has_8_bits(node: Any) -> bool:
    return bool(node.get_type_name() == "Constant" and node.get_element_type().get_size() == 1)
