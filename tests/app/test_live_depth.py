"""Depth runs alongside the live loops: obstacles are announced even if the model fails."""

import time
from pathlib import Path

import pytest

from engine.core.camera import Frame
from engine.core.errors import DepthFailed
from engine.core.glance import DepthMap
from engine.perception.camera_health import CameraHealth
from engine.perception.depth_prior import BoxHistory
from engine.perception.depth_worker import ThreadedDepth
from engine.perception.localize import Localizer
from tests.fakes.depth import FakeDepthModel
from tests.fakes.live import BLACK, FakeCamera, LiveBench


class CountingLocalizer(Localizer):
    """Counts the depth maps."""

    maps = 0

    def update_heights(self, depth: DepthMap) -> None:
        self.maps += 1
        super().update_heights(depth)


def offer_until_failure(depth: ThreadedDepth) -> None:
    """Raises DepthFailed once the thread has failed."""
    while True:
        depth.offer(Frame(BLACK, 0.0, 0))
        time.sleep(0.001)


class GoodCamera(CameraHealth):
    """Never finds a fault: depth is off while the camera is covered, and the fake images are black."""

    def update(self, frame: Frame, live: bool) -> bool:
        return False


@pytest.mark.parametrize(("how", "errors"), [("works", 0), ("fails", 1), ("hangs", 0)])
def test_obstacles_are_announced_whatever_depth_does(tmp_path: Path, how: str, errors: int) -> None:
    bench = LiveBench(tmp_path, camera=FakeCamera(40))
    model = FakeDepthModel(how)
    depth = ThreadedDepth(model)
    localizer = CountingLocalizer(70.0, box_history=BoxHistory())
    bench.change_perception(localizer=localizer, depth=depth, camera_health=GoodCamera())
    if how == "fails":  # before the first frame, so that the loops meet the failure
        with pytest.raises(DepthFailed):
            offer_until_failure(depth)
    try:
        bench.run()
    finally:
        model.let_go.set()
        depth.close()
    assert bench.log.close()["frames"]["processed"] > 0
    assert any(h.utterance.kind == "alert" for h in bench.heard)
    assert [health.what for health in bench.health] == ["depth"] * errors
    assert how == "works" or not localizer.maps
