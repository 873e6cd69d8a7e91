"""Where the exported forms of a checkpoint live: written whole or not at all, and checked when found.

One folder a form, under a key of the checkpoint's own, with an `export.json` that says what is in it.
Knows no runtime: whoever writes a form says how, whoever opens one is given its folder.
"""

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from engine.core.errors import MissingPart, words_of
from models import cache_home

Runtime = Literal["openvino", "onnx"]
Part = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = get_args(Part)
ABOUT = "export.json"
LAYOUT = 3  # to be raised when what an export holds changes: older ones are then not found
SAMPLES, SAMPLE_BYTES = 64, 4096
LIBRARIES = ("torch", "transformers", "timm", "openvino", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Form:
    """One half of a checkpoint as one runtime reads it. An encoder has a fixed side in pixels; a
    decoder has none."""

    runtime: Runtime
    part: Part
    precision: str  # of the weights: fp32, fp16, int8, int4, q4f16
    side_px: int | None = None

    @property
    def folder(self) -> str:
        """Relative to the checkpoint's exports: `openvino/encoder-int8-512`."""
        side = "" if self.side_px is None else f"-{self.side_px}"
        return f"{self.runtime}/{self.part}-{self.precision}{side}"

    def command(self, checkpoint: Path) -> str:
        """What makes or mends it."""
        side = "" if self.side_px is None else f" --image-size {self.side_px}"
        return (
            f"python -m models export --checkpoint {shlex.quote(str(checkpoint))} --runtime "
            f"{self.runtime} --part {self.part} --precision {self.precision}{side}"
        )


def exports_home(checkpoint: Path) -> Path:
    """The folder of all that was exported from the weights that `checkpoint` holds now. Raises
    MissingPart where they cannot be read."""
    try:
        return cache_home() / "exports" / _key(checkpoint)
    except OSError as error:
        raise MissingPart(
            f"{checkpoint}: expected a FastVLM checkpoint, got {words_of(error)}"
        ) from None


def find_form(checkpoint: Path, form: Form) -> Path:
    """The folder of a form, its files there and of the right size.

    Raises MissingPart naming what is wrong and the command that makes or mends it.
    """
    folder = exports_home(checkpoint) / form.folder
    if not folder.is_dir():
        raise MissingPart(
            f"the {form.part} in {form.precision} for {form.runtime} has not been exported from "
            f"{checkpoint}; run: {form.command(checkpoint)}"
        )
    if damage := _damage(folder):
        raise MissingPart(f"{damage}; to mend it: {form.command(checkpoint)}")
    return folder


def about(folder: Path) -> dict[str, Any]:
    """What the model in a found folder is: see `describe`."""
    facts: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["model"]
    return facts


def describe(model: Any) -> dict[str, Any]:
    """What a runtime must know of transformers' FastVLM beside its graph."""
    text = model.config.text_config
    heads = text.num_attention_heads
    return {
        "image_token_index": model.config.image_token_id,
        "hidden_size": text.hidden_size,
        "layers": text.num_hidden_layers,
        "kv_heads": text.num_key_value_heads,
        "head_size": getattr(text, "head_dim", None) or text.hidden_size // heads,
        "vocab_size": text.vocab_size,
        "rope_theta": text.rope_parameters["rope_theta"],
        "context": text.max_position_embeddings,  # tokens, prompt and answer together
    }


def write_form(
    checkpoint: Path, form: Form, facts: Mapping[str, Any], writer: Callable[[Path], None]
) -> Path:
    """Let `writer` fill a folder beside the form's place, then put it there; returns the place.

    An earlier export gives way only to a whole new one. Raises MissingPart where it cannot be
    written, and what `writer` raises; nothing half-made stays.
    """
    place = exports_home(checkpoint) / form.folder
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        writer(partial)
        files = {
            path.relative_to(partial).as_posix(): path.stat().st_size
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        (partial / ABOUT).write_text(
            json.dumps(
                {
                    "runtime": form.runtime,
                    "part": form.part,
                    "precision": form.precision,
                    "side_px": form.side_px,
                    "checkpoint": str(checkpoint),
                    "versions": _versions(),
                    "model": dict(facts),
                    "files": files,  # bytes
                },
                indent=1,
            )
            + "\n",
            encoding="utf-8",
        )
        if place.exists():
            shutil.rmtree(place)
        partial.replace(place)
    except OSError as error:
        raise MissingPart(f"cannot write {place}: {words_of(error)}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def forms(checkpoint: Path) -> list[Form]:
    """What has been exported from a checkpoint and is whole, by runtime and name."""
    home, found = exports_home(checkpoint), []
    for path in sorted(home.glob(f"*/*/{ABOUT}")):
        if path.parent.name.startswith(".") or _damage(path.parent):
            continue
        said = json.loads(path.read_text(encoding="utf-8"))
        found.append(Form(said["runtime"], said["part"], said["precision"], said["side_px"]))
    return found


def size_bytes(folder: Path) -> int:
    """Of all files under a form's folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _damage(folder: Path) -> str:
    """What is wrong with a form's files at a glance, as `FILE: expected this, got that`; or ''."""
    path = folder / ABOUT
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        files = {str(name): int(size) for name, size in said["files"].items()}
        if not isinstance(said["model"], dict):
            raise TypeError("no object under `model`")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path}: expected what was exported, got {words_of(error)}"
    for name, size in files.items():
        file = folder / name
        if not file.is_file():
            return f"{file}: expected {size} bytes, got no such file"
        if file.stat().st_size != size:
            return f"{file}: expected {size} bytes, got {file.stat().st_size}"
    return ""


def _key(checkpoint: Path) -> str:
    """Changes with the configuration and with the weights, of which samples spread over each file are
    read: training moves them all, and reading a gigabyte at every start would be felt."""
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


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
