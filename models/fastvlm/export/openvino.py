"""Exports FastVLM to OpenVINO: the encoder is traced at a fixed image size, the decoder is built
as a new graph from its weights."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.build.graphs import converted, traced
from models.devices import has_vnni
from models.fastvlm.export.writer import facts_of
from models.fastvlm.image_features import image_features
from models.fastvlm.openvino.graph import decoder_graph
from models.fastvlm.openvino.int8 import (
    activation_ranges,
    pointwise_convolutions,
    quantize_convolution,
    weight_node,
)
from models.fastvlm.openvino.runtime import ARITHMETIC_JSON, GRAPH
from models.fastvlm.openvino.tuning import fastest
from models.fastvlm.openvino.weights import weight_constant

SMALL = 1024  # smaller constants are not compressed, since it would save nothing


def export_encoder(model: Any, precision: str, side_px: int, folder: Path) -> None:
    """Write the vision tower and projector of transformers' FastVLM, with weights in `precision`:
    pixels (1, 3, side, side) to features (tokens, width).

    In int8, 1 x 1 convolutions also get their inputs in 8 bits if the processor adds 8-bit products
    without overflow (VNNI); the weights of the other convolutions then stay in bf16.
    """
    import openvino as ov

    graph = _graph(model, side_px)
    pointwise = pointwise_convolutions(graph) if precision == "int8" else []
    pointwise_weights = {weight_node(each).get_friendly_name() for each in pointwise}
    quantized = pointwise if has_vnni() else []
    ranges = activation_ranges(graph, quantized) if quantized else []
    for node in graph.get_ops():
        is_other = node.get_friendly_name() not in pointwise_weights
        if _is_weight(node) and (is_other or not quantized):
            is_convolution = node.data.ndim > 2
            in_bf16 = precision == "int8" and is_convolution and is_other
            constant = weight_constant(node.data, "bf16" if in_bf16 else precision)
            for reader in list(node.output(0).get_target_inputs()):
                reader.replace_source_output(constant.output(0))
    for convolution, value_range in zip(quantized, ranges, strict=True):
        quantize_convolution(convolution, value_range)
    ov.save_model(graph, folder / GRAPH, compress_to_fp16=False)


def _graph(model: Any, side_px: int) -> Any:
    """An openvino.Model of the vision tower and projector, with fp32 constants as weights."""
    from torch import nn

    class Tower(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.trunk = model.model.vision_tower.timm_model
            self.projector = model.model.multi_modal_projector

        def forward(self, pixels: Any) -> Any:
            return image_features(self.trunk, self.projector, pixels)

    shape = [1, 3, side_px, side_px]
    return converted(traced(Tower(), shape), shape)


def _is_weight(node: Any) -> bool:
    import openvino as ov

    return bool(
        node.get_type_name() == "Constant"
        and node.get_element_type() == ov.Type.f32
        and node.data.ndim > 1
        and node.data.size >= SMALL
    )


def export_decoder(model: Any, precision: str, folder: Path) -> None:
    """Write the language model of transformers' FastVLM, with weights in `precision`, and the
    arithmetic that is fastest on this processor. Raises ValueError if it is not a Qwen2."""
    import openvino as ov

    ov.save_model(decoder_graph(model, precision), folder / GRAPH, compress_to_fp16=False)
    arithmetic = fastest(folder, precision, facts_of(model))
    (folder / ARITHMETIC_JSON).write_text(json.dumps(asdict(arithmetic)) + "\n", encoding="utf-8")
