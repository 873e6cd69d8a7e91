"""Detects and tracks objects: a network finds boxes, a tracker follows them.

Knows nothing of distances, sides or alerts.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image
from engine.core.errors import MissingPart, in_one_line
from engine.core.glance import Box, Detection
from engine.core.report import ModelCard
from models.devices import choose_device
from models.fit import (
    Fit,
    beside,
    cpu_name,
    fit,
    is_idle,
    key_of,
    processor_time_of_others_s,
    rate,
    thread_counts,
)
from models.packs import PackFiles, choose_form, find_pack
from models.runtime.boxes import LEAST_SCORE, Boxes, suppressed, without_parts
from models.runtime.compiled import release_pages
from models.runtime.tracker import Tracker

SIZES = (640, 416, 320)  # of models.detector.image_size
DEFAULT_CONFIDENCE = 0.25  # Ultralytics' default, for labels without a threshold in the pack


class Network(Protocol):
    """Finds boxes in one picture, whose longer side it resizes to `image_size` pixels. The boxes of
    an `end2end` network may overlap."""

    labels: tuple[str, ...]
    end2end: bool
    precision: str
    image_size: int

    def find(self, image: Image) -> Boxes:
        """The boxes in an RGB image (height, width, 3), also from several threads."""
        ...


class Follows(Protocol):
    """Follows detections from frame to frame, as `Tracker` does."""

    def update(
        self, boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any], frame: Frame
    ) -> NDArray[np.int64]: ...

    def reset(self) -> None: ...


def least_confidence(confidence: Mapping[str, float]) -> float:
    """The score from which a detection may begin a track: the least from which one is reported."""
    return min([DEFAULT_CONFIDENCE, *confidence.values()])


def open_detector(
    pack: str = "auto",
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    image_size: int | None = None,
) -> "TrackingDetector":
    """The detector of a pack; see `load_detector`."""
    return load_detector(find_pack("detector", pack), device, backend, threads, image_size)


def load_detector(
    files: PackFiles,
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    image_size: int | None = None,
) -> "TrackingDetector":
    """A detector on at most `threads` CPU threads (None: the library's choice), warmed up.

    `image_size`: the longer side of the network's input in pixels; None is the pack's own. Raises
    MissingPart if a requested part is missing or damaged.
    """
    device = choose_device(device)
    backend, form = choose_form(files, backend, device)
    settings = _settings(files, image_size)
    path = files.open(form)  # checks the sha256, as a .pt is a pickle
    try:
        network = _network(path, backend, settings["image_size"], device, threads)
        network.find(np.full((480, 640, 3), 128, np.uint8))
        release_pages()
    except Exception as error:  # pickle, torch, Ultralytics and OpenVINO have errors of their own
        raise MissingPart(
            f"{files.pack} detector: {path}: expected a YOLO that {backend} opens, got "
            f"{in_one_line(error)}; to repair it: {files.remedy}"
        ) from None
    expected = tuple(settings.get("labels", network.labels))
    if expected != network.labels:
        raise MissingPart(
            f"{files.pack} detector: {path}: expected the labels of {files.tier}.json "
            f"({', '.join(expected[:3])}, ...), got {', '.join(network.labels[:3])}, ...; "
            f"to repair it: {files.remedy}"
        )
    card = ModelCard(
        settings["name"],
        files.pack,
        device,
        backend,
        network.precision,
        image_size=network.image_size,
        threads=threads,
    )
    return TrackingDetector(network, settings.get("confidence") or {}, card)


class TrackingDetector:
    """Detects and tracks objects; to be used from one thread.

    `labels`: all labels that it can return. `confidence`: label -> the score from which a track is
    reported. `network` finds the boxes, `tracker` follows them.
    """

    def __init__(
        self,
        network: Network,
        confidence: dict[str, float],
        card: ModelCard,
        tracker: Follows | None = None,
    ) -> None:
        self.labels = network.labels
        self.confidence = dict(confidence)
        self.card = card
        self.network = network
        self._tracker: Follows = tracker or Tracker(least_confidence(confidence), LEAST_SCORE)
        self._shown_tracks: set[int] = set()
        self._thread = ThreadPoolExecutor(1, "detector")  # starts its thread when it is first used
        self._prefetched: deque[tuple[Image, Future[Boxes]]] = deque()

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        """The tracked objects in `frame`, boxes in its pixels. A track is reported from the
        first frame in which it reaches its label's threshold, for as long as the tracker keeps it."""
        boxes = self._boxes_of(frame.image)
        if self.network.end2end:
            boxes = suppressed(boxes)
        found = self._tracked(without_parts(boxes, self.labels), frame)
        self._shown_tracks &= {detection.track for detection in found}
        self._shown_tracks |= {
            detection.track
            for detection in found
            if detection.score >= self.confidence.get(detection.label, DEFAULT_CONFIDENCE)
        }
        # boxes that are not finite are for the engine to drop and count, whoever detected them
        return tuple(
            item for item in found if item.track in self._shown_tracks or not item.is_finite
        )

    def expect(self, frame: Frame) -> None:
        """Prefetch `frame` in a thread. `detect` must then be called for all expected frames, in
        order."""
        found = self._thread.submit(self.network.find, frame.image)
        self._prefetched.append((frame.image, found))

    @property
    def prefetched(self) -> int:
        """How many expected frames have not been detected yet."""
        return len(self._prefetched)

    def reset(self) -> None:
        """Drop all tracks and prefetched frames: the next frame is unrelated to the last."""
        self._tracker.reset()
        self._shown_tracks.clear()
        self._prefetched.clear()

    def _boxes_of(self, image: Image) -> Boxes:
        """The boxes in `image`, prefetched or computed now."""
        if self._prefetched and self._prefetched[0][0] is image:
            return self._prefetched.popleft()[1].result()
        return self.network.find(image)

    def _tracked(self, boxes: Boxes, frame: Frame) -> list[Detection]:
        """The boxes that belong to a track. The boxes are as measured, not the tracker's, which are
        filtered and lag: distances are filtered later."""
        rows = self._tracker.update(boxes.corners, boxes.scores, boxes.classes, frame)
        corners, scores, classes = (values.tolist() for values in boxes)
        return [
            Detection(self.labels[classes[row]], scores[row], Box(*corners[row]), track)
            for row, track in rows.tolist()
        ]


def fit_detector(files: PackFiles, backend: str = "auto", image_size: int | None = None) -> Fit:
    """The image size and threads that fit this machine's CPU, measured at the first call and then
    kept (models.fit): of the sizes that suit the pack, or of `image_size` alone.

    A description is stood for by this network at its largest size, on a thread for each core, as
    the describer has. Raises MissingPart.
    """
    sizes = sizes_to_try(files.settings()) if image_size is None else (image_size,)
    threads = thread_counts()
    backend, _ = choose_form(files, backend, "cpu")

    def looking(size: int, count: int) -> Callable[[Image], object]:
        detector = load_detector(files, "cpu", backend, count, size)
        return lambda image: detector.detect(Frame(image, 0.0, 0))

    def measure_fps(size: int, count: int) -> float:
        find = looking(size, count)
        with beside(load_at(max(sizes), max(threads))):
            return rate(find)

    load_at = cache(looking)
    versions = {name: version(name) for name in ("openvino", "numpy")}
    digests = sorted(files.files.items())
    key = key_of(cpu_name(), sizes, threads, versions, backend, digests)
    return fit(sizes, threads, measure_fps, key, others_s=processor_time_of_others_s, idle=is_idle)


def known_sizes(settings: Mapping[str, Any]) -> tuple[int, ...]:
    """The image sizes at which a pack's thresholds were chosen and its accuracy was measured."""
    return (settings["image_size"], *map(int, settings.get("confidence_at", {})))


def sizes_to_try(settings: Mapping[str, Any]) -> tuple[int, ...]:
    """The image sizes that a machine may be fitted with: none above the pack's own, since a network
    sees worse in larger pictures than it was trained on; of those, the ones with known accuracy, if
    the pack states it for more than its own size."""
    own, known = settings["image_size"], known_sizes(settings)
    smaller = [size for size in (known if len(known) > 1 else SIZES) if size < own]
    return (own, *smaller)


def _settings(files: PackFiles, image_size: int | None) -> dict[str, Any]:
    """The pack's settings, with the thresholds that were chosen for this image size."""
    settings = files.settings()
    if image_size is not None:
        at_size = settings.get("confidence_at", {}).get(str(image_size))
        settings |= {"image_size": image_size, "confidence": at_size or settings.get("confidence")}
    return settings


def _network(
    path: Path, backend: str, image_size: int, device: str, threads: int | None
) -> Network:
    if backend == "openvino":
        from models.runtime.yolo import OpenVinoYolo

        return OpenVinoYolo(path, image_size, threads)
    from models.torch.yolo import TorchYolo

    return TorchYolo(path, image_size, device, threads)
