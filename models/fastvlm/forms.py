"""Finds the exported forms of a checkpoint, and checks that their files are complete.

Each form has one folder with an `export.json` that lists its files and facts: beside the
checkpoint, where a pack ships it, or in the user's cache. It is bound to the weights by a key that
is computed from them. `export/writer.py` writes them. Knows no runtime.
"""

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from engine.core.errors import MissingPart, message_of
from models import cache_home
from models.fastvlm.chat import CHAT_JSON

Runtime = Literal["openvino", "onnx"]
Part = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = get_args(Part)
EXPORT_JSON = "export.json"
CHAT = "chat"  # the folder of a checkpoint's exported chat
LAYOUT = 4  # increase it when the content of an export changes: older exports are then not found
SAMPLES, SAMPLE_BYTES = 64, 4096  # of a weights file, for the key


@dataclass(frozen=True)
class Form:
    """The encoder or the decoder of a checkpoint as one runtime reads it. An encoder has a fixed
    side in pixels; a decoder has none."""

    runtime: Runtime
    part: Part
    precision: str  # of the weights: fp32, fp16, bf16, int8, int4, q4f16
    side_px: int | None = None

    @property
    def folder(self) -> str:
        """Relative to the checkpoint's exports, such as `openvino/encoder-int8-512`."""
        side = "" if self.side_px is None else f"-{self.side_px}"
        return f"{self.runtime}/{self.part}-{self.precision}{side}"

    def command(self, checkpoint: Path) -> str:
        """The command that creates or repairs it."""
        side = "" if self.side_px is None else f" --image-size {self.side_px}"
        return (
            f"python -m models export --checkpoint {shlex.quote(str(checkpoint))} --runtime "
            f"{self.runtime} --part {self.part} --precision {self.precision}{side}"
        )


def exports_home(checkpoint: Path) -> Path:
    """The cache's folder of all forms exported from the weights that are in `checkpoint` now.
    Raises MissingPart if they cannot be read."""
    return cache_home() / "exports" / checkpoint_key(checkpoint)


def find_form(checkpoint: Path, form: Form) -> Path:
    """The folder of a form whose files are present and of the right size; one that the pack ships
    beside the checkpoint comes before one in the cache.

    Raises MissingPart with the fault and the command that creates or repairs the form.
    """
    key, damages = checkpoint_key(checkpoint), []
    for folder in (home / form.folder for home in _homes(checkpoint)):
        if not folder.is_dir():
            continue
        if not (damage := _damage(folder, key)):
            return folder
        damages.append(damage)
    if damages:
        raise MissingPart(f"{damages[0]}; to repair it: {form.command(checkpoint)}")
    raise MissingPart(
        f"the {form.part} in {form.precision} for {form.runtime} has not been exported from "
        f"{checkpoint}; run: {form.command(checkpoint)}"
    )


def find_chat(checkpoint: Path) -> Path | None:
    """The folder of the checkpoint's exported chat; None if there is none, or it is damaged, or
    there is no checkpoint."""
    if (checkpoint / CHAT_JSON).is_file():
        return checkpoint
    try:
        key = checkpoint_key(checkpoint)
    except MissingPart:
        return None
    folder = cache_home() / "exports" / key / CHAT
    return folder if folder.is_dir() and not _damage(folder, key) else None


def read_export(folder: Path) -> dict[str, Any]:
    """The content of a form's export.json; see `export.writer`."""
    export: dict[str, Any] = json.loads((folder / EXPORT_JSON).read_text(encoding="utf-8"))
    return export


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts about the exported model in `folder`; see `export.writer.facts_of`."""
    facts: dict[str, Any] = read_export(folder)["model"]
    return facts


def exported_forms(checkpoint: Path) -> list[Form]:
    """All complete forms of a checkpoint, sorted by runtime and name."""
    key, found = checkpoint_key(checkpoint), set()
    for home in _homes(checkpoint):
        for path in home.glob(f"*/*/{EXPORT_JSON}"):
            if path.parent.name.startswith(".") or _damage(path.parent, key):
                continue
            export = read_export(path.parent)
            found.add(
                Form(export["runtime"], export["part"], export["precision"], export["side_px"])
            )
    return sorted(found, key=lambda form: form.folder)


def size_bytes(folder: Path) -> int:
    """The size of all files under a form's folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _homes(checkpoint: Path) -> tuple[Path, Path]:
    return checkpoint, exports_home(checkpoint)


def _damage(folder: Path, key: str) -> str:
    """The first fault in a form's files, as `FILE: expected this, got that`; or an empty string.
    Checks presence and sizes, and that it was exported from the weights with this key."""
    path = folder / EXPORT_JSON
    try:
        export = read_export(folder)
        files = {str(name): int(size) for name, size in export["files"].items()}
        if not isinstance(export["model"], dict):
            raise TypeError("no object under `model`")
        if export["key"] != key:
            return f"{path}: expected a form of the weights {key}, got one of {export['key']}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path}: expected what was exported, got {message_of(error)}"
    for name, size in files.items():
        file = folder / name
        if not file.is_file():
            return f"{file}: expected {size} bytes, got no such file"
        if file.stat().st_size != size:
            return f"{file}: expected {size} bytes, got {file.stat().st_size}"
    return ""


def checkpoint_key(checkpoint: Path) -> str:
    """A hash that tells weights apart. Raises MissingPart if they cannot be read."""
    try:
        return _key(checkpoint)
    except OSError as error:
        raise MissingPart(
            f"{checkpoint}: expected a FastVLM checkpoint, got {message_of(error)}"
        ) from None


def _key(checkpoint: Path) -> str:
    """A hash of the configuration and of samples spread over each weights file: training changes
    all weights, and reading a gigabyte would delay every start."""
    digest = hashlib.sha256(str(LAYOUT).encode())
    digest.update((checkpoint / "config.json").read_bytes())
    weights = sorted(checkpoint.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError("no *.safetensors")
    for path in weights:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
            digest.update(stream.read(min(header, size)))
            for sample in range(SAMPLES):
                stream.seek(max(0, size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]
