"""Detects objects with Ultralytics YOLO and tracks them.

Only this file and `ultralytics_openvino.py` use Ultralytics: `to_detections` turns its results into
`Detection`. Knows nothing of distances, sides or alerts.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.camera import Frame, Image
from engine.core.errors import MissingPart, in_one_line
from engine.core.glance import Box, Detection
from engine.core.report import ModelCard
from models import quiet_offline, quiet_ultralytics
from models.devices import choose_device, has_bf16, high_priority_stream, limit_threads
from models.packs import PackFiles, choose_form, find_pack
from models.runtime.tracker import Tracker

DEFAULT_CONFIDENCE = 0.25  # Ultralytics' default, for labels without a threshold in the pack
# ByteTrack's second association uses detections below the thresholds, to keep a track through blur
# or occlusion (Zhang et al. 2022, section 3.2).
TRACK_LOW = 0.1
MAX_DETECTIONS = 100
# Threshold of class-agnostic non-maximum suppression. An object must not be announced twice, as two
# boxes or as "bus" and "truck"; people side by side overlap less. Ultralytics' default, 0.7 within
# each class, is meant for average precision.
NMS_IOU = 0.55
# A part of a vehicle looks like a vehicle: a weaker box is dropped if this share of it lies in a
# stronger box of the same group. Only for vehicles: a child in front of an adult, or a car in front
# of a bus, is another object, and losing it is worse than counting a bus twice.
PART_OF = 0.8
VEHICLES = (frozenset({"bus", "truck"}), frozenset({"car"}))


def open_detector(
    pack: str = "auto", device: str = "auto", backend: str = "auto", threads: int | None = None
) -> "YoloDetector":
    """The detector of a pack, warmed up. Raises MissingPart if a requested part is missing."""
    return YoloDetector(find_pack("detector", pack), device, backend, threads)


class YoloDetector:
    """Detects and tracks objects with at most `threads` CPU threads; to be used from one thread.

    `labels`: all labels that it can return. `confidence`: label -> the score from which a track is
    reported.
    """

    def __init__(
        self,
        files: PackFiles,
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
    ) -> None:
        quiet_offline()
        self._device = choose_device(device)
        backend, form = choose_form(files, backend, self._device)
        settings = files.settings()
        if self._device == "cpu" and not has_bf16():
            settings |= settings.get("without_bf16", {})  # smaller images, to keep the frame rate
        path = files.open(form)  # checks the sha256, as a .pt is a pickle
        from ultralytics import YOLO

        quiet_ultralytics()
        try:
            self.model: Any = YOLO(str(path), task="detect", verbose=False)
        except Exception as error:  # pickle, torch and Ultralytics have errors of their own
            raise _not_a_detector(files, path, error) from None
        self._image_size = settings["image_size"]
        self.confidence: dict[str, float] = dict(settings.get("confidence") or {})
        self._tracker = Tracker(min([DEFAULT_CONFIDENCE, *self.confidence.values()]), TRACK_LOW)
        self._shown_tracks: set[int] = set()
        self._thread = ThreadPoolExecutor(1, "detector")  # starts its thread when it is first used
        self._prefetched: deque[tuple[Image, Future[Any]]] = deque()
        if backend == "torch":
            limit_threads(threads)
        try:
            self._predictor = _predictor_class(backend, threads)
            self.detect(_grey_frame())  # Ultralytics loads the network at the first prediction
        except Exception as error:
            raise _not_a_detector(files, path, error) from None
        self.reset()
        names: dict[int, str] = self.model.predictor.model.names
        self.labels = tuple(names[index] for index in sorted(names))
        expected = tuple(settings.get("labels", self.labels))
        if expected != self.labels:
            raise MissingPart(
                f"{files.pack} detector: {path}: expected the labels of {files.tier}.json "
                f"({', '.join(expected[:3])}, ...), got {', '.join(self.labels[:3])}, ...; "
                f"to repair it: {files.remedy}"
            )
        self.card = ModelCard(
            settings["name"], files.pack, self._device, backend, _precision(self.model, backend)
        )

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        """The tracked objects in `frame`, boxes in its pixels. A track is reported from the
        first frame in which it reaches its label's threshold, for as long as the tracker keeps it."""
        found = to_detections(self._track(without_parts(self._boxes_of(frame.image)), frame))
        self._shown_tracks &= {detection.track for detection in found}
        self._shown_tracks |= {
            detection.track
            for detection in found
            if detection.score >= self.confidence.get(detection.label, DEFAULT_CONFIDENCE)
        }
        return tuple(detection for detection in found if detection.track in self._shown_tracks)

    def expect(self, frame: Frame) -> None:
        """Prefetch `frame` in a thread. `detect` must then be called for all expected frames, in
        order."""
        self._prefetched.append((frame.image, self._thread.submit(self._predict, frame.image)))

    @property
    def prefetched(self) -> int:
        """How many expected frames have not been detected yet."""
        return len(self._prefetched)

    def _boxes_of(self, image: Image) -> Any:
        """The boxes in `image`, prefetched or computed now."""
        if self._prefetched and self._prefetched[0][0] is image:
            return self._prefetched.popleft()[1].result()
        return self._predict(image)

    def _predict(self, image: Image) -> Any:
        """Ultralytics' `Results` for RGB uint8 (height, width, 3), without tracking."""
        import cv2

        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # Ultralytics' channel order
        with high_priority_stream(self._device):
            found = self.model.predict(
                bgr,
                predictor=self._predictor,
                imgsz=self._image_size,
                conf=TRACK_LOW,
                iou=NMS_IOU,
                agnostic_nms=True,
                max_det=MAX_DETECTIONS,
                device=self._device,
                verbose=False,
            )[0]
            return found.cpu()

    def reset(self) -> None:
        """Drop all tracks and prefetched frames: the next frame is unrelated to the last."""
        self._tracker.reset()
        self._shown_tracks.clear()
        self._prefetched.clear()

    def _track(self, result: Any, frame: Frame) -> Any:
        """`result` with only the tracked boxes, as measured, and their track ids."""
        import torch

        boxes = result.boxes.cpu().numpy()
        rows = self._tracker.update(boxes.xyxy, boxes.conf, frame)
        # not the tracker's boxes, which are filtered and lag: distances are filtered later
        kept = boxes.data[rows[:, 0]]
        data = np.column_stack([kept[:, :4], rows[:, 1], kept[:, 4:6]])
        tracked = result[:0]
        tracked.update(boxes=torch.from_numpy(data.astype(np.float32)))
        return tracked


def without_parts(results: Any) -> Any:
    """Ultralytics' `Results` without boxes that are parts of stronger ones; see PART_OF."""
    boxes = results.boxes.cpu().numpy()
    labels = [results.names[int(cls)] for cls in boxes.cls]
    parts = {
        weak
        for weak, corners in enumerate(boxes.xyxy)
        for strong, other in enumerate(boxes.xyxy)
        if boxes.conf[strong] > boxes.conf[weak]
        and any({labels[weak], labels[strong]} <= group for group in VEHICLES)
        and _share_within(corners, other) >= PART_OF
    }
    return results[[row for row in range(len(labels)) if row not in parts]] if parts else results


def _share_within(inner: Any, outer: Any) -> float:
    """The share of the box `inner` that lies in `outer`, both as xyxy corners."""
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    area = (inner[2] - inner[0]) * (inner[3] - inner[1])
    return float(max(0.0, width) * max(0.0, height) / max(area, 1e-6))


def to_detections(results: Any) -> tuple[Detection, ...]:
    """Ultralytics' `Results` with track ids as `Detection`: clipped xyxy corners in source
    pixels."""
    boxes = results.boxes.cpu().numpy()
    if boxes.id is None:
        return ()
    return tuple(
        Detection(results.names[int(cls)], float(score), Box(*map(float, corners)), int(track))
        for corners, score, cls, track in zip(
            boxes.xyxy, boxes.conf, boxes.cls, boxes.id, strict=True
        )
    )


def _predictor_class(backend: str, threads: int | None) -> Any:
    """The class of Ultralytics' predictor; None for its default."""
    if backend != "openvino":
        return None
    from models.ultralytics_openvino import cpu_predictor

    return cpu_predictor(threads)


def _precision(model: Any, backend: str) -> str:
    loaded = model.predictor.model
    if backend == "openvino":
        kind = loaded.backend.ov_compiled_model.get_property("INFERENCE_PRECISION_HINT")
        name = str(kind.get_type_name())
        return {"f32": "fp32", "f16": "fp16"}.get(name, name)
    return "fp16" if loaded.fp16 else "fp32"


def _not_a_detector(files: PackFiles, path: Path, error: Exception) -> MissingPart:
    return MissingPart(
        f"{files.pack} detector: {path}: expected a YOLO that Ultralytics opens, got "
        f"{in_one_line(error)}; to repair it: {files.remedy}"
    )


def _grey_frame() -> Frame:
    return Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0)
