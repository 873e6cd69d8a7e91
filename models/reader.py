"""Reads the text in a frame with RapidOCR; its wheel ships the models, and OpenVINO runs them.

The only file that uses RapidOCR. Knows nothing of reading order, languages, or which text to speak.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from engine.core.errors import MissingPart, OutOfMemory, ReaderFailed, in_one_line
from engine.core.glance import Box, TextLine
from engine.core.report import ModelCard
from models import quiet_offline
from models.runtime.memory import release_memory

# Longer sides of images, in pixels
SIDE = 960  # for reading lines
FIND_SIDE = 736  # for finding lines; at 960 it needs 80 MB more and 1.5 times as long
GLIMPSE_SIDE = 352  # for finding large text only, in a sixth of the time
PART_SIDE = 480  # of the crop around large text; still sharp enough
LARGE = 0.04  # line height over image height: letters as tall as a hand, at three metres
MIDDLE = 0.6  # share of the width and of the height around the centre that the wearer looks at
MARGIN = 0.6  # around large text, in line heights

Quad = NDArray[np.float64]  # (4, 2): corners of a line, clockwise from the upper left

INSTALL = "run `pip install rapidocr openvino`"


def open_reader(threads: int = 2) -> "RapidReader":
    """The reader, warmed up. Raises MissingPart without RapidOCR, ReaderFailed if it does not
    load."""
    return RapidReader(threads)


class RapidReader:
    """Reads text with at most `threads` CPU threads; to be used from one thread."""

    def __init__(self, threads: int = 2) -> None:
        quiet_offline()
        try:
            from rapidocr import EngineType, RapidOCR

            release = version("rapidocr")
        except (ImportError, PackageNotFoundError) as error:
            raise MissingPart(
                f"reader: expected rapidocr and openvino, got {in_one_line(error)}; {INSTALL}"
            ) from error
        openvino = EngineType.OPENVINO
        try:
            self._ocr: Any = RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "Global.use_cls": False,  # glasses are worn upright
                    "Global.max_side_len": SIDE,
                    "Det.engine_type": openvino,
                    "Rec.engine_type": openvino,
                    "Det.limit_side_len": FIND_SIDE,
                    "Det.limit_type": "max",
                    "Rec.rec_batch_num": 1,  # a batch is as wide as its widest line
                    "EngineConfig.openvino.inference_num_threads": threads,
                    "EngineConfig.openvino.num_streams": 1,
                }
            )
            self._read(np.full((GLIMPSE_SIDE * 3 // 4, GLIMPSE_SIDE, 3), 128, np.uint8))
        except Exception as error:  # including the download of a missing file, which is off
            raise ReaderFailed(f"the reader did not load: {in_one_line(error)}") from error
        self.card = ModelCard(f"rapidocr {release}", "rapidocr", "cpu", "openvino", "fp32")

    def read(self, frame: Frame) -> tuple[TextLine, ...]:
        """All lines of text, in no particular order, with boxes in pixels of the frame. Raises
        ReaderFailed and OutOfMemory."""
        try:
            return tuple(line for line, _ in self._read(frame.image))
        except MemoryError as error:
            raise OutOfMemory("the reader found no memory") from error
        except Exception as error:
            raise ReaderFailed(f"the reader failed: {in_one_line(error)}") from error

    def read_large(self, frame: Frame) -> tuple[TextLine, ...]:
        """Lines that are large and near the middle. They are found in a small copy of the image,
        and only the crop around them is read. Raises what `read` raises."""
        try:
            part = self._large_part(frame)
            if part is None:
                return ()
            x, y = int(part.x1), int(part.y1)
            image = frame.image[y : int(np.ceil(part.y2)), x : int(np.ceil(part.x2))]
            small, scale = _shrunk(image, PART_SIDE)
            return tuple(
                line
                for line, quad in self._read(small, scale, (x, y))
                if is_large(quad, frame.width, frame.height)
            )
        except MemoryError as error:
            raise OutOfMemory("the reader found no memory") from error
        except Exception as error:
            raise ReaderFailed(f"the reader failed: {in_one_line(error)}") from error

    def _large_part(self, frame: Frame) -> Box | None:
        """The box around all text that is large and near the middle; None without any."""
        small, scale = _shrunk(frame.image, GLIMPSE_SIDE)
        found = self._ocr(_bgr(small), use_det=True, use_cls=False, use_rec=False)
        quads = [quad / scale for quad in _quads(found)]
        large = [_box(quad) for quad in quads if is_large(quad, frame.width, frame.height)]
        if not large:
            return None
        margin = MARGIN * max(box.height for box in large)
        return Box(
            max(0.0, min(box.x1 for box in large) - margin),
            max(0.0, min(box.y1 for box in large) - margin),
            min(float(frame.width), max(box.x2 for box in large) + margin),
            min(float(frame.height), max(box.y2 for box in large) + margin),
        )

    def _read(
        self, image: NDArray[np.uint8], scale: float = 1.0, corner: tuple[int, int] = (0, 0)
    ) -> list[tuple[TextLine, Quad]]:
        """Each line with its four corners in the frame. `image` is a part of the frame, starting at
        `corner`, resized by `scale`."""
        found = self._ocr(_bgr(image), use_det=True, use_cls=False, use_rec=True)
        self._release()
        texts = getattr(found, "txts", None)
        if not texts:
            return []
        quads = [quad / scale + np.array(corner) for quad in _quads(found)]
        return [
            (TextLine(" ".join(text.split()), float(score), _box(quad)), quad)
            for text, score, quad in zip(texts, found.scores, quads, strict=True)
        ]

    def _release(self) -> None:
        """Free what OpenVINO keeps for the next image of the same size: 30 to 80 MB."""
        for network in (self._ocr.text_det, self._ocr.text_rec):
            if network is not None:  # the one that reads lines is loaded with the first line
                network.session.session.get_compiled_model().release_memory()
        release_memory()


def is_large(quad: Quad, width: int, height: int) -> bool:
    """Whether a line in an image of this size is large and near the middle."""
    line_height = min(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1]))
    x, y = quad.mean(axis=0)
    return bool(
        line_height >= LARGE * height
        and abs(x / width - 0.5) <= MIDDLE / 2
        and abs(y / height - 0.5) <= MIDDLE / 2
    )


def _shrunk(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """(`image` with its longer side at most `side`, the factor by which it was resized)."""
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, side / max(width, height))
    size = (max(32, round(width * scale)), max(32, round(height * scale)))
    if scale == 1.0:
        return image, 1.0
    small: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, scale


def _bgr(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[:, :, ::-1])  # RapidOCR expects OpenCV's channel order


def _quads(found: Any) -> list[Quad]:
    boxes = getattr(found, "boxes", None)
    return [] if boxes is None else [np.asarray(quad, dtype=np.float64) for quad in boxes]


def _box(quad: Quad) -> Box:
    """The axis-aligned box around four corners."""
    x, y = quad.T
    return Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
