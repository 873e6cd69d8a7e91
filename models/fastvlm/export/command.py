"""`python -m models export`: exports a checkpoint's encoder and decoder for other runtimes.

The table EXPORTERS lists the runtimes and the precisions that each can write. Imports no runtime
itself.
"""

import argparse
import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engine.core.errors import ConfigError, InputError, MissingPart, in_one_line
from engine.core.extras import pip_install
from models import quiet_offline
from models.fastvlm.chat import Chat
from models.fastvlm.export.writer import facts_of, write_chat, write_form
from models.fastvlm.forms import (
    PARTS,
    Form,
    Part,
    Runtime,
    exports_home,
    find_chat,
    find_form,
    size_bytes,
)
from models.packs import find_pack


@dataclass(frozen=True)
class Exporter:
    """Writes the forms of one runtime."""

    # with export_encoder(model, precision, side_px, folder) and export_decoder(model, precision,
    # folder)
    module: str
    precisions: Mapping[Part, tuple[str, ...]]
    default: Mapping[Part, str]
    # decoder precision -> the encoder's, if the encoder does not have that one
    encoder_instead: Mapping[str, str]


EXPORTERS: dict[Runtime, Exporter] = {
    "openvino": Exporter(
        "models.fastvlm.export.openvino",
        {
            "encoder": ("fp32", "fp16", "bf16", "int8"),
            "decoder": ("fp32", "fp16", "bf16", "int8", "int4"),
        },
        {"encoder": "bf16", "decoder": "int8"},
        {"int4": "int8"},
    ),
    "onnx": Exporter(
        "models.fastvlm.export.onnx",
        {
            "encoder": ("fp32", "fp16", "int8", "q4f16"),
            "decoder": ("fp32", "fp16", "int8", "int4", "q4f16"),
        },
        {"encoder": "fp32", "decoder": "int8"},
        {},
    ),
}

EXAMPLES = """examples:
  python -m models export                                    the best forms for a CPU
  python -m models export --image-size 512                   an encoder for images of 512 x 512 pixels
  python -m models export --part decoder --precision int8,int4
  python -m models export --runtime onnx --precision fp16    for ONNX Runtime on a graphics card
  python -m models export --checkpoint my/finetuned-fastvlm  a checkpoint that is not in a pack
"""


def add_export(commands: Any) -> None:
    """Add the `export` command to the command line's subparsers."""
    parser = commands.add_parser(
        "export",
        help="export the describer for OpenVINO or ONNX Runtime",
        description="Exports FastVLM's encoder and decoder for runtimes other than torch. Forms that "
        "exist already are kept.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pack", choices=("auto", "pocket", "hub"), default="auto")
    which.add_argument("--checkpoint", type=Path, metavar="DIR", help="a FastVLM checkpoint")
    known = ", ".join(EXPORTERS)
    parser.add_argument("--runtime", type=_names, default=["openvino"], help=known)
    parser.add_argument("--part", type=_names, default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument(
        "--precision", type=_names, default=[], help="of the weights, such as bf16,int8,int4"
    )
    parser.add_argument(
        "--image-size", type=_names, default=[], help="sides in pixels, such as 512,1024"
    )


def _names(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def export(arguments: argparse.Namespace, console: Console) -> None:
    """Write the requested forms that do not exist yet. Raises ConfigError for a form that no
    runtime can write, and MissingPart if the checkpoint or any form failed; the other forms are
    still written."""
    checkpoint = arguments.checkpoint or _pack_checkpoint(arguments.pack)
    sides: list[int | None] = [_parse_side(text) for text in arguments.image_size] or [None]
    requested = list(
        dict.fromkeys(_requested(arguments.runtime, arguments.part, arguments.precision, sides))
    )
    console.print(f"{checkpoint} to {exports_home(checkpoint)}", soft_wrap=True, highlight=False)
    chat, model = _load(checkpoint)
    forms = [_with_side(form, chat) for form in requested]
    if find_chat(checkpoint) is None:
        write_chat(checkpoint, chat)
    failed = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(forms))
        for form in forms:
            progress.update(task, description=form.folder)
            try:
                line = _write(checkpoint, form, model)
            except Exception as error:  # each runtime has its own error classes
                failed += 1
                line = f"{form.folder}: not made: {in_one_line(error)}"
            progress.console.print(line, soft_wrap=True, highlight=False, markup=False)
            progress.advance(task)
    if failed:
        raise MissingPart(f"{failed} of {len(forms)} forms could not be made, see above")


def _pack_checkpoint(pack: str) -> Path:
    files = find_pack("describer", pack)
    return files.open(files.forms()["torch"])


def _parse_side(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"--image-size: expected sides in pixels such as 512,1024, got {text}")
    return int(text)


def _requested(
    runtimes: Sequence[str],
    parts: Sequence[str],
    precisions: Sequence[str],
    sides: Sequence[int | None],
) -> Iterator[Form]:
    """Every form that the options name. Raises ConfigError for a value that fits none."""
    _check_known("--runtime", runtimes, EXPORTERS)
    _check_known("--part", parts, PARTS)
    chosen = [
        (runtime, part, exporter)
        for runtime, exporter in EXPORTERS.items()
        for part in PARTS
        if runtime in runtimes and part in parts
    ]
    possible = dict.fromkeys(p for _, part, exporter in chosen for p in exporter.precisions[part])
    _check_known("--precision", precisions, possible)
    for runtime, part, exporter in chosen:
        for precision in precisions or [exporter.default[part]]:
            if part == "encoder":
                precision = exporter.encoder_instead.get(precision, precision)
            if precision in exporter.precisions[part]:
                for side in sides if part == "encoder" else [None]:
                    yield Form(runtime, part, precision, side)


def _check_known(option: str, values: Sequence[str], known: Any) -> None:
    for value in values:
        if value not in known:
            raise ConfigError(f"{option}: expected some of {', '.join(known)}, got {value}")


def _load(checkpoint: Path) -> tuple[Chat, Any]:
    quiet_offline()
    try:
        import torch

        from models.fastvlm.checkpoint import load_model
        from models.fastvlm.processor import load_chat
    except ImportError as error:
        raise MissingPart(f"{in_one_line(error)}; run: {pip_install('torch')}") from None

    try:
        return load_chat(checkpoint), load_model(checkpoint, torch.float32)
    except Exception as error:  # safetensors, tokenizers and transformers raise errors of their own
        raise InputError(
            f"{checkpoint}: expected a FastVLM checkpoint in Apple's layout or transformers' own, "
            f"got {in_one_line(error)}"
        ) from None


def _with_side(form: Form, chat: Chat) -> Form:
    """The form with its side filled in. Raises ConfigError unless it is a multiple of the
    checkpoint's patch size."""
    if form.part == "decoder":
        return form
    side = form.side_px or chat.side_px
    if side % chat.patch_px:
        raise ConfigError(f"--image-size: expected multiples of {chat.patch_px}, got {side}")
    return Form(form.runtime, form.part, form.precision, side)


def _write(checkpoint: Path, form: Form, model: Any) -> str:
    """Write one form unless it exists and is complete; returns a line that says which."""
    try:
        place = find_form(checkpoint, form)
        return f"{form.folder}: already exported, {size_bytes(place) / 1e6:.1f} MB"
    except MissingPart:
        began = time.monotonic()
    try:
        exporter = importlib.import_module(EXPORTERS[form.runtime].module)
    except ImportError as error:
        raise MissingPart(
            f"{error}; run: {pip_install('onnx' if form.runtime == 'onnx' else 'torch')}"
        ) from None

    def writer(folder: Path) -> None:
        if form.side_px is None:
            exporter.export_decoder(model, form.precision, folder)
        else:
            exporter.export_encoder(model, form.precision, form.side_px, folder)

    place = write_form(checkpoint, form, facts_of(model), writer)
    took_s = time.monotonic() - began
    return f"{form.folder}: {size_bytes(place) / 1e6:.1f} MB, in {took_s:.0f} s"
