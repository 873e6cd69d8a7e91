"""The second network of the scene ensemble: a classification head on the detector's backbone.

FastViT-T8 is trained from scratch on few images. The detector's backbone, EfficientNet-Lite0,
began with ImageNet weights. So this file cuts the backbone (the "trunk" of scenes.json) out of the
detector's OpenVINO form and adds a small head: 2 MB more in the pack, a few milliseconds more per
image. Knows nothing of scenes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import MissingPart, in_one_line
from models.openvino_nets import compile_beside, convert
from models.packs import PackFiles, read_pack

TRUNK_CHANNELS = 320  # of the backbone's last stage, one cell for 32 x 32 pixels
FEATURES = 1280  # of EfficientNet-Lite0's last layer, which the detector does not have
HIDDEN = 512


def build_head(classes: int) -> Any:
    """The head: backbone features (B, 320, h, w) to class logits (B, classes). Its first layer was
    initialised from EfficientNet-Lite0's last one, with the batch norm folded in."""
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
    """Computes class logits with backbone and head; to be used from one thread. `settings` is
    `second` of the pack's scenes.json. Raises MissingPart for files that do not fit."""

    def __init__(self, scenes: PackFiles, settings: dict[str, Any], classes: int) -> None:
        detector = read_pack("detector", scenes.pack, scenes.root)
        self.size = int(settings["image_size"])
        weights = scenes.open(settings["weights"])
        trunk = detector.open(settings["trunk"])
        try:
            head = _load(weights, classes)
            self._request = compile_beside(_joined(trunk, settings["node"], head, self.size))
        except Exception as error:  # OpenVINO, safetensors and torch have errors of their own
            raise MissingPart(
                f"{scenes.pack} scenes: {weights.name} on {trunk.name}: expected a trunk and its head, "
                f"got {in_one_line(error)}; to repair it: {scenes.remedy}"
            ) from None

    def look(self, square: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        """Start on a whole image squashed to (size, size, 3), on one core. The returned function
        waits for the logits (classes,): the mean over the image and its mirror image."""
        pixels = np.empty((2, 3, self.size, self.size), np.float32)
        np.multiply(square.transpose(2, 0, 1), np.float32(1 / 255), out=pixels[0])
        pixels[1] = pixels[0][:, :, ::-1]
        self._request.start_async({0: pixels})

        def logits() -> NDArray[np.float32]:
            self._request.wait()
            found: NDArray[np.float32] = self._request.get_output_tensor(0).data.mean(axis=0)
            return found

        return logits


def _joined(folder: Path, node: str, head: Any, size: int) -> Any:
    """The network in `folder` up to `node`, followed by `head`, for two images of `size` pixels
    a side."""
    import openvino as ov

    whole = ov.Core().read_model(next(folder.glob("*.xml")))
    end = next(op for op in whole.get_ops() if op.get_friendly_name() == node)
    last = convert(head, (2, TRUNK_CHANNELS, size // 32, size // 32))
    last.get_parameters()[0].output(0).replace(end.output(0))
    joined = ov.Model(last.get_results(), whole.get_parameters())
    joined.reshape([2, 3, size, size])
    return joined


def _load(weights: Path, classes: int) -> Any:
    from safetensors.torch import load_file

    head = build_head(classes)
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    return head.eval()
