"""Memory that is left, and what happens where a model does not fit."""

from pathlib import Path

import pytest

from engine.app.builders.audio import startup_speech
from engine.app.memory import HEADROOM_MB, available_mb, largest_mb, require_memory
from engine.core.errors import OutOfMemory
from engine.core.report import Health
from engine.core.utterance import Heard, Utterance
from tests.fakes.live import FastVoice, QuickClock
from tests.fakes.stage import TapeSink


@pytest.mark.parametrize(
    ("available_kb", "limit", "used", "found_mb"),
    [
        ("2048000", None, None, 2000.0),
        ("2048000", "max", "1", 2000.0),
        ("2048000", str(512 * 2**20), str(200 * 2**20), 312.0),
        (None, None, None, None),
    ],
)
def test_the_tighter_limit_counts(
    tmp_path: Path,
    available_kb: str | None,
    limit: str | None,
    used: str | None,
    found_mb: float | None,
) -> None:
    meminfo = tmp_path / "meminfo"
    if available_kb is not None:
        meminfo.write_text(f"MemTotal: 9 kB\nMemAvailable:   {available_kb} kB\n")
    for name, value in (("memory.max", limit), ("memory.current", used)):
        if value is not None:
            (tmp_path / name).write_text(f"{value}\n")
    assert available_mb(meminfo, tmp_path) == found_mb


def test_a_model_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "form"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(3 * 2**20))
    (folder / "config.json").write_text("{}")
    weights_mb = largest_mb([folder, tmp_path / "none"])
    assert weights_mb == 3.0
    require_memory("describer", weights_mb, HEADROOM_MB + 3.0)
    require_memory("describer", weights_mb, None)
    with pytest.raises(OutOfMemory, match="needs 259 MB of memory, and 258 MB are left"):
        require_memory("describer", weights_mb, HEADROOM_MB + 2.0)


def fail_to_start(heard: list[Heard]) -> None:
    starting = Utterance(1, "status", "Starting.", 10.0, 0.0)
    report: list[Health] = []
    with startup_speech(
        starting, "I have to stop.", FastVoice(0.2), TapeSink(), QuickClock(), report.append
    ) as startup:
        startup.heard = heard
        raise MemoryError


def test_a_start_that_fails_is_said() -> None:
    """As when the detector finds no memory."""
    heard: list[Heard] = []
    with pytest.raises(MemoryError):
        fail_to_start(heard)
    assert [item.utterance.text for item in heard if item.ended_s][-1] == "I have to stop."
