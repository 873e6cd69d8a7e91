"""Whole sessions with `source=vrs` and `source=aria`: obstacles where and when they were."""

import math
from pathlib import Path

import pytest

from engine.core.errors import SetupError
from engine.devices.video.images import decode_image
from engine.devices.video.sample import sample_photo
from tests.fakes import aria
from tests.fakes.command import ROOT, run_here, session
from tests.fakes.vrs_file import Recording

pytestmark = pytest.mark.weights

ONCE = (
    "speech=silent", "speech.rate_wpm=450", "mode=quick", "trigger=once", "answer.signs=false",
)  # fmt: skip


def test_a_recording_plays_in_order_with_its_side_cameras(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kind = aria.GEN2
    path = aria.recording(tmp_path / "walk.vrs", kind, [(0.0, 0.0, 1.0)] * 6, sides=True)
    run_here(
        tmp_path / "run", "source=vrs", f"source.path={path}", "source.realtime=false",
        "source.side_cameras=true", *ONCE,
    )  # fmt: skip
    printed = capfd.readouterr()  # by the SDK, below Python
    assert printed.err == ""
    assert "DEBUG" not in printed.out
    summary = session(tmp_path / "run")[-1]
    assert summary["frames"] == {"seen": 6, "processed": 6, "dropped": 0}
    assert summary["streams"]["camera-rgb"] == {"received": 6, "dropped": 0, "latency_ms": None}
    assert [summary["streams"][label]["received"] for label in kind.sides] == [3, 3]
    assert summary["errors"] == 0
    assert "aside" in summary["latency_ms"]["obstacle"]
    assert summary["obstacle_fps"] == pytest.approx(10.0, abs=0.1)


def test_a_street_recorded_by_gen1_is_seen_where_it_is_at_its_own_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped weights find the two people of the street photo in raw images that lie on their
    side, through the lens of the glasses, in the directions in which the photo has them."""
    calibration = aria.device_calibration(aria.GEN1, 704)
    raw = aria.photo_ahead(calibration, decode_image(sample_photo()), 70.0)
    out = Recording(aria.calibration_json(calibration))
    stream = out.camera(214, 1, 704, 704, 10.0)
    for number in range(12):
        aria.add_image(stream, 5.0 + number / 10, raw, number)
    path = out.write(tmp_path / "street.vrs")
    monkeypatch.setenv("SCENE_ARIA_POCKET", str(ROOT / "models" / "pocket"))
    run_here(tmp_path / "run", "source=vrs", f"source.path={path}", *ONCE)
    records = session(tmp_path / "run")
    found = {
        round(record["bearing_deg"])
        for record in records
        if record["type"] == "obstacle" and record["label"] == "person"
    }
    focal = 1080 / 2 / math.tan(math.radians(35.0))
    for left, right in ((49, 245), (222, 345)):  # read off the photo by eye
        there_deg = math.degrees(math.atan2((left + right) / 2 - 405, focal))
        assert min(abs(bearing - there_deg) for bearing in found) < 4.0
    frames = records[-1]["frames"]
    assert frames["seen"] == 12
    assert frames["processed"] + frames["dropped"] == 12
    # The first and the last are 1.1 s apart, and must not come early.
    assert (frames["processed"] - 1) / records[-1]["obstacle_fps"] > 0.8


@pytest.mark.parametrize("damage", ["zero", "cut"])
def test_a_bad_recording_is_refused_before_models_load(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    path = tmp_path / "a.vrs"
    whole = aria.recording(path, aria.GEN1, [(0.0, 0.0, 1.0)]).read_bytes()
    path.write_bytes({"zero": b"", "cut": whole[:300]}[damage])
    with pytest.raises(SetupError) as refused:
        run_here(tmp_path / "run", "source=vrs", f"source.path={path}")
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "loading" not in printed.out.lower()


@pytest.mark.parametrize("glasses", ["gen1", "gen2"])
def test_missing_glasses_are_refused_with_the_next_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], glasses: str
) -> None:
    with pytest.raises(SetupError, match=r"engine\.doctor aria") as refused:
        run_here(tmp_path / "run", "source=aria", f"source.glasses={glasses}")
    assert "\n" not in str(refused.value)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
