"""The Rerun view: recordings are written and read back with the real SDK."""

import io
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from engine.core.answer import Beat, Decision, Description, Request
from engine.core.camera import Frame
from engine.core.errors import InputError, MissingPart
from engine.core.glance import Box, Glance, Mark, SceneClass
from engine.core.report import Answered, Health
from engine.core.utterance import Heard, Utterance
from engine.devices.view.rerun_view import (
    RerunView,
    images_at,
    map_point,
    recording_reader,
    require_rerun,
)
from engine.recording.view_queue import ViewQueue
from tests.fakes.glances import make_obstacle
from tests.fakes.live import FakeCamera, LiveBench

START_S = 100.0  # the session's start on the engine's clock
BOX = Box(10, 20, 50, 80)


def glance(seq: int, *, seen: bool = True) -> Glance:
    image = np.full((96, 128, 3), 40 * seq, np.uint8)
    image.flags.writeable = False
    things = (
        make_obstacle("person", 2.0, "right", 30.0, track=7, box=BOX),
        make_obstacle("bus", 6.0, track=70_000, box=Box(60, 0, 128, 96)),
    )
    marks = (Mark("begin", 1.0), Mark("detect", 1.02), Mark("locate", 1.021))
    return Glance(Frame(image, START_S + seq / 10, seq), things if seen else (), None, marks)


ALERT = Utterance(1, "alert", "Person right", 40.0, START_S, azimuth_deg=30.0, earcon="obstacle")
DESCRIPTION = Description(
    request=Request(9, "once", START_S),
    frame_seq=1,
    mode="auto",
    tier="quick",
    decision=Decision("full", 0.7, 0.5, ("crowded",)),
    scene=SceneClass("street", 0.9, 0.2, False),
    beats=(Beat("quick", "A street."),),
    marks=(),
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three glances, the last one empty; a spoken and a dropped alert; an answer; a fault."""
    path = tmp_path_factory.mktemp("view") / "session.rrd"
    view = RerunView(path, lambda time_s: time_s - START_S)
    for seq in range(3):
        view.show(glance(seq, seen=seq < 2), START_S + seq / 10)
    view.show(Heard(ALERT, START_S + 0.15, START_S + 1.0), START_S + 0.15)
    view.show(Heard(replace(ALERT, text=""), None, None, "stale"), START_S + 0.3)
    view.show(Answered(DESCRIPTION, (("classify", 12.5), ("end_to_end", 210.0))), START_S + 0.4)
    view.show(Health("camera", "no frame for 2 s", "said so"), START_S + 0.5)
    view.close()
    return path


def rows(path: Path, entity: str, component: str) -> list[tuple[float, Any]]:
    """(seconds since the start, values) of a component that is not static."""
    found = []
    for chunk in (
        recording_reader()(path).stream().filter(content=entity, is_static=False).to_chunks()
    ):
        batch = chunk.to_record_batch()
        if component in batch.schema.names:
            times = batch.column("session").to_numpy(zero_copy_only=False)
            seconds = times.astype("timedelta64[ns]").astype(int) / 1e9
            found += list(zip(seconds, batch.column(component).to_pylist(), strict=True))
    return sorted((float(s), value) for s, value in found)


def test_every_type_of_event_is_recorded(recording: Path) -> None:
    counts: Counter[str] = Counter()
    for chunk in recording_reader()(recording).stream().to_chunks():
        counts[str(chunk.entity_path)] += chunk.num_rows
    assert counts.pop("/__properties") >= 1
    assert dict(counts) == {
        "/camera": 3,
        "/camera/boxes": 3,
        "/camera/tracks": 3,
        "/map/obstacles": 3,
        "/map/sigma": 3,
        "/map/rings": 1,
        "/map/corridor": 1,
        "/map/wearer": 1,
        r"/tracks/distance_m/person\ 7": 2,
        r"/tracks/distance_m/bus\ 70000": 2,
        "/latency/obstacle/detect": 3,
        "/latency/obstacle/locate": 3,
        "/heard/alert": 2,
        "/routes": 1,
        "/routes/score": 1,
        "/routes/threshold": 1,
        "/latency/quick/classify": 1,
        "/latency/quick/end_to_end": 1,
        "/health": 1,
    }


def test_boxes_are_recorded_with_their_labels(recording: Path) -> None:
    centres = rows(recording, "/camera/boxes", "Boxes2D:centers")
    halves = rows(recording, "/camera/boxes", "Boxes2D:half_sizes")
    labels = rows(recording, "/camera/boxes", "Boxes2D:labels")
    assert [seconds for seconds, _ in centres] == pytest.approx([0.0, 0.1])
    assert centres[0][1][0] == pytest.approx([(BOX.x1 + BOX.x2) / 2, (BOX.y1 + BOX.y2) / 2])
    assert halves[0][1][0] == pytest.approx([BOX.width / 2, BOX.height / 2])
    assert labels[0][1] == ["person 2.0 m", "bus 6.0 m"]


def test_on_the_map_right_is_right_and_ahead_is_up(recording: Path) -> None:
    (person, bus) = rows(recording, "/map/obstacles", "Points2D:positions")[0][1]
    assert person == pytest.approx([1.0, -(3**0.5)], abs=1e-5)
    assert bus == pytest.approx([0.0, -6.0], abs=1e-5)
    assert map_point(2.0, -90.0) == pytest.approx((-2.0, 0.0), abs=1e-9)


def test_an_empty_glance_clears_the_boxes(recording: Path) -> None:
    for entity in ("/camera/boxes", "/map/obstacles", "/map/sigma"):
        cleared = rows(recording, entity, "Clear:is_recursive")
        assert [seconds for seconds, _ in cleared] == pytest.approx([0.2])


def test_texts_are_recorded_at_their_times(recording: Path) -> None:
    said = rows(recording, "/heard/alert", "TextLog:text")
    assert [seconds for seconds, _ in said] == pytest.approx([0.15, 0.3])
    assert said[0][1] == ["+30° Person right"]
    assert said[1][1] == ["+30° (obstacle) [not said: stale]"]
    ((_, (route,)),) = rows(recording, "/routes", "TextLog:text")
    for part in ("full, answered by quick", "0.70", "0.50", "crowded", "A street."):
        assert part in route
    ((_, total),) = rows(recording, "/latency/quick/end_to_end", "Scalars:scalars")
    assert total == [210.0]


def test_a_moment_gives_the_newest_image_before_it(recording: Path) -> None:
    found = images_at(recording, [0.1, -1.0, 0.05, 99.0])
    assert found[1] is None
    for data, seq in ((found[0], 1), (found[2], 0), (found[3], 2)):
        assert data is not None
        pixels = np.asarray(Pillow.open(io.BytesIO(data)))
        assert pixels.shape == (96, 128, 3)
        assert pixels.mean() == pytest.approx(40 * seq, abs=2)


@pytest.mark.parametrize("kind", ["missing", "junk"])
def test_a_file_that_is_not_a_recording_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "session.rrd"
    if kind == "junk":
        path.write_bytes(b"not a recording")
    with pytest.raises(InputError, match=r"session\.rrd: expected a Rerun recording") as no:
        images_at(path, [1.0])
    assert "\n" not in str(no.value)


def test_a_missing_sdk_is_refused_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(
        MissingPart, match=r"view=rerun: .* run: pip install -e '\.\[view\]'"
    ) as refused:
        require_rerun()
    assert "\n" not in str(refused.value)


def test_a_live_session_is_recorded(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, camera=FakeCamera(20))
    path = tmp_path / "session.rrd"
    # the frames wait for the viewer, however busy the machine: none is dropped
    view = ViewQueue(lambda: RerunView(path, bench.log.since), bench.health.append, patience_s=60.0)
    bench.show_to(view)
    bench.run()
    view.close()
    assert not bench.health
    looked_at = bench.log.close()["frames"]["processed"]
    assert len(rows(path, "/camera", "EncodedImage:blob")) == looked_at >= 1
    ((_, centre), *_) = rows(path, "/camera/boxes", "Boxes2D:centers")
    assert centre == [[32.0, 25.0]]


def test_a_full_disk_is_reported_and_the_session_continues(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs a device that is always full")
    bench = LiveBench(tmp_path, camera=FakeCamera(20))
    view = ViewQueue(lambda: RerunView(full, bench.log.since), bench.health.append)
    bench.show_to(view)
    bench.run()
    view.close()
    (health,) = bench.health
    assert health.what == "view"
    assert "No space left" in health.detail
    assert bench.descriptions
