"""When the depth model runs: a map once, failures and timeouts, and an inline model's interval."""

import threading
import time

import numpy as np
import pytest

from engine.core.camera import Frame
from engine.core.errors import DepthFailed
from engine.core.glance import DepthMap
from engine.perception.depth_worker import INTERVAL_S, TIMEOUT_S, InlineDepth, ThreadedDepth
from tests.fakes.depth import FakeDepthModel

IMAGE = np.zeros((48, 64, 3), np.uint8)


def frame(time_s: float, seq: int) -> Frame:
    return Frame(IMAGE, time_s, seq)


def map_at(depth: ThreadedDepth, time_s: float, seq: int) -> DepthMap:
    """The next map, offering one frame again and again; fails after 10 s."""
    for _ in range(2000):
        if (found := depth.offer(frame(time_s, seq))) is not None:
            return found
        time.sleep(0.005)
    pytest.fail("no depth map within 10 s")


def test_a_map_is_returned_once_and_offering_never_blocks() -> None:
    model = FakeDepthModel("hangs")
    depth = ThreadedDepth(model)
    assert depth.offer(frame(0.0, 0)) is None
    assert depth.offer(frame(0.1, 1)) is None
    model.let_go.set()
    assert map_at(depth, 0.2, 2).seq == 0
    assert depth.offer(frame(0.3, 3)) is None
    depth.close()
    assert "depth" not in [thread.name for thread in threading.enumerate()]


def test_a_hanging_model_times_out_and_a_pause_of_the_camera_does_not() -> None:
    model = FakeDepthModel("hangs")
    depth = ThreadedDepth(model)
    depth.offer(frame(0.0, 0))
    with pytest.raises(DepthFailed, match="no depth for"):
        depth.offer(frame(TIMEOUT_S + 1.0, 1))
    model.let_go.set()
    assert map_at(depth, 0.2, 1).seq == 0
    depth.offer(frame(TIMEOUT_S + 1.0, 2))
    assert map_at(depth, TIMEOUT_S + INTERVAL_S / 2 + 1.0, 3).seq == 2
    depth.offer(frame(9 * TIMEOUT_S, 4))  # no map was due during the pause
    depth.close()


def test_a_failing_model_is_reported_as_depth_failed() -> None:
    depth = InlineDepth(FakeDepthModel("fails"))
    with pytest.raises(DepthFailed, match="out of memory"):
        depth.offer(frame(0.0, 0))


def test_an_inline_model_runs_at_its_interval() -> None:
    depth = InlineDepth(FakeDepthModel())
    times_s = [s / 10 for s in range(12) if depth.offer(frame(s / 10, s)) is not None]
    assert times_s == pytest.approx([0.0, INTERVAL_S, 2 * INTERVAL_S])
