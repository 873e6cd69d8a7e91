"""Measures metric depth with Depth Anything V2 Small.

Knows nothing of boxes or of what depth is used for.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from engine.core.errors import MissingPart, in_one_line
from engine.core.report import ModelCard
from models.devices import choose_device
from models.packs import choose_form, find_pack

# The network was trained on depths up to `max_m` and returns almost `max_m` for anything farther
# away, so depths above this share of it count as infinite.
FAR_SHARE = 0.9


class DepthNetwork(Protocol):
    """Measures the depth of a picture (height, width, 3), up to `max_m` metres."""

    precision: str
    max_m: float

    def metres(self, image: NDArray[np.uint8]) -> NDArray[np.float32]: ...

    def stop(self) -> None: ...


def open_depth(
    kind: str, device: str = "auto", backend: str = "auto", threads: int | None = None
) -> "DepthAnything":
    """The hub's model for `kind`, indoor or outdoor, with at most `threads` CPU threads. Raises
    MissingPart if it was not pulled or is damaged."""
    files = find_pack(f"depth-{kind}", "hub")
    device = choose_device(device)
    backend, form = choose_form(files, backend, device)
    folder = files.open(form)
    try:
        network = _network(folder, backend, device, threads)
    except Exception as error:  # safetensors, transformers, torch and OpenVINO have their own
        raise MissingPart(
            f"{files.pack} {files.tier}: {folder}: expected a checkpoint of metric Depth Anything, "
            f"got {in_one_line(error)}; to repair it: {files.remedy}"
        ) from None
    name = str(files.settings()["name"])
    return DepthAnything(network, ModelCard(name, files.pack, device, backend, network.precision))


def _network(folder: Path, backend: str, device: str, threads: int | None) -> DepthNetwork:
    if backend == "openvino":
        from models.runtime.depth import OpenVinoDepth

        return OpenVinoDepth(folder, threads)
    from models.torch.depth import TorchDepth

    return TorchDepth(folder, device, threads)


class DepthAnything:
    """Measures depth; to be used from one thread."""

    def __init__(self, network: DepthNetwork, card: ModelCard) -> None:
        self._network = network
        self.card = card

    def metres(self, frame: Frame) -> NDArray[np.float32]:
        """Metres along the camera's axis (h, w), at the model's resolution; infinite beyond the
        range of the model."""
        metres = self._network.metres(frame.image)
        metres[metres >= FAR_SHARE * self._network.max_m] = np.inf
        return metres

    def stop(self) -> None:
        """Stop the current image, which raises DepthFailed. May be called from any thread."""
        self._network.stop()
