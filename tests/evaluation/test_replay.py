"""Stored outputs through any router: logged and scored as in a session, the same each time."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.answering.grounding import Grounder
from engine.answering.plan import LANGUAGE_NOT_SPOKEN, AnswerPlan, AnswerSettings
from engine.app.console import Screen
from engine.app.offline import offline
from engine.config import Config, SourceConfig
from engine.core.answer import Decision, Tier
from engine.core.clock import VirtualClock
from engine.core.errors import InputError
from engine.core.glance import Glance
from engine.core.ports import Router
from engine.evaluation.replay import Replay
from engine.evaluation.stored_outputs import Record
from engine.language.wording import Words
from engine.recording.session_log import SessionLog
from routers import Always, Count
from tests.fakes.recordings import make_record, save_recording


def plan_of(router: Router, mode: str = "auto", beats: int = 2) -> AnswerPlan:
    return AnswerPlan(
        AnswerSettings(mode, beats), router, Words("en"), Grounder(("person", "car"), "en")
    )


def session_records(
    folder: Path, record: Record, tier: Tier, beats: int = 2, mode: str = "auto"
) -> list[dict[str, Any]]:
    """The log of a session that replays one record."""
    wall = VirtualClock()
    log = SessionLog(folder, VirtualClock(), wall)
    Replay(plan_of(Always(tier), mode, beats), log, wall, None).play(record)
    log.close()
    return [json.loads(line) for line in (folder / "session.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("tier", "beats", "mode", "said", "end_to_end_ms"),
    [
        ("quick", 2, "auto", ["quick"], 28),
        ("full", 2, "auto", ["quick", "full"], 28),
        ("full", 1, "auto", ["full"], 118),
        ("full", 2, "full", ["full"], 118),
    ],
)
def test_latencies_are_the_recorded_ones(
    tmp_path: Path, tier: Tier, beats: int, mode: str, said: list[str], end_to_end_ms: float
) -> None:
    (answer,) = [
        r
        for r in session_records(tmp_path, make_record(), tier, beats, mode)
        if r["type"] == "description"
    ]
    assert [beat["tier"] for beat in answer["beats"]] == said
    found = answer["latency_ms"]
    assert found["end_to_end"] == pytest.approx(end_to_end_ms)
    assert (found["classify"], found["route"]) == (pytest.approx(10), pytest.approx(2))
    assert found["describer_total"] == (pytest.approx(95) if tier == "full" else None)
    first = "template" if "quick" in said else "describer_first_token"
    parts = ("classify", "route", first, "speech_first_audio")
    assert sum(found[part] for part in parts) == pytest.approx(end_to_end_ms)


@pytest.mark.parametrize(("error", "reported"), [("it broke", 1), (LANGUAGE_NOT_SPOKEN, 0)])
def test_the_template_answers_for_a_describer_that_gave_nothing(
    tmp_path: Path, error: str, reported: int
) -> None:
    record = make_record()
    found = session_records(
        tmp_path, replace(record, full=replace(record.full, text="", error=error)), "full", 1
    )
    (answer,) = [r for r in found if r["type"] == "description"]
    assert answer["tier"] == "quick"
    assert answer["text"] == record.quick.text
    assert any(error in reason for reason in answer["route"]["reasons"])
    assert sum(r["type"] == "health" for r in found) == reported


def replayed(folder: Path, path: Path, **changes: Any) -> tuple[list[str], dict[str, Any]]:
    """A replay by the engine's own loop: its session lines without the summary, and the summary."""
    config = Config(source=SourceConfig(name="recorded", path=str(path), realtime=False))
    for key, value in changes.items():
        setattr(config, key, value)
    with offline(config, folder, Screen(job="test")) as work:
        work.run()
        summary = work.finish()
    return (folder / "session.jsonl").read_text().splitlines()[:-1], summary


def test_two_replays_are_identical_and_scored(tmp_path: Path) -> None:
    path = save_recording(
        tmp_path / "o.jsonl", [make_record(seq, people=seq % 5) for seq in range(12)]
    )
    first, summary = replayed(tmp_path / "a", path)
    second, _ = replayed(tmp_path / "b", path)
    assert first == second
    assert summary["descriptions"] == 12
    assert summary["quality"]["object_recall"] == 1.0
    assert 0 < summary["quality"]["answer_quality"] <= 1
    assert summary["latency_ms"]["obstacle"]["detect"]["p50"] == 20.0


def test_the_mode_overrides_the_router(tmp_path: Path) -> None:
    path = save_recording(tmp_path / "o.jsonl", [make_record(seq) for seq in range(3)])
    for mode, rate in (("quick", 0.0), ("full", 1.0)):
        assert replayed(tmp_path / mode, path, mode=mode)[1]["escalation_rate"] == rate


@pytest.mark.parametrize(
    ("key", "value"), [("language", "es"), ("units", "feet"), ("directions", "clock")]
)
def test_settings_that_change_the_words_are_refused(tmp_path: Path, key: str, value: str) -> None:
    path = save_recording(tmp_path / "o.jsonl", [make_record()])
    with pytest.raises(InputError, match=f"expected {key}="):
        replayed(tmp_path / "run", path, **{key: value})


def test_the_router_decides_once_for_each_image(tmp_path: Path) -> None:
    asked: list[int] = []

    class Counted(Count):
        def decide(self, glance: Glance) -> Decision:
            asked.append(glance.frame.seq)
            return super().decide(glance)

    wall = VirtualClock()
    log = SessionLog(tmp_path, VirtualClock(), wall)
    playback = Replay(plan_of(Counted(0.5), beats=1), log, wall, None)
    for seq in range(5):
        playback.play(make_record(seq))
    assert asked == list(range(5))
