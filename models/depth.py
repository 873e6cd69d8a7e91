"""Measures metric depth with Depth Anything V2 Small, through transformers (no remote code).

The only file that uses them. Knows nothing of boxes or of what depth is used for.
"""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from engine.core.errors import DepthFailed, MissingPart, in_one_line
from engine.core.report import ModelCard
from models import quiet_offline
from models.devices import choose_device, choose_dtype, limit_threads, precision_name, synchronise
from models.packs import PackFiles, choose_form, find_pack

# The network was trained on depths up to `max_depth` and returns almost `max_depth` for anything
# farther away, so depths above this share of it count as infinite.
FAR_SHARE = 0.9


def open_depth(
    kind: str, device: str = "auto", backend: str = "auto", threads: int | None = None
) -> "DepthAnything":
    """The hub's model for `kind`, indoor or outdoor. Raises MissingPart if it was not pulled or is
    damaged."""
    return DepthAnything(find_pack(f"depth-{kind}", "hub"), device, backend, threads)


class DepthAnything:
    """Measures depth with at most `threads` CPU threads; to be used from one thread."""

    def __init__(
        self,
        files: PackFiles,
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
    ) -> None:
        quiet_offline()
        self._device = choose_device(device)
        self._threads = threads
        backend, form = choose_form(files, backend, self._device)
        folder = files.open(form)
        self._dtype = choose_dtype(self._device)
        try:
            self._processor, model = _load(folder, self._dtype)
        except Exception as error:  # safetensors, transformers and torch have their own
            raise MissingPart(
                f"{files.pack} {files.tier}: {folder}: expected a checkpoint of metric Depth Anything, "
                f"got {in_one_line(error)}; to repair it: {files.remedy}"
            ) from None
        self._far_m = FAR_SHARE * float(model.config.max_depth)
        self._model = model.to(self._device)
        self._stopped = threading.Event()
        for layer in model.modules():  # one image takes seconds on a CPU core
            layer.register_forward_pre_hook(self._raise_if_stopped)
        name = str(files.settings()["name"])
        self.card = ModelCard(name, files.pack, self._device, backend, precision_name(self._dtype))

    def metres(self, frame: Frame) -> NDArray[np.float32]:
        """Metres along the camera's axis (h, w), at the model's resolution; infinite beyond the
        range of the model."""
        import torch
        from PIL import Image

        limit_threads(self._threads)
        picture = Image.fromarray(frame.image)
        pixels = self._processor(images=picture, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            depth = self._model(pixels.to(self._device, self._dtype)).predicted_depth[0]
            metres: NDArray[np.float32] = depth.float().cpu().numpy()
        synchronise(self._device)
        metres[metres >= self._far_m] = np.inf
        return metres

    def stop(self) -> None:
        """Stop the current image at its next layer, which raises DepthFailed. May be called from
        any thread."""
        self._stopped.set()

    def _raise_if_stopped(self, *_layer: Any) -> None:
        if self._stopped.is_set():
            raise DepthFailed("stopped")


def _load(folder: Path, dtype: Any) -> tuple[Any, Any]:
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
