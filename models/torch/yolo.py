"""Runs a YOLO checkpoint with Ultralytics and torch: a picture in, boxes out."""

from pathlib import Path
from typing import Any

import numpy as np

from engine.core.camera import Image
from models import quiet_offline, quiet_ultralytics
from models.devices import high_priority_stream, limit_threads
from models.runtime.boxes import LEAST_SCORE, MOST_BOXES, NMS_IOU, Boxes


class TorchYolo:
    """A detector's network; see `models.runtime.yolo.OpenVinoYolo`. Raises Ultralytics', torch's and
    pickle's errors."""

    def __init__(
        self, checkpoint: Path, image_size: int, device: str, threads: int | None = None
    ) -> None:
        quiet_offline()
        from ultralytics import YOLO

        quiet_ultralytics()
        limit_threads(threads)
        self._device, self.image_size = device, image_size
        self._model: Any = YOLO(str(checkpoint), task="detect", verbose=False)
        self.find(np.full((64, 64, 3), 128, np.uint8))  # loads the network
        loaded = self._model.predictor.model
        self.labels = tuple(str(loaded.names[number]) for number in sorted(loaded.names))
        self.end2end = bool(loaded.end2end)
        self.precision = "fp16" if loaded.fp16 else "fp32"

    def find(self, image: Image) -> Boxes:
        """The boxes in an RGB image (height, width, 3), also from several threads."""
        import cv2

        with high_priority_stream(self._device):
            found = self._model.predict(
                cv2.cvtColor(image, cv2.COLOR_RGB2BGR),  # Ultralytics' channel order
                imgsz=self.image_size,
                conf=LEAST_SCORE,
                iou=NMS_IOU,
                agnostic_nms=True,
                max_det=MOST_BOXES,
                device=self._device,
                verbose=False,
            )[0]
            boxes = found.boxes.cpu().numpy()
        return Boxes(boxes.xyxy, boxes.conf, boxes.cls.astype(np.int64))
