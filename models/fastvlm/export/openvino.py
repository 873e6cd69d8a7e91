"""Writes FastVLM's halves for OpenVINO: the encoder traced at a fixed side, the decoder built anew."""

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.devices import has_vnni
from models.fastvlm.export.forms import describe
from models.fastvlm.openvino.graph import decoder_graph
from models.fastvlm.openvino.int8 import products, round_product, spans, weight
from models.fastvlm.openvino.runtime import ARITHMETIC, GRAPH
from models.fastvlm.openvino.trial import quickest
from models.fastvlm.openvino.weights import stored
from models.fastvlm.tower import features_of

SMALL = 1024  # constants of fewer values stay as they are: nothing would be saved


def export_encoder(model: Any, precision: str, side_px: int, folder: Path) -> None:
    """Write the vision tower and projector of transformers' FastVLM, pixels (1, 3, side, side) to
    features (tokens, width), with the weights in `precision`. In int8 the convolutions of one pixel
    take 8 bits for what they are given too, where the processor adds such products without overflow
    (VNNI), and what is left of the convolutions stays in bf16."""
    import openvino as ov

    graph = _traced(model, side_px)
    in_8_bits = products(graph) if precision == "int8" else []
    theirs = {weight(product).get_friendly_name() for product in in_8_bits}
    rounded = in_8_bits if has_vnni() else []
    given = spans(graph, rounded) if rounded else []
    for node in graph.get_ops():
        others = node.get_friendly_name() not in theirs
        if _is_weight(node) and (others or not rounded):
            kept = "bf16" if precision == "int8" and node.data.ndim > 2 and others else precision
            for reader in list(node.output(0).get_target_inputs()):
                reader.replace_source_output(stored(node.data, kept).output(0))
    for product, span in zip(rounded, given, strict=True):
        round_product(product, span)
    ov.save_model(graph, folder / GRAPH, compress_to_fp16=False)


def _traced(model: Any, side_px: int) -> Any:
    """openvino.Model of the vision tower and projector, all weights constants in fp32."""
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from torch import nn

    class Tower(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.trunk = model.model.vision_tower.timm_model
            self.projector = model.model.multi_modal_projector

        def forward(self, pixels: Any) -> Any:
            return features_of(self.trunk, self.projector, pixels)

    shape = [1, 3, side_px, side_px]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that become constants, which is meant
        traced = torch.jit.trace(Tower().eval(), torch.zeros(shape), check_trace=False)
        # openvino.convert_model would do this too, and report to its maker that it was called
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # which the frontend does not keep alive
        graph = frontend.convert(frontend.load(decoder))
    graph.reshape(shape)
    return graph


def _is_weight(node: Any) -> bool:
    import openvino as ov

    return bool(
        node.get_type_name() == "Constant"
        and node.get_element_type() == ov.Type.f32
        and node.data.ndim > 1
        and node.data.size >= SMALL
    )


def export_decoder(model: Any, precision: str, folder: Path) -> None:
    """Write the language model of transformers' FastVLM, with the weights in `precision`, and what it is
    best computed in here. Raises ValueError for one that is no Qwen2."""
    import openvino as ov

    ov.save_model(decoder_graph(model, precision), folder / GRAPH, compress_to_fp16=False)
    arithmetic = quickest(folder, precision, describe(model))
    (folder / ARITHMETIC).write_text(json.dumps(asdict(arithmetic)) + "\n", encoding="utf-8")
