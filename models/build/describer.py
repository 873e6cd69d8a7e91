"""Makes the forms of a pack's describer, beside its checkpoint, whose weights they use."""

from pathlib import Path

from models import quiet_offline
from models.build.graphs import share_weights
from models.fastvlm.chat import Chat
from models.fastvlm.forms import PARTS, Form

WEIGHTS = "model.safetensors"
# Weights that are fp16 in the checkpoint, computed in fp32: the same words as torch's.
PRECISION = "fp16"


def build_describer(checkpoint: Path) -> list[Path]:
    """Write chat.json, tokenizer.json and the OpenVINO forms of the encoder and the decoder;
    returns their folders. Raises what transformers, safetensors and OpenVINO raise."""
    quiet_offline()
    import torch

    from models.fastvlm.checkpoint import load_model
    from models.fastvlm.export import openvino as exporter
    from models.fastvlm.export.writer import facts_of, write_form
    from models.fastvlm.openvino.runtime import GRAPH
    from models.fastvlm.processor import load_chat

    chat: Chat = load_chat(checkpoint)
    model = load_model(checkpoint, torch.float32)
    store = (checkpoint / WEIGHTS).read_bytes()
    chat.save(checkpoint)
    folders = []
    for part in PARTS:
        side_px = chat.side_px if part == "encoder" else None

        def write(folder: Path, side_px: int | None = side_px) -> None:
            if side_px is None:
                exporter.export_decoder(model, PRECISION, folder)
            else:
                exporter.export_encoder(model, PRECISION, side_px, folder)
            share_weights(folder / GRAPH, store)

        form = Form("openvino", part, PRECISION, side_px)
        folders.append(write_form(checkpoint, form, facts_of(model), write, WEIGHTS))
    return folders
