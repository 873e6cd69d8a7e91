"""Runs the OpenVINO form of a YOLO: a picture in, boxes out. Equal to Ultralytics' own `predict`.

Reads the layout that Ultralytics' exporter writes: an .xml, its .bin and metadata.yaml in a folder.
`models/build/` writes form.json in place of the last. Knows nothing of tracks and thresholds.
"""

import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Image
from models.runtime.boxes import LEAST_SCORE, MOST_BOXES, Boxes, suppressed
from models.runtime.compiled import compile_model
from models.runtime.graphs import read_form_json, stored_graph
from models.runtime.letterbox import letterbox
from models.runtime.processor import has_amx

METADATA_YAML = "metadata.yaml"


@dataclass(frozen=True)
class YoloForm:
    """What must be known of a form. `stride` is the coarsest of its grids in pixels. The boxes of an
    `end2end` head need no suppression. `int8`: it computes in 8 bits."""

    labels: tuple[str, ...]
    stride: int
    end2end: bool
    task: str
    int8: bool = False


def read_form(folder: Path) -> YoloForm:
    """The facts beside a form, in form.json or Ultralytics' metadata.yaml. Raises OSError,
    ValueError or KeyError if there are none, or if it is no detector."""
    if facts := read_form_json(folder):
        form = YoloForm(tuple(facts["labels"]), facts["stride"], facts["end2end"], facts["task"])
    else:
        import yaml

        facts = yaml.safe_load((folder / METADATA_YAML).read_text(encoding="utf-8"))
        names = facts["names"]
        labels = tuple(str(names[number]) for number in sorted(names))
        form = YoloForm(
            labels,
            int(facts["stride"]),
            bool(facts.get("end2end", False)),
            facts["task"],
            facts.get("args", {}).get("quantize") == 8,
        )
    if form.task != "detect":
        raise ValueError(f"expected a YOLO with task detect, got task {form.task}")
    return form


class OpenVinoYolo:
    """A detector's network on at most `threads` CPU threads (None: OpenVINO's choice).

    `image_size`: the longer side of its input in pixels; a form that was exported for one shape
    ignores it. `precision`: OpenVINO's name of the arithmetic; in f32 the boxes are torch's on every
    processor; None is the processor's fastest.

    Raises OpenVINO's errors, OSError, ValueError or KeyError for a folder that is no form.
    """

    def __init__(
        self,
        folder: Path,
        image_size: int,
        threads: int | None = None,
        precision: str | None = "f32",
    ) -> None:
        form = read_form(folder)
        self.labels, self.end2end = form.labels, form.end2end
        self.image_size = image_size + -image_size % form.stride
        graph = stored_graph(folder, next(folder.glob("*.xml")).stem)
        read, variant = graph.read, ""
        if form.int8 and has_amx():
            # With a changing shape, OpenVINO ends the process there (its issue 37577).
            variant = f"{self.image_size} px"

            def read() -> Any:
                fixed = graph.read()
                fixed.reshape([1, 3, self.image_size, self.image_size])
                return fixed

        settings = _settings(threads, precision)
        network = compile_model(read, sources=graph.files, variant=variant, **settings)
        self.precision = _precision(network)
        self._limits = (self.image_size, self.image_size)
        self._stride: int | None = form.stride
        if (shape := network.input(0).partial_shape).is_static:
            height, width = shape.to_shape()[2:]
            self._limits, self._stride = (height, width), None
            self.image_size = max(height, width)
        self._request = network.create_infer_request()
        self._busy = threading.Lock()

    def find(self, image: Image) -> Boxes:
        """The boxes in an RGB image (height, width, 3), also from several threads."""
        height, width = image.shape[:2]
        frame = letterbox((height, width), self._limits, self._stride)
        pixels = frame.pixels(image)
        with self._busy:
            self._request.infer([pixels], share_inputs=True)
            found = self._decoded(self._request.get_output_tensor(0).data[0])
        return found._replace(corners=frame.to_source(found.corners))

    def _decoded(self, rows: NDArray[np.float32]) -> Boxes:
        """Boxes in pixels of the input: from rows of corners, score and class of an end-to-end head,
        or from columns of centre, size and the score of each class."""
        if self.end2end or rows.shape[-1] == 6:
            rows = rows[rows[:, 4] > LEAST_SCORE][:MOST_BOXES]
            return Boxes(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))
        best = rows[4:].max(axis=0)
        columns = rows[:, best > LEAST_SCORE]
        classes = columns[4:].argmax(axis=0) if columns.size else np.empty(0, np.int64)
        centres, halves = columns[:2], columns[2:4] / 2
        corners = np.concatenate([centres - halves, centres + halves]).T
        return suppressed(Boxes(corners, best[best > LEAST_SCORE], classes))


def _settings(threads: int | None, precision: str | None) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    if platform.system() == "Windows" or platform.machine() == "aarch64":
        precision = "f32"  # Ultralytics found that lower ones fail
    if precision is not None:
        settings["INFERENCE_PRECISION_HINT"] = precision
    return settings


def _precision(network: Any) -> str:
    name = str(network.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return {"f32": "fp32", "f16": "fp16"}.get(name, name)
