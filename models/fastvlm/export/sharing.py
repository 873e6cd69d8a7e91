"""Removes from an OpenVINO form the weights that the checkpoint beside it holds already; see
models/fastvlm/openvino/shared_weights.py, which reads such a form."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from models.fastvlm.openvino.runtime import GRAPH, WEIGHTS
from models.fastvlm.openvino.shared_weights import PIECES_JSON, REST

SHORTEST = 512  # bytes of a tensor that is worth a piece
PROBE = 64  # bytes by which a tensor is recognised
Span = tuple[int, int, int]  # file, start, size
Index = dict[bytes, list[Span]]  # the first bytes of each tensor -> where it is


def share_weights(folder: Path, checkpoint: Path) -> None:
    """Replace model.bin by pieces.json and rest.bin. `folder` is two folders below `checkpoint`."""
    files = sorted(checkpoint.glob("*.safetensors"))
    contents = [path.read_bytes() for path in files]
    weights = (folder / WEIGHTS).read_bytes()
    graph = (folder / GRAPH).read_text(encoding="utf-8")
    constants = {(int(at), int(size)) for at, size in _CONSTANT.findall(graph)}
    pieces: list[Span] = []
    rest = bytearray()
    done = 0
    index = _tensors(contents)
    found = [piece for span in sorted(constants) for piece in _find(span, weights, contents, index)]
    for at, (file, start, size) in [*found, (len(weights), (0, 0, 0))]:
        if at > done:
            pieces.append((len(files), len(rest), at - done))
            rest += weights[done:at]
        if size:
            pieces.append((file, start, size))
        done = at + size
    (folder / REST).write_bytes(rest)
    names = [os.path.relpath(checkpoint, folder) + f"/{path.name}" for path in files]
    content = json.dumps({"files": [*names, REST], "pieces": pieces})
    (folder / PIECES_JSON).write_text(content + "\n", encoding="utf-8")
    (folder / WEIGHTS).unlink()


_CONSTANT = re.compile(r'offset="(\d+)" size="(\d+)"')


def _find(
    constant: tuple[int, int], weights: bytes, contents: list[bytes], index: Index
) -> Iterator[tuple[int, Span]]:
    """(offset in the weights, span) of each tensor of which a constant consists, from its start."""
    at, end = constant[0], sum(constant)
    while at < end:
        for file, start, size in index.get(weights[at : at + PROBE], ()):
            same = weights[at : at + size] == contents[file][start : start + size]
            if same and at + size <= end:
                yield at, (file, start, size)
                at += size
                break
        else:
            return


def _tensors(contents: list[bytes]) -> Index:
    index: Index = {}
    for file, content in enumerate(contents):
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            start, end = (8 + length + offset for offset in tensor["data_offsets"])
            if end - start >= SHORTEST:
                index.setdefault(content[start : start + PROBE], []).append(
                    (file, start, end - start)
                )
    return index
