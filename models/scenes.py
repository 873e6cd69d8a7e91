"""Classifies the scene with timm's FastViT and, if the pack has one, a second network
(scene_ensemble.py).

The only file that uses timm's classifiers. Knows nothing of routes or templates.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from engine.core.errors import MissingPart, in_one_line
from engine.core.glance import SceneClass
from engine.core.report import ModelCard
from models import quiet_offline
from models.devices import choose_device, choose_dtype, limit_threads, precision_name, synchronise
from models.imagenet_scenes import scene_columns
from models.openvino_nets import compile_beside, convert
from models.packs import PackFiles, choose_form, find_pack
from models.scene_ensemble import SceneEnsemble

OTHER = "other"
# Maps normalised pixels (1, 3, size, size) to class logits (classes,)
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def open_scenes(
    pack: str = "auto", device: str = "auto", backend: str = "auto", threads: int | None = None
) -> "FastVitScenes":
    """The scene classifier of a pack, warmed up. Raises MissingPart if something requested is not
    here."""
    return FastVitScenes(find_pack("scenes", pack), device, backend, threads)


@dataclass(frozen=True)
class SceneHead:
    """Maps class probabilities (classes,) to scene probabilities with `matrix` (scenes, classes).

    A class is `inside`, `outside` (both (classes,)), or neither. A scene may have classes of both:
    "other" can be a ballroom or a mountain.
    """

    labels: tuple[str, ...]
    matrix: NDArray[np.float32]
    inside: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    temperature: float


class FastVitScenes:
    """Classifies frames; to be used from one thread."""

    def __init__(
        self,
        files: PackFiles,
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
    ) -> None:
        quiet_offline()
        self._device = choose_device(device)
        torch_only = backend == "torch"  # torch was requested by name, so OpenVINO must not be used
        backend, form = choose_form(files, backend, self._device)
        limit_threads(threads)
        weights = files.open(form)
        settings = files.settings()
        if files.pack == "hub":
            settings |= _hub_settings(files)
        self._dtype = choose_dtype(self._device)
        try:
            net = load_network(settings, weights)
        except Exception as error:  # safetensors, timm and torch have errors of their own
            raise MissingPart(
                f"{files.pack} scenes: {weights}: expected the weights of "
                f"{settings.get('architecture')}, got {in_one_line(error)}; "
                f"to repair it: {files.remedy}"
            ) from None
        self._head = hub_head() if files.pack == "hub" else pocket_head(settings)
        self._size: int = settings["image_size"]
        self._crop: float | None = settings.get("crop")
        self._mean = np.asarray(settings["mean"], np.float32) * 255
        self._scale = 1 / (np.asarray(settings["std"], np.float32) * 255)
        self._second, self._second_weight = None, 0.0
        if "second" in settings and not torch_only:
            self._second = SceneEnsemble(files, settings["second"], len(settings["classes"]))
            self._second_weight = float(settings["second"]["weight"])
        if backend == "openvino":
            self._run = _in_openvino(net, self._size)
        else:
            self._run = _in_torch(net, self._device, self._dtype)
        self.labels = self._head.labels
        self.card = ModelCard(
            settings["name"] + ("" if self._second is None else " + detector trunk"),
            files.pack,
            self._device,
            backend,
            precision_name(self._dtype),
        )
        self.classify(Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0))

    def classify(self, frame: Frame) -> SceneClass:
        """The likeliest scene, the three likeliest, and the entropy; see `SceneClass`."""
        second_logits = None
        if self._second is not None:
            second_logits = self._second.look(self._resize(frame.image, self._second.size))
        square = self._resize(frame.image, self._size)
        pixels = (square - self._mean) * self._scale  # (size, size, 3)
        logits = self._run(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
        if second_logits is not None:
            logits = logits + self._second_weight * (second_logits() - logits)
        return scene_of(logits, self._head)

    def _resize(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """(size, size, 3) as in training: the whole image squashed, or only the middle square."""
        from PIL import Image

        height, width = image.shape[:2]
        box = None
        if self._crop is not None:
            side = min(height, width) * self._crop
            box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
        picture = Image.fromarray(image)
        bicubic = Image.Resampling.BICUBIC
        # reducing_gap: averages boxes of pixels first if the image is far larger, which is faster
        small = picture.resize((size, size), bicubic, box=box, reducing_gap=2.0)
        return np.asarray(small)


def _in_torch(net: Any, device: str, dtype: Any) -> Run:
    """The network run by torch."""
    import torch

    net.to(device, dtype)

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = net(torch.from_numpy(pixels).to(device, dtype))[0].float().cpu()
        synchronise(device)
        logits: NDArray[np.float32] = found.numpy()
        return logits

    return run


def _in_openvino(net: Any, size: int) -> Run:
    """The network run by OpenVINO, in fp32: a third of torch's time on a CPU. Converted at every
    start (one second) rather than shipped, to keep the pack small."""
    model = convert(net, (1, 3, size, size))
    request = compile_beside(model, INFERENCE_PRECISION_HINT="f32")

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        request.infer({0: pixels})
        logits: NDArray[np.float32] = request.get_output_tensor(0).data[0].copy()
        return logits

    return run


def scene_of(logits: NDArray[np.float32], head: SceneHead) -> SceneClass:
    """`SceneClass` of a classifier's logits (classes,).

    `indoor` compares the total probability of indoor classes with that of outdoor ones, which is
    far more reliable than any single scene. The label is the likeliest scene by its classes on that
    side, so it never contradicts `indoor`. The next two in `top` are the likeliest others, on
    either side. `indoor` is None if the scene's classes are neither.
    """
    scaled = logits.astype(np.float64) / head.temperature
    weights = np.exp(scaled - scaled.max())
    probabilities = weights / weights.sum()
    scenes = head.matrix @ probabilities
    scenes = scenes / scenes.sum()
    indoor = bool(probabilities[head.inside].sum() > probabilities[head.outside].sum())
    other_side = head.outside if indoor else head.inside
    first = int(np.argmax(head.matrix @ np.where(other_side, 0.0, probabilities)))
    order = [first, *(i for i in np.argsort(-scenes, kind="stable") if i != first)]
    nats = -float(np.sum(scenes * np.log(np.maximum(scenes, 1e-12))))
    return SceneClass(
        label=head.labels[first],
        probability=float(scenes[first]),
        entropy=min(1.0, max(0.0, nats / math.log(max(2, len(scenes))))),
        indoor=indoor if (head.matrix[first] @ (head.inside | head.outside)) else None,
        top=tuple((head.labels[i], float(scenes[i])) for i in order[:3]),
    )


def pocket_head(settings: dict[str, Any]) -> SceneHead:
    """The pocket pack's head. The settings list `classes` as [scene, is indoors], like the
    logits."""
    scenes, inside = zip(*settings["classes"], strict=True)
    labels = tuple(dict.fromkeys(scenes))
    matrix = np.array([[scene == label for scene in scenes] for label in labels], np.float32)
    indoors = np.array(inside, bool)
    return SceneHead(labels, matrix, indoors, ~indoors, settings["temperature"])


def hub_head() -> SceneHead:
    """Sums ImageNet's classes into scenes (models/imagenet_scenes.py), all others into `other`."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    first_names = [info.index_to_description(i).split(",")[0] for i in range(info.num_classes())]
    scenes, indoor, columns = scene_columns(first_names)
    matrix = np.zeros((len(scenes) + 1, len(first_names)), np.float32)
    for row, members in enumerate(columns):
        matrix[row, members] = 1
    matrix[-1] = 1 - matrix[:-1].sum(axis=0)
    inside = np.array([indoor[scene] for scene in scenes], np.float32) @ matrix[:-1] > 0
    outside = ~inside & (matrix[-1] == 0)
    return SceneHead((*scenes, OTHER), matrix, inside, outside, 1.0)


def _hub_settings(files: PackFiles) -> dict[str, Any]:
    """Preprocessing and architecture from timm's config.json."""
    config = json.loads(files.open("config.json").read_text(encoding="utf-8"))
    trained = config.get("pretrained_cfg", {})
    return {
        "architecture": config["architecture"],
        "classes": range(config.get("num_classes", 1000)),
        "image_size": trained.get("input_size", (3, 256, 256))[-1],
        "crop": trained.get("crop_pct", 0.9),
        "mean": trained.get("mean", (0.485, 0.456, 0.406)),
        "std": trained.get("std", (0.229, 0.224, 0.225)),
        "reparameterise": True,
    }


def load_network(settings: dict[str, Any], weights: Path) -> Any:
    """The reparameterized network in fp32. Raises if any tensor is missing or unexpected."""
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
