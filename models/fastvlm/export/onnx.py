"""transformers' FastVLM to ONNX, each half for itself: the encoder through torch's exporter, the decoder
written node by node.

The decoder is written here because ONNX Runtime's fused attention, which reads and grows the
key-value cache in place, has no torch form to export from.
"""

import copy
import warnings
from pathlib import Path
from typing import Any

import torch

from models.fastvlm.onnx.graph import ACCURACY, BLOCK, CONTRIB, OPSETS, Graph, quantise
from models.fastvlm.onnx.qwen2 import Qwen2
from models.fastvlm.onnx.runtime import MODEL, PRECISIONS
from models.fastvlm.tower import features_of

ENCODER_PRECISIONS = ("fp32", "fp16", "int8", "q4f16")
# Where matrices keep 4, convolutions keep more: with 4, the pocket encoder's features of a street photo
# were off by 39 % of their spread (root mean square), with 8 by 2 %.
CONVOLUTION_BITS = 8


def export_encoder(model: Any, precision: str, side_px: int, folder: Path) -> None:
    """Write the encoder and the projector of transformers' FastVLM, as load_checkpoint gives it, for
    pictures of one size.

    Input `pixels` (1, 3, side_px, side_px) in [0, 1], output `features` (tokens, width), both float32.
    int8 and q4f16 keep matrices in 8 and 4 bits and 1 x 1 convolutions in 8, where their inputs are a
    multiple of 32; all else stays in fp32 and fp16. Raises ValueError for an unknown precision.
    """
    if precision not in ENCODER_PRECISIONS:
        raise ValueError(f"encoder: expected one of {ENCODER_PRECISIONS}, got {precision}")
    half, bits = PRECISIONS[precision]
    encoder = Encoder(model).float()
    if bits is not None:
        _replace_products(encoder, bits)
    if half:
        encoder.half()
    pixels = torch.zeros(1, 3, side_px, side_px)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the exporter's own, about torch's insides
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


class Encoder(torch.nn.Module):
    """A copy of a model's vision tower and projector, as FastVlmModel.get_image_features calls them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = copy.deepcopy(model.model.vision_tower.timm_model)
        self.projector = copy.deepcopy(model.model.multi_modal_projector)
        self.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(next(self.projector.parameters()).dtype)
        rows: torch.Tensor = features_of(self.tower, self.projector, pixels)
        return rows.float()


class Quantised(torch.nn.Module):
    """A matrix product, or a 1 x 1 convolution as one, by ONNX Runtime's MatMulNBits. Can be exported
    but not run."""

    def __init__(self, layer: Any, bits: int) -> None:
        super().__init__()
        self.is_convolution = isinstance(layer, torch.nn.Conv2d)
        bits = CONVOLUTION_BITS if self.is_convolution else bits
        matrix = layer.weight.detach().flatten(1).numpy()
        codes, scales = quantise(matrix, bits)
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


def _replace_products(module: Any, bits: int) -> None:
    for name, child in module.named_children():
        if _is_product(child) and child.weight.shape[1] % BLOCK == 0:
            setattr(module, name, Quantised(child, bits))
        else:
            _replace_products(child, bits)


def _is_product(layer: Any) -> bool:
    if not isinstance(layer, torch.nn.Conv2d):
        return isinstance(layer, torch.nn.Linear)
    kind = (layer.kernel_size, layer.stride, layer.padding, layer.groups)
    return kind == ((1, 1), (1, 1), (0, 0), 1)


def export_decoder(model: Any, precision: str, folder: Path) -> None:
    """Write the language model of transformers' FastVLM, as load_checkpoint gives it: Qwen2 (Yang et
    al. 2024).

    Inputs: `input_ids` (1, n) int64; `image_features` (rows, width) float32, of which each image token
    takes the next one, and at least one row; `attention_mask` (1, past + n) int64 of ones, by whose
    length each token has its position; `past_key_values.N.key` and `.value` (1, heads, p, head size).
    Outputs: `logits` (1, words) float32 of the last token; `next_ids` (1, 1) int64, the largest of
    them; `present.N.key` and `.value`. Past and present may be one buffer, p then its length.

    Raises ValueError for an unknown precision, a width that is no multiple of 32 where matrices are
    kept in fewer bits, or a Qwen2 that is more than what FastVLM uses.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"decoder: expected one of {tuple(PRECISIONS)}, got {precision}")
    _refuse_unknown(model.config.text_config)
    Qwen2(model, Graph(folder, *PRECISIONS[precision])).write()


def _refuse_unknown(text: Any) -> None:
    for name, expected in (("hidden_act", "silu"), ("use_sliding_window", False)):
        if (got := getattr(text, name, expected)) != expected:
            raise ValueError(f"text_config.{name}: expected {expected}, got {got}")
    if (kind := text.rope_parameters["rope_type"]) != "default":
        raise ValueError(f"text_config.rope_parameters.rope_type: expected default, got {kind}")
