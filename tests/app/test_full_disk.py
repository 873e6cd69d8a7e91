"""A full disk: the session goes on, says so, prints its summary, and ends with exit status 1."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.app import job, session
from engine.app.opening import announce_full_disk
from engine.app.subsystems import Work
from engine.config import Config
from engine.core.errors import RunError
from engine.core.report import Health
from engine.devices.sound.wav import WavSink
from engine.evaluation.sweep import FAILURE, Failure, keep_failure
from tests.devices.test_sinks import tone
from tests.fakes.live import LiveBench

FULL = Path("/dev/full")
SUMMARY: dict[str, Any] = {
    "type": "summary", "frames": {"seen": 3, "processed": 3, "dropped": 0}, "obstacle_fps": 1.0,
    "latency_ms": {}, "escalation_rate": None, "utterances": {"spoken": 0, "dropped": 0},
    "peak_memory_mb": 1.0, "errors": 1,
}  # fmt: skip

needs_dev_full = pytest.mark.skipif(not FULL.exists(), reason="needs a disk that is always full")


def run_with(folder: Path, monkeypatch: pytest.MonkeyPatch, unwritten: list[str]) -> dict[str, Any]:
    @contextlib.contextmanager
    def work(*_: object) -> Iterator[Work]:
        yield Work(lambda: None, lambda: SUMMARY, unwritten)

    monkeypatch.setattr(session, "work", work)
    return job.run(Config(), folder)


def test_a_summary_that_cannot_be_written_is_printed_and_the_status_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunError, match=r"audio\.wav, summary\.json; free some space") as raised:
        run_with(tmp_path, monkeypatch, ["audio.wav", "summary.json"])
    assert "\n" not in str(raised.value)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [json.loads(line) for line in lines] == [SUMMARY]


def test_with_room_on_the_disk_the_session_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_with(tmp_path, monkeypatch, []) == SUMMARY


@needs_dev_full
def test_the_log_names_its_files_that_were_not_written(tmp_path: Path) -> None:
    (tmp_path / "session.jsonl").symlink_to(FULL)
    bench = LiveBench(tmp_path, batch=True)
    bench.log.on_full = lambda line: None
    bench.log.health(Health("a", "b", "c"))
    bench.log.close()
    assert bench.log.unwritten == ["session.jsonl"]


@needs_dev_full
def test_the_wearer_hears_once_that_the_session_is_not_recorded(tmp_path: Path) -> None:
    (tmp_path / "session.jsonl").symlink_to(FULL)
    bench = LiveBench(tmp_path)
    bench.log.on_full = lambda line: None
    announce_full_disk(bench.log, bench.session.notifier)
    bench.run()
    assert sum("disk may be full" in text for text in bench.said) == 1


@needs_dev_full
@pytest.mark.parametrize("sounds", [0, 1])
def test_a_sound_file_that_is_not_whole_is_named_once(tmp_path: Path, sounds: int) -> None:
    (tmp_path / "audio.wav").symlink_to(FULL)
    unwritten: list[str] = []
    sink = WavSink(tmp_path / "audio.wav", 22050, unwritten.append)
    for _ in range(sounds):
        with contextlib.suppress(Exception):
            sink.write(tone())
    sink.close()
    sink.close()
    assert unwritten == ["audio.wav"]


@needs_dev_full
def test_a_failure_that_cannot_be_kept_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unkept: list[Failure] = []
    monkeypatch.setattr("engine.evaluation.sweep.unkept", unkept)
    (tmp_path / FAILURE).symlink_to(FULL)
    failure = Failure("a=1", "a line", 1)
    keep_failure(failure, tmp_path)
    assert not (tmp_path / FAILURE).exists()
    assert unkept == [failure]
