"""Writes an exported form of a checkpoint, completely or not at all. Knows no runtime."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart, message_of
from models.fastvlm.chat import Chat
from models.fastvlm.forms import CHAT, EXPORT_JSON, Form, checkpoint_key, exports_home
from models.runtime.graphs import WEIGHTS_IN

LIBRARIES = ("torch", "transformers", "timm", "openvino", "onnx", "onnxruntime")


def facts_of(model: Any) -> dict[str, Any]:
    """The parameters of transformers' FastVLM that a runtime needs besides its graph."""
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
    checkpoint: Path,
    form: Form,
    facts: Mapping[str, Any],
    writer: Callable[[Path], None],
    store: str | None = None,
) -> Path:
    """Let `writer` fill a temporary folder, then move it to the form's place in the cache, or, if
    `store` is given, beside the checkpoint; returns that place. `store`: the checkpoint's file in
    which the form's weights are; see models.build.graphs.share_weights.

    An earlier export is replaced only by a complete new one. Raises MissingPart if it cannot be
    written, and whatever `writer` raises; no partial export remains.
    """
    home = exports_home(checkpoint) if store is None else checkpoint
    place = home / form.folder
    what: dict[str, Any] = {
        "runtime": form.runtime,
        "part": form.part,
        "precision": form.precision,
        "side_px": form.side_px,
        "model": dict(facts),
    }
    if store is not None:
        what[WEIGHTS_IN] = os.path.relpath(checkpoint / store, place)
    return _write(checkpoint, place, what, writer)


def write_chat(checkpoint: Path, chat: Chat) -> Path:
    """Write the chat into its folder in the cache; returns the folder. Raises MissingPart if it
    cannot be written."""
    return _write(checkpoint, exports_home(checkpoint) / CHAT, {"model": {}}, chat.save)


def _write(
    checkpoint: Path, place: Path, what: Mapping[str, Any], writer: Callable[[Path], None]
) -> Path:
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        writer(partial)
        _describe(partial, checkpoint, what)
        if place.exists():
            shutil.rmtree(place)
        partial.replace(place)
    except OSError as error:
        raise MissingPart(f"cannot write {place}: {message_of(error)}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def _describe(folder: Path, checkpoint: Path, what: Mapping[str, Any]) -> None:
    """Write export.json: the folder's files, their parameters, and the versions that wrote them."""
    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    content = {
        **what,
        "key": checkpoint_key(checkpoint),  # of the weights
        "versions": _versions(),
        "files": files,  # bytes
    }
    (folder / EXPORT_JSON).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
