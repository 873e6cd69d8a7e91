"""Unit: the session log. What is on disk, whose sums agree, what happens when the disk is full."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.answer import Beat, Decision, Description, Request, Tier
from engine.core.clock import VirtualClock
from engine.core.errors import InputError
from engine.core.glance import Mark, SceneClass
from engine.core.report import Health
from engine.core.utterance import Heard, Utterance
from engine.recording.latency import STAGES, latencies, spread
from engine.recording.session_log import SessionLog

QUICK = ("asked", "capture", "classify", "route", "template")
FULL = ("asked", "capture", "classify", "route", "describer_first_token", "describer_total")


def marks(stages: tuple[str, ...], step_s: float = 0.01) -> tuple[Mark, ...]:
    return tuple(Mark(stage, 5.0 + step_s * place) for place, stage in enumerate(stages))


def description(tier: Tier, request_id: int, stages: tuple[str, ...]) -> Description:
    return Description(
        request=Request(request_id, "once", 5.0),
        frame_seq=3,
        mode="auto",
        tier=tier,
        decision=Decision(tier, 0.4, 0.5, ("calm",)),
        scene=SceneClass("street", 0.9, 0.2, False),
        beats=(Beat(tier, "A street."),),
        marks=marks(stages),
    )


def answer(ident: int, request_id: int) -> Utterance:
    return Utterance(ident, "answer", "A street.", 20.0, 0.0, answer=request_id)


@pytest.fixture
def clocks() -> tuple[VirtualClock, VirtualClock]:
    return VirtualClock(), VirtualClock(5.0)


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "session.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("stages", "parts"),
    [
        (QUICK, ("capture", "classify", "route", "template", "speech_first_audio")),
        (FULL, ("capture", "classify", "route", "describer_first_token", "speech_first_audio")),
        (
            (*QUICK, "describer_first_token", "describer_total"),
            ("capture", "classify", "route", "template", "speech_first_audio"),
        ),
    ],
)
def test_end_to_end_is_the_sum_of_its_parts(
    stages: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    measured = latencies(marks(stages), first_audio_s=5.5)
    assert measured["end_to_end"] == pytest.approx(500.0)
    assert sum(measured[part] or 0 for part in parts) == pytest.approx(measured["end_to_end"])
    assert tuple(measured) == STAGES


def test_a_wake_phrase_counts_from_its_end() -> None:
    spoken = (Mark("spoken", 4.9), *marks(QUICK))
    measured = latencies(spoken, first_audio_s=5.5)
    assert measured["wake"] == pytest.approx(100.0)
    assert measured["end_to_end"] == pytest.approx(600.0)


def test_a_stage_that_did_not_run_is_null() -> None:
    measured = latencies(marks(QUICK), None)
    assert measured["describer_total"] is None
    assert measured["end_to_end"] is None


@pytest.mark.parametrize("spoken_first", [True, False])
def test_a_description_waits_for_its_first_sound(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock], spoken_first: bool
) -> None:
    timeline, wall = clocks
    trace = SessionLog(tmp_path, timeline, wall)
    wall.move_to(5.25)
    if spoken_first:
        trace.started(answer(1, 7), 0.0)
        trace.description(description("quick", 7, QUICK))
    else:
        trace.description(description("quick", 7, QUICK))
        trace.started(answer(1, 7), 0.0)
    trace.started(answer(2, 7), 0.0)  # a later clause changes nothing
    summary = trace.close()
    (record,) = [r for r in records(tmp_path) if r["type"] == "description"]
    latency = record["latency_ms"]
    assert isinstance(latency, dict)
    assert latency["end_to_end"] == pytest.approx(250.0)
    assert summary["latency_ms"]["quick"]["end_to_end"]["n"] == 1


def test_an_answer_that_was_never_heard_is_still_logged(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    trace = SessionLog(tmp_path, *clocks)
    trace.description(description("quick", 7, QUICK))
    trace.heard(Heard(answer(1, 7), None, None, "superseded"))
    trace.close()
    kinds = [r["type"] for r in records(tmp_path)]
    assert kinds == ["description", "utterance", "summary"]


def test_a_cut_answer_and_what_resumes_it_are_two_records(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    trace = SessionLog(tmp_path, *clocks)
    trace.heard(Heard(answer(1, 7), 1.0, 1.5, cut="interrupted"))
    trace.heard(Heard(replace(answer(9, 7), resumes=1), 3.0, 4.0))
    summary = trace.close()
    first, again = (r for r in records(tmp_path) if r["type"] == "utterance")
    assert (first["id"], first["dropped"], first["cut"], first["resumes"]) == (
        1, None, "interrupted", None,
    )  # fmt: skip
    assert (again["id"], again["dropped"], again["cut"], again["resumes"]) == (9, None, None, 1)
    assert again["text"] == first["text"]
    assert summary["utterances"] == {"spoken": 2, "dropped": 0}


def test_the_summary_is_the_last_line_and_the_file(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    timeline, wall = clocks
    trace = SessionLog(tmp_path, timeline, wall)
    for seq in range(5):
        timeline.move_to(seq * 0.1)
        trace.seen(seq + 2)
        trace.frame(seq, (), {"detect": 10.0 + seq})
    for ident, tier in enumerate(("quick", "full", "full", "full")):
        trace.description(description("full" if tier == "full" else "quick", ident, QUICK))
    trace.health(Health("camera", "gone", "said so"))
    summary = trace.close()
    assert trace.close() == summary
    last = records(tmp_path)[-1]
    assert (last["type"], last["t"]) == ("summary", 0.4)
    assert last == json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["frames"] == {"seen": 6, "processed": 5, "dropped": 1}
    assert summary["obstacle_fps"] == pytest.approx(10.0)
    assert summary["escalation_rate"] == 0.75
    assert summary["latency_ms"]["obstacle"]["detect"]["p50"] == 12.0
    assert summary["errors"] == 1


def test_what_an_earlier_session_left_is_not_taken_for_this_one(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    for name in ("summary.json", "audio.wav", "session.jsonl", "notes.txt"):
        (tmp_path / name).write_text("of yesterday")
    SessionLog(tmp_path, *clocks)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "session.jsonl"]
    assert (tmp_path / "session.jsonl").read_text() == ""


def test_a_summary_that_cannot_be_written_whole_is_not_left_in_part(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = SessionLog(tmp_path, *clocks)
    told: list[str] = []
    trace.on_full = told.append

    def half(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text[:5].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    assert trace.close()["errors"] == 0
    assert not (tmp_path / "summary.json").exists()
    (line,) = told
    assert "summary.json" in line
    assert "No space left on device" in line


def test_a_full_disk_loses_the_log_but_not_the_session(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs a device that is always full")
    trace = SessionLog(tmp_path, *clocks)
    trace.path.unlink()
    said: list[str] = []
    trace.on_full = said.append
    trace._file = full.open("w", encoding="utf-8")
    trace.health(Health("a", "b", "c"))
    trace.health(Health("a", "b", "c"))
    assert len(said) == 1
    assert "could not be written" in said[0]
    assert trace.close()["errors"] == 3


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"hydra\.run\.dir: expected a folder") as refused:
        SessionLog(tmp_path / "file" / "session", *clocks)
    assert "\n" not in str(refused.value)


def test_spread_is_linear_between_sorted_values() -> None:
    assert spread([4.0, 1.0, 3.0, 2.0]) == {
        "n": 4,
        "mean": 2.5,
        "p50": 2.5,
        "p95": 3.85,
        "max": 4.0,
    }
