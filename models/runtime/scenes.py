"""Runs the OpenVINO form of the scene classifier: FastViT and, if the pack has one, a second network.

FastViT-T8 is trained from scratch on few images. The detector's backbone, EfficientNet-Lite0, began
with ImageNet weights. So the second network is the backbone (the "trunk"), cut out of the detector's
form, with a head of its own. Knows nothing of scenes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.runtime.compiled import compile_model
from models.runtime.graphs import stored_graph

# A side in pixels -> the picture in a square of that side, RGB uint8 (side, side, 3)
Squares = Callable[[int], NDArray[np.uint8]]
FIRST, SECOND = "fastvit", "second"  # the graphs of a form


class OpenVinoScenes:
    """Class logits of pictures, in fp32; to be used from one thread.

    `settings`: the pack's, with `second` for two networks. `trunk`: the folder of the detector's
    form. Raises OSError, ValueError, KeyError or OpenVINO's errors for files that do not fit.
    """

    precision = "fp32"

    def __init__(self, folder: Path, settings: Mapping[str, Any], trunk: Path | None) -> None:
        self._input = SceneInput(settings)
        first = stored_graph(folder, FIRST)
        self._request = _beside(first.read, first.files)
        self._second = None
        if trunk is not None:
            self._second = _SecondNetwork(folder, settings["second"], trunk)
            self._weight = float(settings["second"]["weight"])

    def logits(self, squares: Squares) -> NDArray[np.float32]:
        """The logits (classes,)."""
        second = None if self._second is None else self._second.start(squares)
        self._request.infer([self._input.pixels(squares)])
        found: NDArray[np.float32] = self._request.get_output_tensor(0).data[0].copy()
        return found if second is None else mixed(found, second(), self._weight)


class SceneInput:
    """The input of FastViT."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._side = int(settings["image_size"])
        self._mean = np.asarray(settings["mean"], np.float32) * 255
        self._scale = 1 / (np.asarray(settings["std"], np.float32) * 255)

    def pixels(self, squares: Squares) -> NDArray[np.float32]:
        """The normalised picture (1, 3, side, side)."""
        pixels = (squares(self._side) - self._mean) * self._scale
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def both_views(square: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture (side, side, 3) and its mirror image, as (2, 3, side, side) in 0 to 1."""
    pixels = np.empty((2, 3, *square.shape[:2]), np.float32)
    np.multiply(square.transpose(2, 0, 1), np.float32(1 / 255), out=pixels[0])
    pixels[1] = pixels[0][:, :, ::-1]
    return pixels


def mixed(
    first: NDArray[np.float32], second: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """The logits of both networks together; `weight` is the second one's."""
    return first + np.float32(weight) * (second - first)


class _SecondNetwork:
    """The trunk and its head, on one core."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], trunk: Path) -> None:
        self._side = int(settings["image_size"])
        layer = str(settings["last_layer"])
        head = stored_graph(folder, SECOND)
        whole = stored_graph(trunk, next(trunk.glob("*.xml")).stem)

        def joined() -> Any:
            return _joined(whole.read(), layer, head.read(), self._side)

        variant = f"{layer} {self._side}"
        self._request = _beside(joined, [*head.files, *whole.files], variant)

    def start(self, squares: Squares) -> Callable[[], NDArray[np.float32]]:
        """Start on a picture. The returned function waits for the logits (classes,): the mean over
        the picture and its mirror image."""
        self._request.start_async([both_views(squares(self._side))])

        def logits() -> NDArray[np.float32]:
            self._request.wait()
            found: NDArray[np.float32] = self._request.get_output_tensor(0).data.mean(axis=0)
            return found

        return logits


def _joined(whole: Any, layer: str, head: Any, side: int) -> Any:
    """The graph `whole` up to the batch norm after the convolution `layer`, followed by `head`, for
    two pictures of `side` pixels. Raises KeyError if there is no such layer."""
    import openvino as ov

    operations = {each.get_friendly_name(): each for each in whole.get_ops()}
    end = operations[f"self.{layer}.weight"]
    while end.get_type_name() != "BatchNormInference":
        end = next(iter(end.output(0).get_target_inputs())).get_node()
    head.get_parameters()[0].output(0).replace(end.output(0))
    joined = ov.Model(head.get_results(), whole.get_parameters())
    joined.reshape([2, 3, side, side])
    return joined


def _beside(read: Callable[[], Any], files: list[Path], variant: str = "") -> Any:
    """An infer request that runs on one core, so that another can run at the same time. Its thread
    is not pinned, as it would then wait for the detector on the same core."""
    network = compile_model(
        read,
        sources=files,
        variant=variant,
        INFERENCE_PRECISION_HINT="f32",
        INFERENCE_NUM_THREADS=1,
        ENABLE_CPU_PINNING=False,
    )
    return network.create_infer_request()
