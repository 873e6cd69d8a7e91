"""Makes the OpenVINO form of a YOLO checkpoint, once, with Ultralytics' own exporter."""

import json
import shutil
import tempfile
import types
from pathlib import Path
from typing import Any

from models import quiet_offline, quiet_ultralytics
from models.build.graphs import converted, write_facts, write_graph
from models.runtime.boxes import MOST_BOXES

EXAMPLE_SIDE = 320  # of the input that is traced; the form takes any multiple of the stride


def build_detector(checkpoint: Path, folder: Path, share: bool = False) -> None:
    """Write the form of a YOLO to `folder`. `share`: the checkpoint stays beside the folder, and
    the form reads its weights there.

    The weights are stored in fp16 if the checkpoint's are exact in it. Raises Ultralytics' and
    torch's errors, and ValueError if it is no detector.
    """
    quiet_offline()
    import torch
    from ultralytics import YOLO

    quiet_ultralytics()
    with tempfile.TemporaryDirectory() as temporary:
        # the exporter writes beside the checkpoint
        copy = Path(shutil.copy(checkpoint, Path(temporary) / f"{folder.name}.pt"))
        yolo: Any = YOLO(str(copy), verbose=False)
        if yolo.task != "detect":
            raise ValueError(f"expected a YOLO with task detect, got task {yolo.task}")
        exact = all(torch.equal(each, each.half().float()) for each in _weights(yolo.model))
        # OpenVINO combines batch norms with convolutions when it compiles, in full precision
        yolo.model.fuse = types.MethodType(lambda self, *_, **__: self, yolo.model)
        written = yolo.export(
            format="torchscript",
            dynamic=True,
            imgsz=EXAMPLE_SIDE,
            max_det=MOST_BOXES,
            agnostic_nms=True,  # of an NMS-free head: one label for each box
            device="cpu",
            verbose=False,
        )
        extra = {"config.txt": ""}
        trace = torch.jit.load(written, map_location="cpu", _extra_files=extra)
    facts = json.loads(extra["config.txt"])
    store = checkpoint if share and exact else None
    write_graph(converted(trace, [-1, 3, -1, -1]), folder, "detector", exact, store)
    names = {int(number): name for number, name in facts["names"].items()}
    write_facts(
        folder,
        {"detector": store},
        labels=[names[number] for number in sorted(names)],
        stride=facts["stride"],
        task=facts["task"],
        end2end=facts["end2end"],
    )


def _weights(net: Any) -> list[Any]:
    return [each.detach().float() for each in net.state_dict().values() if each.is_floating_point()]
