"""Classifies the scene: networks give logits, which become a scene and its probability.

Knows nothing of routes or templates.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from engine.core.errors import MissingPart, in_one_line
from engine.core.glance import SceneClass
from engine.core.report import ModelCard
from models.devices import choose_device
from models.imagenet_scenes import scene_columns
from models.packs import FORMS, PackFiles, choose_form, find_pack, read_pack
from models.runtime.compiled import release_pages
from models.runtime.graphs import read_form_json
from models.runtime.scenes import Squares

OTHER = "other"


class SceneNetwork(Protocol):
    """Gives the class logits (classes,) of a picture."""

    precision: str

    def logits(self, squares: Squares) -> NDArray[np.float32]: ...


def open_scenes(
    pack: str = "auto", device: str = "auto", backend: str = "auto", threads: int | None = None
) -> "Scenes":
    """The scene classifier of a pack; see `load_scenes`."""
    return load_scenes(find_pack("scenes", pack), device, backend, threads)


def load_scenes(
    files: PackFiles, device: str = "auto", backend: str = "auto", threads: int | None = None
) -> "Scenes":
    """A scene classifier, warmed up. `threads` limits torch; OpenVINO uses one for each network.

    Raises MissingPart if something requested is missing or damaged.
    """
    device = choose_device(device)
    backend, form = choose_form(files, backend, device)
    path = files.open(form)
    settings = files.settings()
    try:
        if files.pack == "hub":
            settings |= hub_settings(files, path)
        head = hub_head(settings["imagenet"]) if files.pack == "hub" else pocket_head(settings)
        network = _network(files, path, settings, backend, device, threads)
        name = settings["name"] + (" + detector trunk" if "second" in settings else "")
        card = ModelCard(name, files.pack, device, backend, network.precision)
        scenes = Scenes(network, head, settings.get("crop"), card)
        scenes.classify(Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0))
        release_pages()
    except MissingPart:
        raise
    except Exception as error:  # OpenVINO, safetensors, timm and torch have errors of their own
        raise MissingPart(
            f"{files.pack} scenes: {path}: expected the networks that scenes.json names, got "
            f"{in_one_line(error)}; to repair it: {files.remedy}"
        ) from None
    return scenes


def _network(
    files: PackFiles,
    path: Path,
    settings: dict[str, Any],
    backend: str,
    device: str,
    threads: int | None,
) -> SceneNetwork:
    detector = None
    if "second" in settings:
        pack = read_pack("detector", files.pack, files.root)
        detector = pack.open(FORMS[files.pack]["detector"][backend])
    if backend == "openvino":
        from models.runtime.scenes import OpenVinoScenes

        return OpenVinoScenes(path, settings, detector)
    from models.torch.scenes import TorchScenes

    second = None
    if detector is not None:
        second = (files.open(settings["second"]["weights"]), detector)
    return TorchScenes(path, settings, second, device, threads)


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


class Scenes:
    """Classifies frames; to be used from one thread. `crop`: the share of the picture's shorter side
    that is seen; None squashes the whole picture."""

    def __init__(
        self, network: SceneNetwork, head: SceneHead, crop: float | None, card: ModelCard
    ) -> None:
        self._network, self._head, self._crop = network, head, crop
        self.labels = head.labels
        self.card = card

    def classify(self, frame: Frame) -> SceneClass:
        """The likeliest scene, the three likeliest, and the entropy; see `SceneClass`."""
        logits = self._network.logits(lambda side: self._square(frame.image, side))
        return scene_of(logits, self._head)

    def _square(self, image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """(side, side, 3) as in training: the whole image squashed, or only the middle square."""
        from PIL import Image

        height, width = image.shape[:2]
        box = None
        if self._crop is not None:
            seen = min(height, width) * self._crop
            box = ((width - seen) / 2, (height - seen) / 2, (width + seen) / 2, (height + seen) / 2)
        picture = Image.fromarray(image)
        bicubic = Image.Resampling.BICUBIC
        # reducing_gap: averages boxes of pixels first if the image is far larger, which is faster
        small = picture.resize((side, side), bicubic, box=box, reducing_gap=2.0)
        return np.asarray(small)


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


def hub_head(first_names: list[str]) -> SceneHead:
    """Sums ImageNet's classes into scenes (models/imagenet_scenes.py), all others into `other`.
    `first_names`: of each class, in the order of the logits."""
    scenes, indoor, columns = scene_columns(first_names)
    matrix = np.zeros((len(scenes) + 1, len(first_names)), np.float32)
    for row, members in enumerate(columns):
        matrix[row, members] = 1
    matrix[-1] = 1 - matrix[:-1].sum(axis=0)
    inside = np.array([indoor[scene] for scene in scenes], np.float32) @ matrix[:-1] > 0
    outside = ~inside & (matrix[-1] == 0)
    return SceneHead((*scenes, OTHER), matrix, inside, outside, 1.0)


def hub_settings(files: PackFiles, form: Path) -> dict[str, Any]:
    """Preprocessing, architecture and the names of ImageNet's classes: from the form, or from timm
    and its config.json."""
    if stored := form.is_dir() and read_form_json(form).get("settings"):
        return dict(stored)
    from timm.data import ImageNetInfo

    config = json.loads(files.open("config.json").read_text(encoding="utf-8"))
    trained = config.get("pretrained_cfg", {})
    info = ImageNetInfo("imagenet-1k")
    return {
        "architecture": config["architecture"],
        "classes": list(range(config.get("num_classes", 1000))),
        "imagenet": [info.index_to_description(i).split(",")[0] for i in range(info.num_classes())],
        "image_size": trained.get("input_size", (3, 256, 256))[-1],
        "crop": trained.get("crop_pct", 0.9),
        "mean": trained.get("mean", (0.485, 0.456, 0.406)),
        "std": trained.get("std", (0.229, 0.224, 0.225)),
        "reparameterise": True,
    }
