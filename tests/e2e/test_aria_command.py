"""`source=vrs` through the real command: what was recorded comes out where and when it was."""

import json
from pathlib import Path

import pytest

from tests import aria
from tests.command import engine

GOOD = ("speech=wav", "mode=quick", "trigger=once")


def test_a_recording_plays_in_order_with_its_side_cameras(tmp_path: Path) -> None:
    kind = aria.GEN2
    path = aria.recording(tmp_path / "walk.vrs", kind, [(0.0, 0.0, 1.0)] * 6, sides=True)
    done = engine(
        "source=vrs", f"source.path={path}", "source.realtime=false", "source.side_cameras=true",
        f"hydra.run.dir={tmp_path / 'run'}", *GOOD,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "DEBUG" not in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["frames"] == {"seen": 6, "processed": 6, "dropped": 0}
    assert summary["streams"]["camera-rgb"] == {"received": 6, "dropped": 0, "latency_ms": None}
    assert [summary["streams"][label]["received"] for label in kind.sides] == [3, 3]
    assert summary["errors"] == 0
    assert "aside" in summary["latency_ms"]["obstacle"]
    assert summary["obstacle_fps"] == pytest.approx(10.0, abs=0.1)


def test_in_real_time_a_recording_keeps_its_pace(tmp_path: Path) -> None:
    path = aria.recording(tmp_path / "walk.vrs", aria.GEN1, [(0.0, 0.0, 1.0)] * 15)
    done = engine(
        "source=vrs", f"source.path={path}", f"hydra.run.dir={tmp_path / 'run'}", *GOOD
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["frames"]["seen"] == 15
    assert summary["frames"]["processed"] + summary["frames"]["dropped"] == 15
    # 14 tenths of a second between the first and the last, which must not come early
    assert (summary["frames"]["processed"] - 1) / summary["obstacle_fps"] > 1.2


@pytest.mark.parametrize("damage", ["zero", "cut"])
def test_a_bad_recording_ends_in_one_line_before_models_load(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.vrs"
    whole = aria.recording(path, aria.GEN1, [(0.0, 0.0, 1.0)]).read_bytes()
    path.write_bytes({"zero": b"", "cut": whole[:300]}[damage])
    done = engine("source=vrs", f"source.path={path}", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(path) in done.stderr
    assert "loading" not in done.stdout.lower()


@pytest.mark.parametrize("glasses", ["gen1", "gen2"])
def test_no_glasses_end_in_one_line_with_the_next_command(tmp_path: Path, glasses: str) -> None:
    done = engine("source=aria", f"source.glasses={glasses}", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "engine.doctor aria" in done.stderr
    assert done.stdout == ""
