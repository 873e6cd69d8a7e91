"""An Ultralytics predictor that runs OpenVINO on the CPU with a limited number of threads.

Ultralytics has no setting for the number of threads, so its backend is subclassed. Import this
module after `quiet_offline()`: it imports Ultralytics.
"""

import platform
from functools import partial
from pathlib import Path
from typing import Any

import openvino as ov
from ultralytics.models.yolo.detect import DetectionPredictor
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.backends import OpenVINOBackend
from ultralytics.utils.torch_utils import select_device


def cpu_predictor(threads: int | None) -> type[DetectionPredictor]:
    """A predictor class for `YOLO.predict`, whose networks run on `threads` threads; None is
    OpenVINO's own choice."""

    class CpuPredictor(DetectionPredictor):  # type: ignore[misc]
        def setup_model(self, model: Any, verbose: bool = True) -> None:
            """Called by Ultralytics before the first prediction."""
            device = select_device(self.args.device, verbose=verbose)
            self.model = _Backend(model or self.args.model, device, threads)
            self.device = self.model.device
            self.model.eval()

    return CpuPredictor


class _Backend(AutoBackend):  # type: ignore[misc]
    """Ultralytics' AutoBackend, in which `openvino` means `_CpuBackend`."""

    def __init__(self, model: Any, device: Any, threads: int | None) -> None:
        limited = partial(_CpuBackend, threads=threads)
        self._BACKEND_MAP = AutoBackend._BACKEND_MAP | {"openvino": limited}
        super().__init__(model, device=device, verbose=False)


class _CpuBackend(OpenVINOBackend):  # type: ignore[misc]
    def __init__(self, weight: Any, device: Any, fp16: bool, threads: int | None) -> None:
        self._threads = threads  # before the base class, whose constructor loads the model
        super().__init__(weight, device, fp16)

    def load_model(self, weight: str | Path) -> None:
        """Compile the model in folder `weight` as Ultralytics does on a CPU, on `threads`
        threads."""
        graph = next(Path(weight).glob("*.xml"))
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if self._threads is not None:
            config["INFERENCE_NUM_THREADS"] = self._threads
        if platform.system() == "Windows" or platform.machine() == "aarch64":
            config["INFERENCE_PRECISION_HINT"] = (
                "f32"  # Ultralytics found that lower precisions fail
            )
        self.apply_metadata(self.read_metadata(graph))
        self.ov_compiled_model = ov.Core().compile_model(graph, "CPU", config)
        self.read_model = None  # of the base class's `forward`: the compiled model takes any shape
