"""Runs the scene classifier in torch: timm's FastViT and, if the pack has one, a second network,
a head on the detector's backbone (see models/runtime/scenes.py)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import quiet_offline
from models.devices import choose_dtype, limit_threads, precision_name, synchronise
from models.runtime.scenes import SceneInput, Squares, both_views, mixed

TRUNK_CHANNELS = 320  # of the backbone's last stage, one cell for 32 x 32 pixels
FEATURES = 1280  # of EfficientNet-Lite0's last layer, which the detector does not have
HIDDEN = 512


class TorchScenes:
    """See `models.runtime.scenes.OpenVinoScenes`. `second`: the head's weights and the detector's
    checkpoint. Raises safetensors', timm's, torch's and pickle's errors."""

    def __init__(
        self,
        weights: Path,
        settings: Mapping[str, Any],
        second: tuple[Path, Path] | None,
        device: str,
        threads: int | None = None,
    ) -> None:
        quiet_offline()
        limit_threads(threads)
        self._device, self._dtype = device, choose_dtype(device)
        self.precision = precision_name(self._dtype)
        self._input = SceneInput(settings)
        self._net = load_network(settings, weights).to(device, self._dtype)
        self._second = None
        if second is not None:
            head, detector = second
            net = load_second(head, detector, len(settings["classes"]))
            self._second = net.to(device, self._dtype)
            self._side = int(settings["second"]["image_size"])
            self._weight = float(settings["second"]["weight"])

    def logits(self, squares: Squares) -> NDArray[np.float32]:
        """The logits (classes,)."""
        found = self._run(self._net, self._input.pixels(squares))
        if self._second is None:
            return found
        views = both_views(squares(self._side))
        return mixed(found, self._run(self._second, views), self._weight)

    def _run(self, net: Any, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            found = net(torch.from_numpy(pixels).to(self._device, self._dtype))
            mean = found.float().mean(0).cpu()
        synchronise(self._device)
        logits: NDArray[np.float32] = mean.numpy()
        return logits


def load_network(settings: Mapping[str, Any], weights: Path) -> Any:
    """The reparameterized FastViT in fp32. Raises if any tensor is missing or unexpected."""
    import timm
    from safetensors.torch import load_file
    from timm.utils.model import reparameterize_model

    training_form = settings.get("reparameterise", False)
    net: Any = timm.create_model(
        settings["architecture"],
        num_classes=len(settings["classes"]),
        inference_mode=not training_form,
    )
    state = {name: tensor.float() for name, tensor in load_file(weights).items()}
    net.load_state_dict(state, strict=True)
    return (reparameterize_model(net.eval()) if training_form else net).eval()


def load_second(head: Path, detector: Path, classes: int) -> Any:
    """The second network in fp32: [B, 3, side, side] in 0 to 1 to logits [B, classes]."""
    import torch

    state = torch.load(detector, map_location="cpu", weights_only=False)
    trunk = state["model"].float().model[0].m  # its layers run one by one
    return torch.nn.Sequential(*trunk, load_head(head, classes)).eval()


def load_head(weights: Path, classes: int) -> Any:
    """The second network's trained head in fp32."""
    from safetensors.torch import load_file

    head = build_head(classes)
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    return head.eval()


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
