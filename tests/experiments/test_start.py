"""The measurement of starts, over a checkout whose engine only pretends."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import InputError
from experiments.latency import start
from experiments.latency.start import ALERT, Version, command_s, run_session

pytestmark = pytest.mark.command

ENGINE = """
import json, sys
from pathlib import Path
if "mode=broken" in sys.argv:
    print("scene-aria: it broke", file=sys.stderr)
    sys.exit(2)
out = Path(next(w for w in sys.argv if w.startswith("hydra.run.dir=")).partition("=")[2])
out.mkdir()
print("{alert}")
print("{ready}")
log = [
    {{"type": "utterance", "text": "Starting.", "queued_t": 0.0, "started_t": 0.1}},
    {{"type": "utterance", "text": "Ready.", "queued_t": 2.0, "started_t": 3.5}},
]
(out / "session.jsonl").write_text("".join(json.dumps(r) + chr(10) for r in log))
(out / "summary.json").write_text('{{"peak_memory_mb": 7.0, "obstacle_fps": 29.0}}')
"""
RICH = ("   5.44 s  heard    -9°  Person ahead, three meters.", "   5.01 s  heard         Ready.")
PLAIN = ("1.71 s: alert, 9 degrees left: Person ahead.", "2.01 s: status: Ready.")


def checkout(folder: Path, lines: tuple[str, str]) -> Version:
    (folder / "engine").mkdir(parents=True)
    script = ENGINE.format(alert=lines[0], ready=lines[1])
    (folder / "engine" / "__main__.py").write_text(script, encoding="utf-8")
    return Version("here", folder, sys.executable, folder / "home")


@pytest.mark.parametrize("lines", [RICH, PLAIN], ids=["rich", "plain"])
def test_a_session_is_timed_by_its_lines_and_its_log(
    tmp_path: Path, lines: tuple[str, str]
) -> None:
    version = checkout(tmp_path, lines)
    found = run_session(version, "mode=auto")
    assert 0 < found["alert_s"] <= found["ready_s"]
    assert found["loaded_s"] == pytest.approx(found["ready_s"] - 1.5)
    assert found["summary"]["peak_memory_mb"] == 7.0
    assert command_s(version, "-c", "pass") > 0


def test_a_session_that_fails_ends_the_measurement_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ended with 2: scene-aria: it broke"):
        run_session(checkout(tmp_path, PLAIN), "mode=broken")


@pytest.mark.parametrize("line", ["1.0 s  heard         Ready.", "2.0 s: status: Ready.", "alert"])
def test_other_lines_are_no_alerts(line: str) -> None:
    assert not ALERT.search(line)


def test_both_versions_are_compared_and_plotted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = checkout(tmp_path / "here", PLAIN)
    before = checkout(tmp_path / "before", RICH)
    monkeypatch.setattr(start, "ROOT", here.folder)

    def measure_speed(version: Version, *_: Any) -> None:
        version.keep(engine_cost_ms=1.5, p50_ms=None)

    monkeypatch.setattr(start, "measure_speed", measure_speed)
    picture = tmp_path / "bars.png"
    options = ["--repeats", "2", "--first-starts", "1", "--plot", str(picture)]
    assert start.main([*options, "--against", str(before.folder)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("here", "before"):
        assert result[name]["peak_mb"] == 7.0
        assert result[name]["engine_cost_ms"] == 1.5
        assert result[name]["first_start_s"] > 0
        assert "p50_ms" not in result[name]
    assert picture.stat().st_size > 1000
