"""A second opinion on scenes, by what the detector's trunk has learnt, on ImageNet first.

FastViT-T8 is trained from nothing on few pictures; EfficientNet-Lite0 is not, and the pack holds it as
the trunk of the detector. So this file cuts the trunk out of the detector's OpenVINO form and puts a
small head of its own on it: 2 MB more in the pack, a few milliseconds more a picture. Knows nothing of
what is done with its logits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MissingPart, in_one_line
from models.packs import PackFiles, read_pack

TRUNK_CHANNELS = 320  # of the trunk's last stage, one cell per 32 pixels
FEATURES = 1280  # of EfficientNet-Lite0's own last layer, which the detector does without
HIDDEN = 512


def build_head(scenes: int) -> Any:
    """The head: trunk features [B, 320, h, w] to scene logits [B, scenes]. Its first layer
    began as EfficientNet-Lite0's own last one, the batch norm folded in."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(TRUNK_CHANNELS, FEATURES, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(FEATURES),
        nn.Linear(FEATURES, HIDDEN),
        nn.GELU(),
        nn.Linear(HIDDEN, scenes),
    )


class SecondEye:
    """Scene logits by trunk and head; to be used from one thread. `settings` is `second` of the
    pack's scenes.json. Raises MissingPart for files that do not fit."""

    def __init__(self, scenes: PackFiles, settings: dict[str, Any], labels: int) -> None:
        detector = read_pack("detector", scenes.pack, scenes.root)
        self.size = int(settings["image_size"])
        weights = scenes.open(settings["weights"])
        trunk = detector.open(settings["trunk"])
        try:
            self._trunk = _compiled(trunk, settings["node"], self.size).create_infer_request()
            self._head = _load(weights, labels)
        except Exception as error:  # OpenVINO, safetensors and torch each have their own
            raise MissingPart(
                f"{scenes.pack} scenes: {weights.name} on {trunk.name}: expected a trunk and its head, "
                f"got {in_one_line(error)}; to mend it: {scenes.remedy}"
            ) from None

    def look(self, square: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        """Begin with a whole picture squashed to (size, size, 3); what is returned waits for the logits
        (labels,), the mean over the picture as it is and mirrored. Meanwhile the caller can do
        something else: this takes one core."""
        import torch

        pixels = np.empty((2, 3, self.size, self.size), np.float32)
        np.multiply(square.transpose(2, 0, 1), np.float32(1 / 255), out=pixels[0])
        pixels[1] = pixels[0][:, :, ::-1]
        self._trunk.start_async({0: pixels})

        def logits() -> NDArray[np.float32]:
            self._trunk.wait()
            features = torch.from_numpy(self._trunk.get_output_tensor(0).data)
            with torch.inference_mode():
                found: NDArray[np.float32] = self._head(features).mean(0).numpy()
            return found

        return logits


def _compiled(folder: Path, node: str, size: int) -> Any:
    """The part of the network that ends in `node`, for pictures of `size` pixels a side."""
    import openvino as ov

    core = ov.Core()
    whole = core.read_model(next(folder.glob("*.xml")))
    end = next(op for op in whole.get_ops() if op.get_friendly_name() == node)
    trunk = ov.Model([end.output(0)], whole.get_parameters())
    trunk.reshape([2, 3, size, size])
    # one thread, as FastViT works beside it; pinned, it would wait for the detector on its core
    options = {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return core.compile_model(trunk, device_name="CPU", config=options)


def _load(weights: Path, labels: int) -> Any:
    from safetensors.torch import load_file

    head = build_head(labels)
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    return head.eval()
