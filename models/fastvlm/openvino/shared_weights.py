"""Reads a form whose weights the checkpoint beside it holds already, so that a pack ships them once.

Such a form has no model.bin. `pieces.json` says from which bytes of the checkpoint's files, and of
`rest.bin`, it consists. `export/sharing.py` writes both.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.runtime.compiled import core

PIECES_JSON, REST = "pieces.json", "rest.bin"


def is_shared(folder: Path) -> bool:
    """Whether the form in `folder` is of this kind."""
    return (folder / PIECES_JSON).is_file()


def files_of(folder: Path) -> list[Path]:
    """The files that the form's weights consist of."""
    names: list[str] = _pieces(folder)["files"]
    return [folder / name for name in names]


def read_graph(folder: Path, graph: str) -> Any:
    """The openvino.Model of a form. Raises ValueError where a file is shorter than expected, and
    OpenVINO's errors."""
    import openvino as ov

    contents = [np.memmap(path, np.uint8, "r") for path in files_of(folder)]
    pieces = _pieces(folder)["pieces"]
    weights = ov.Tensor(ov.Type.u8, [sum(size for _, _, size in pieces)])  # owns its memory
    done = 0
    for file, start, size in pieces:
        weights.data[done : done + size] = contents[file][start : start + size]
        done += size
    return core().read_model((folder / graph).read_bytes(), weights)


def _pieces(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / PIECES_JSON).read_text(encoding="utf-8"))
    return content
