"""The batch loop over a fake camera and fake models, in virtual time."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.camera import Frame
from engine.core.errors import RunError, SourceLost
from engine.core.glance import Detection
from engine.core.triggers import Once
from tests.fakes.live import FakeCamera, FakeVision, LiveBench


def test_a_bug_is_announced_and_ends_the_session(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, vision=FakeVision(fails=True), batch=True)
    with pytest.raises(RunError, match="ValueError: a bug in an adapter"):
        bench.run_batch()
    assert [health.what for health in bench.health] == ["engine"]
    assert bench.said == [bench.words.status("failed")]


@pytest.mark.parametrize(
    ("related", "asked_at_s", "most", "order"),
    [
        (True, 99.0, None, "0 1e 0d 2e 1d 3e 2d 3d"),
        (True, 1.5 / 30, None, "0 1e 0d 2e 1d 2d 3 3d"),  # not while the third is answered
        (True, 99.0, 2, "0 1e 0d 1d"),
        (False, 99.0, None, "0 0d 1 1d 2 2d 3 3d"),
    ],
)
def test_the_detector_starts_early_on_a_related_frame(
    tmp_path: Path, related: bool, asked_at_s: float, most: int | None, order: str
) -> None:
    """In `order`, a number is a frame that is read, `e` its early start, `d` its detection."""
    log: list[str] = []

    class RecordingVision(FakeVision):
        def expect(self, frame: Frame) -> None:
            log[-1] += "e"

        def detect(self, frame: Frame) -> tuple[Detection, ...]:
            log.append(f"{frame.seq}d")
            return super().detect(frame)

    class Film(FakeCamera):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is not None:
                log.append(str(frame.seq))
                frame = replace(frame, time_s=frame.seq / 30)
            return frame

    bench = LiveBench(tmp_path, camera=Film(4), vision=RecordingVision(), mode="quick", batch=True)
    bench.change_feed(trigger=Once(asked_at_s), max_frames=most, related=related)
    bench.run_batch()
    assert " ".join(log) == order
    assert len(bench.descriptions) == (asked_at_s < 1)


def test_a_lost_source_is_announced_after_its_last_frame(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, camera=FakeCamera(3, breaks=True), batch=True)
    with pytest.raises(SourceLost):
        bench.run_batch()
    assert bench.log.close()["frames"]["processed"] == 3
    assert bench.words.status("camera_lost") in bench.said
