"""Runs Depth Anything in torch, through transformers (no remote code)."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import DepthFailed
from models import quiet_offline
from models.devices import choose_dtype, limit_threads, precision_name, synchronise


class TorchDepth:
    """See `models.runtime.depth.OpenVinoDepth`. Raises safetensors', transformers' and torch's
    errors, and those of `load_depth`."""

    def __init__(self, folder: Path, device: str, threads: int | None = None) -> None:
        quiet_offline()
        self._device, self._threads = device, threads
        self._dtype = choose_dtype(device)
        self.precision = precision_name(self._dtype)
        self._processor, model = load_depth(folder, self._dtype)
        self.max_m = float(model.config.max_depth)
        self._model = model.to(device)
        self._stopped = threading.Event()
        for layer in model.modules():  # one image takes seconds on a CPU core
            layer.register_forward_pre_hook(self._raise_if_stopped)

    def metres(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Depth (h, w), at the network's resolution."""
        import torch
        from PIL import Image

        limit_threads(self._threads)
        inputs = self._processor(images=Image.fromarray(image), return_tensors="pt")
        with torch.inference_mode():
            pixels = inputs["pixel_values"].to(self._device, self._dtype)
            depth = self._model(pixels).predicted_depth[0]
            metres: NDArray[np.float32] = depth.float().cpu().numpy()
        synchronise(self._device)
        return metres

    def stop(self) -> None:
        """Stop the current image at its next layer, which raises DepthFailed; from any thread."""
        self._stopped.set()

    def _raise_if_stopped(self, *_layer: Any) -> None:
        if self._stopped.is_set():
            raise DepthFailed("stopped")


def load_depth(folder: Path, dtype: Any) -> tuple[Any, Any]:
    """(processor, model in eval mode). Raises ValueError if its depth is not metric or a tensor is
    missing."""
    from transformers import AutoImageProcessor, DepthAnythingForDepthEstimation

    processor = AutoImageProcessor.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    model, info = DepthAnythingForDepthEstimation.from_pretrained(
        str(folder),
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
    )
    if model.config.depth_estimation_type != "metric":
        raise ValueError(
            f"a model of {model.config.depth_estimation_type} depth, not of depth in metres"
        )
    for problem in ("missing_keys", "mismatched_keys"):
        if names := sorted(map(str, info.get(problem) or ())):
            raise ValueError(f"{len(names)} {problem.replace('_', ' ')} such as {names[0]}")
    return processor, model.eval()
