"""Exports FastVLM to ONNX: the encoder with torch's exporter, the decoder node by node.

torch's exporter cannot produce ONNX Runtime's fused attention operator, which reads and extends the
key-value cache in place; so the decoder's graph is written here.
"""

import copy
import warnings
from pathlib import Path
from typing import Any

import torch

from models.fastvlm.image_features import image_features
from models.fastvlm.onnx.form import MODEL, PRECISIONS
from models.fastvlm.onnx.graph import ACCURACY, BLOCK, CONTRIB, OPSETS, Graph, quantize
from models.fastvlm.onnx.qwen2 import Qwen2Graph

ENCODER_PRECISIONS = ("fp32", "fp16", "int8", "q4f16")
# Convolutions keep 8 bits even if matrices keep 4. With 4, the root mean square error of the pocket
# encoder's features of a street photo was 39 % of their standard deviation; with 8 it was 2 %.
CONVOLUTION_BITS = 8


def export_encoder(model: Any, precision: str, side_px: int, folder: Path) -> None:
    """Write the vision tower and projector of transformers' FastVLM, as returned by
    load_checkpoint, for images of one size.

    Input `pixels` (1, 3, side_px, side_px) in [0, 1], output `features` (tokens, width), both
    float32. int8 and q4f16 keep matrices in 8 and 4 bits and 1 x 1 convolutions in 8, if their
    number of inputs is a multiple of 32; everything else stays in fp32 or fp16. Raises ValueError
    for an unknown precision.
    """
    if precision not in ENCODER_PRECISIONS:
        raise ValueError(f"encoder: expected one of {ENCODER_PRECISIONS}, got {precision}")
    fp16, bits = PRECISIONS[precision]
    encoder = EncoderModule(model).float()
    if bits is not None:
        _quantize_products(encoder, bits)
    if fp16:
        encoder.half()
    pixels = torch.zeros(1, 3, side_px, side_px)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # raised inside torch's exporter
        program = torch.onnx.export(
            encoder,
            (pixels,),
            dynamo=True,
            input_names=["pixels"],
            output_names=["features"],
            opset_version=OPSETS[""],
            verbose=False,
        )
    program.save(folder / MODEL, external_data=True)


class EncoderModule(torch.nn.Module):
    """A copy of a model's vision tower and projector."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = copy.deepcopy(model.model.vision_tower.timm_model)
        self.projector = copy.deepcopy(model.model.multi_modal_projector)
        self.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(next(self.projector.parameters()).dtype)
        rows: torch.Tensor = image_features(self.tower, self.projector, pixels)
        return rows.float()


class QuantizedProduct(torch.nn.Module):
    """A linear layer or 1 x 1 convolution as ONNX Runtime's MatMulNBits. Can be exported but not
    run."""

    def __init__(self, layer: Any, bits: int) -> None:
        super().__init__()
        self.is_convolution = isinstance(layer, torch.nn.Conv2d)
        bits = CONVOLUTION_BITS if self.is_convolution else bits
        matrix = layer.weight.detach().flatten(1).numpy()
        codes, scales = quantize(matrix, bits)
        self.register_buffer("codes", torch.from_numpy(codes))
        self.register_buffer("scales", torch.from_numpy(scales.reshape(-1).copy()))
        self.bias = layer.bias
        self.attributes = {
            "K": matrix.shape[1],
            "N": matrix.shape[0],
            "bits": bits,
            "block_size": BLOCK,
            "accuracy_level": ACCURACY,
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_convolution:
            x = x.permute(0, 2, 3, 1)
        x = torch.onnx.ops.symbolic(
            f"{CONTRIB}::MatMulNBits",
            (x, self.codes, self.scales),
            self.attributes,
            dtype=x.dtype,
            shape=(*x.shape[:-1], self.attributes["N"]),
            version=OPSETS[CONTRIB],
        )
        x = x if self.bias is None else x + self.bias
        return x.permute(0, 3, 1, 2) if self.is_convolution else x


def _quantize_products(module: Any, bits: int) -> None:
    for name, child in module.named_children():
        if _is_product(child) and child.weight.shape[1] % BLOCK == 0:
            setattr(module, name, QuantizedProduct(child, bits))
        else:
            _quantize_products(child, bits)


def _is_product(layer: Any) -> bool:
    if not isinstance(layer, torch.nn.Conv2d):
        return isinstance(layer, torch.nn.Linear)
    kind = (layer.kernel_size, layer.stride, layer.padding, layer.groups)
    return kind == ((1, 1), (1, 1), (0, 0), 1)


def export_decoder(model: Any, precision: str, folder: Path) -> None:
    """Write the language model of transformers' FastVLM, as returned by load_checkpoint: Qwen2
    (Yang et al. 2024).

    Inputs: `input_ids` (1, n) int64; `image_features` (rows, width) float32, at least one row, of
    which each image token takes the next; `attention_mask` (1, past + n) int64, all ones, whose
    length gives the positions; `past_key_values.N.key` and `.value` (1, heads, p, head size).
    Outputs: `logits` (1, vocabulary) float32 of the last token; `next_ids` (1, 1) int64, their
    argmax; `present.N.key` and `.value`. Past and present may share one buffer; p is then its
    length.

    Raises ValueError for an unknown precision, for quantized weights whose width is not a multiple
    of 32, and for a Qwen2 with features that FastVLM does not use.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"decoder: expected one of {tuple(PRECISIONS)}, got {precision}")
    _check_supported(model.config.text_config)
    Qwen2Graph(model, Graph(folder, *PRECISIONS[precision])).write()


def _check_supported(text: Any) -> None:
    for name, expected in (("hidden_act", "silu"), ("use_sliding_window", False)):
        if (got := getattr(text, name, expected)) != expected:
            raise ValueError(f"text_config.{name}: expected {expected}, got {got}")
    if (kind := text.rope_parameters["rope_type"]) != "default":
        raise ValueError(f"text_config.rope_parameters.rope_type: expected default, got {kind}")
