"""Converts torch networks to OpenVINO graphs and writes them, without storing weights twice."""

import hashlib
import json
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import quiet_offline
from models.runtime.compiled import core
from models.runtime.graphs import FORM_JSON, WEIGHTS_IN

ALIGNMENT = 64  # of tensors in a file of weights, in bytes
SHORT = 256  # constants of fewer bytes stay in the form's own file


def converted(traced: Any, shape: list[int]) -> Any:
    """An openvino.Model of a traced torch module with one input of `shape` (-1: any length).

    No weights are combined, for example with those of a batch norm, so that weights that are exact in
    fp16 stay so; OpenVINO does it when it compiles. Not openvino.convert_model, which does it here.
    """
    quiet_offline()
    core()
    import openvino as ov
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.passes import ConstantFolding, Manager

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced)  # the frontend keeps no reference to it
    graph = frontend.convert(frontend.load(decoder))
    graph.reshape(ov.PartialShape(shape))
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(graph)
    return graph


def traced(net: Any, shape: list[int]) -> Any:
    """A trace of a torch module in evaluation mode, for an input of `shape`."""
    import torch

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that a trace makes constant
        return torch.jit.trace(net.eval(), torch.zeros(shape), check_trace=False)


def write_graph(graph: Any, folder: Path, name: str, exact: bool, store: Path | None) -> None:
    """Write `graph` as NAME.xml and NAME.bin, its weights in fp16 if they are `exact` in it, and
    those that `store` holds, byte for byte, only there."""
    import openvino as ov

    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(graph, folder / f"{name}.xml", compress_to_fp16=exact)
    if store is not None:
        share_weights(folder / f"{name}.xml", store.read_bytes())


def write_facts(folder: Path, stores: Mapping[str, Path | None], **facts: Any) -> None:
    """Write form.json; `stores`: graph -> the file that holds its weights."""
    shared = {
        name: [store.name, hashlib.sha256(store.read_bytes()).hexdigest()]
        for name, store in stores.items()
        if store is not None
    }
    text = json.dumps(facts | {WEIGHTS_IN: shared}, indent=1)
    (folder / FORM_JSON).write_text(text + "\n", encoding="utf-8")


def share_weights(xml: Path, store: bytes) -> None:
    """Let a graph use the weights in `store`: they count as if they followed those in its .bin."""
    tree = ElementTree.parse(xml)
    content = xml.with_suffix(".bin").read_bytes()
    constants = [data for data in tree.iter("data") if "offset" in data.attrib]
    kept, own, found = bytearray(), {}, {}
    for data in constants:
        offset, size = int(data.attrib["offset"]), int(data.attrib["size"])
        part = content[offset : offset + size]
        if size >= SHORT and (place := store.find(part)) >= 0:
            found[data] = place
        elif part not in own:
            own[part] = len(kept)
            kept += part + bytes(-size % ALIGNMENT)
        if data not in found:
            data.set("offset", str(own[part]))
    for data, place in found.items():
        data.set("offset", str(len(kept) + place))
    xml.with_suffix(".bin").write_bytes(kept)
    tree.write(xml, encoding="utf-8", xml_declaration=True)
