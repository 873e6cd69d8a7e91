"""Reads the graphs of a form. Weights that the pack already holds in another file are not stored
twice: a graph may have them there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.runtime.compiled import core

FORM_JSON = "form.json"
WEIGHTS_IN = "weights_in"  # in form.json: graph -> name and sha256 of a file beside the folder


def read_form_json(folder: Path) -> dict[str, Any]:
    """The facts of a form that `models/build/` wrote; empty for one of another origin. Raises
    OSError or ValueError."""
    if not (folder / FORM_JSON).is_file():
        return {}
    facts: dict[str, Any] = json.loads((folder / FORM_JSON).read_text(encoding="utf-8"))
    return facts


@dataclass(frozen=True)
class StoredGraph:
    """An OpenVINO graph: NAME.xml with NAME.bin. The weights beyond the end of NAME.bin are the
    bytes of `store`."""

    xml: Path
    store: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All files that `read` reads."""
        return [self.xml, self.xml.with_suffix(".bin"), *([self.store] if self.store else [])]

    def read(self) -> Any:
        """An openvino.Model. Raises OSError and OpenVINO's errors."""
        import openvino as ov

        if self.store is None:
            return core().read_model(self.xml)
        own, stored = (np.memmap(path, np.uint8, "r") for path in self.files[1:])
        weights = ov.Tensor(ov.Type.u8, [len(own) + len(stored)])  # a copy, which OpenVINO owns
        weights.data[: len(own)], weights.data[len(own) :] = own, stored
        return core().read_model(self.xml.read_bytes(), weights)


def stored_graph(folder: Path, name: str) -> StoredGraph:
    """The graph `name` of a form."""
    store, _ = read_form_json(folder).get(WEIGHTS_IN, {}).get(name, (None, ""))
    return StoredGraph(folder / f"{name}.xml", None if store is None else folder.parent / store)


def stores(folder: Path) -> dict[str, str]:
    """The files beside the folder of a form that hold weights of it, with their sha256 when the form
    was made. Raises OSError, or ValueError or TypeError for a form.json that is damaged."""
    return dict(read_form_json(folder).get(WEIGHTS_IN, {}).values())
