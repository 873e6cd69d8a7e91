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

from engine.core.errors import MissingPart, in_one_line
from models.openvino_nets import compile_beside, convert
from models.packs import PackFiles, read_pack

TRUNK_CHANNELS = 320  # of the trunk's last stage, one cell per 32 pixels
FEATURES = 1280  # of EfficientNet-Lite0's own last layer, which the detector does without
HIDDEN = 512


def build_head(classes: int) -> Any:
    """The head: trunk features [B, 320, h, w] to class logits [B, classes]. Its first layer
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
        nn.Linear(HIDDEN, classes),
    )


class SceneEnsemble:
    """Class logits by trunk and head; to be used from one thread. `settings` is `second` of the
    pack's scenes.json. Raises MissingPart for files that do not fit."""

    def __init__(self, scenes: PackFiles, settings: dict[str, Any], classes: int) -> None:
        detector = read_pack("detector", scenes.pack, scenes.root)
        self.size = int(settings["image_size"])
        weights = scenes.open(settings["weights"])
        trunk = detector.open(settings["trunk"])
        try:
            head = _load(weights, classes)
            self._eye = compile_beside(_joined(trunk, settings["node"], head, self.size))
        except Exception as error:  # OpenVINO, safetensors and torch each have their own
            raise MissingPart(
                f"{scenes.pack} scenes: {weights.name} on {trunk.name}: expected a trunk and its head, "
                f"got {in_one_line(error)}; to mend it: {scenes.remedy}"
            ) from None

    def look(self, square: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        """Begin with a whole picture squashed to (size, size, 3); what is returned waits for the logits
        (classes,), the mean over the picture as it is and mirrored. Meanwhile the caller can do
        something else: this takes one core."""
        pixels = np.empty((2, 3, self.size, self.size), np.float32)
        np.multiply(square.transpose(2, 0, 1), np.float32(1 / 255), out=pixels[0])
        pixels[1] = pixels[0][:, :, ::-1]
        self._eye.start_async({0: pixels})

        def logits() -> NDArray[np.float32]:
            self._eye.wait()
            found: NDArray[np.float32] = self._eye.get_output_tensor(0).data.mean(axis=0)
            return found

        return logits


def _joined(folder: Path, node: str, head: Any, size: int) -> Any:
    """The part of the network in `folder` that ends in `node`, with `head` on it, for two pictures of
    `size` pixels a side."""
    import openvino as ov

    whole = ov.Core().read_model(next(folder.glob("*.xml")))
    end = next(op for op in whole.get_ops() if op.get_friendly_name() == node)
    last = convert(head, (2, TRUNK_CHANNELS, size // 32, size // 32))
    last.get_parameters()[0].output(0).replace(end.output(0))
    eye = ov.Model(last.get_results(), whole.get_parameters())
    eye.reshape([2, 3, size, size])
    return eye


def _load(weights: Path, classes: int) -> Any:
    from safetensors.torch import load_file

    head = build_head(classes)
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    return head.eval()
