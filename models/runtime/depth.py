"""Runs the OpenVINO form of Depth Anything on a CPU. Knows nothing of boxes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import DepthFailed
from models.runtime.compiled import compile_model
from models.runtime.graphs import read_form_json, stored_graph
from models.runtime.requests import StoppableRequest

GRAPH = "depth"


class OpenVinoDepth:
    """Depth in metres, in fp32; to be used from one thread. Raises OSError, ValueError, KeyError,
    TypeError and OpenVINO's errors for files that do not fit."""

    precision = "fp32"

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        facts = read_form_json(folder)
        self.max_m = float(facts["max_m"])
        self._input = DepthInput(facts["input"])
        graph = stored_graph(folder, GRAPH)
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads or 0,  # 0: one per core
            "ENABLE_CPU_PINNING": False,  # pinned threads would compete with the detector's
        }
        compiled = compile_model(graph.read, sources=graph.files, **options)
        self._request = StoppableRequest(compiled, DepthFailed)

    def metres(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Depth (h, w), at the network's resolution."""
        metres: NDArray[np.float32] = self._request.infer([self._input.pixels(image)])[0].copy()
        return metres

    def stop(self) -> None:
        """Stop, from any thread; `metres` then raises DepthFailed."""
        self._request.stop()


class DepthInput:
    """The input of the network. `settings`: of the checkpoint's image processor (transformers'
    DPTImageProcessor)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        size = settings["size"]
        self._height, self._width = int(size["height"]), int(size["width"])
        self._keeps_ratio = bool(settings["keep_aspect_ratio"])
        self._multiple = int(settings["ensure_multiple_of"])
        self._mean = np.asarray(settings["image_mean"], np.float32) * 255
        self._scale = 1 / (np.asarray(settings["image_std"], np.float32) * 255)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) to which a picture is resized, in multiples of a patch: its ratio is kept,
        and it is scaled as little as possible."""
        across, down = self._width / width, self._height / height
        if self._keeps_ratio:
            across = down = across if abs(1 - across) < abs(1 - down) else down
        return self._rounded(across * width), self._rounded(down * height)

    def _rounded(self, pixels: float) -> int:
        return max(1, round(pixels / self._multiple)) * self._multiple

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The normalised picture (1, 3, h, w)."""
        from PIL import Image

        picture = Image.fromarray(image)
        small = picture.resize(self.size(*picture.size), Image.Resampling.BICUBIC)
        pixels = (np.asarray(small, np.float32) - self._mean) * self._scale
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
