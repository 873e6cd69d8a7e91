"""The session log: records on disk, totals, and a full disk."""

import json
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.core.answer import Beat, Decision, Description, Request, Tier
from engine.core.clock import VirtualClock
from engine.core.errors import InputError
from engine.core.file_parts import parts_of
from engine.core.glance import Mark, SceneClass
from engine.core.report import Health, ModelCard
from engine.core.utterance import Heard, Utterance
from engine.recording.latency import STAGES, latencies, spread
from engine.recording.session_log import MAX_WAITING, SessionLog

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


def test_the_latency_of_a_spoken_request_counts_from_the_end_of_the_wake_phrase() -> None:
    spoken = (Mark("spoken", 4.9), *marks(QUICK))
    measured = latencies(spoken, first_audio_s=5.5)
    assert measured["wake"] == pytest.approx(100.0)
    assert measured["end_to_end"] == pytest.approx(600.0)


def test_a_stage_that_did_not_run_is_null() -> None:
    measured = latencies(marks(QUICK), None)
    assert measured["describer_total"] is None
    assert measured["end_to_end"] is None


@pytest.mark.parametrize("spoken_first", [True, False])
def test_a_description_is_written_after_its_first_sound(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock], spoken_first: bool
) -> None:
    timeline, wall = clocks
    log = SessionLog(tmp_path, timeline, wall)
    wall.move_to(5.25)
    if spoken_first:
        log.started(answer(1, 7), 0.0)
        log.description(description("quick", 7, QUICK))
    else:
        log.description(description("quick", 7, QUICK))
        log.started(answer(1, 7), 0.0)
    log.started(answer(2, 7), 0.0)  # a later clause has no effect
    summary = log.close()
    (record,) = [r for r in records(tmp_path) if r["type"] == "description"]
    latency = record["latency_ms"]
    assert isinstance(latency, dict)
    assert latency["end_to_end"] == pytest.approx(250.0)
    assert summary["latency_ms"]["quick"]["end_to_end"]["n"] == 1


def test_an_answer_that_was_never_heard_is_still_logged(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    log = SessionLog(tmp_path, *clocks)
    log.description(description("quick", 7, QUICK))
    log.heard(Heard(answer(1, 7), None, None, "superseded"))
    log.close()
    kinds = [r["type"] for r in records(tmp_path)]
    assert kinds == ["description", "utterance", "summary"]


def test_a_cut_answer_and_its_repetition_are_two_records(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    log = SessionLog(tmp_path, *clocks)
    log.heard(Heard(answer(1, 7), 1.0, 1.5, cut="interrupted"))
    log.heard(Heard(replace(answer(9, 7), resumes=1), 3.0, 4.0))
    summary = log.close()
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
    log = SessionLog(tmp_path, timeline, wall)
    for seq in range(5):
        timeline.move_to(seq * 0.1)
        log.seen(seq + 2)
        log.frame(seq, (), {"detect": 10.0 + seq})
    for ident, tier in enumerate(("quick", "full", "full", "full")):
        log.description(description("full" if tier == "full" else "quick", ident, QUICK))
    log.health(Health("camera", "gone", "said so"))
    summary = log.close()
    assert log.close() == summary
    last = records(tmp_path)[-1]
    assert (last["type"], last["t"]) == ("summary", 0.4)
    assert last == json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["frames"] == {"seen": 6, "processed": 5, "dropped": 1}
    assert summary["obstacle_fps"] == pytest.approx(10.0)
    assert summary["escalation_rate"] == 0.75
    assert summary["latency_ms"]["obstacle"]["detect"]["p50"] == 12.0
    assert summary["errors"] == 1


def test_files_of_an_earlier_session_are_removed(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    for name in ("summary.json", "audio.wav", "session.jsonl", "notes.txt"):
        (tmp_path / name).write_text("of yesterday")
    SessionLog(tmp_path, *clocks)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "session.jsonl"]
    assert (tmp_path / "session.jsonl").read_text() == ""


def test_a_partly_written_summary_is_removed(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SessionLog(tmp_path, *clocks)
    lines: list[str] = []
    log.on_full = lines.append

    def half(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text[:5].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    assert log.close()["errors"] == 0
    assert not (tmp_path / "summary.json").exists()
    (line,) = lines
    assert "summary.json" in line
    assert "No space left on device" in line


def test_a_full_disk_loses_the_log_but_not_the_session(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs a device that is always full")
    (tmp_path / "session.jsonl").symlink_to(full)
    log = SessionLog(tmp_path, *clocks)
    lines: list[str] = []
    log.on_full = lines.append
    log.health(Health("a", "b", "c"))
    log.health(Health("a", "b", "c"))
    assert log.close()["errors"] == 3
    assert len(lines) == 1
    assert "could not be written" in lines[0]


def test_a_disk_that_hangs_stops_nobody_and_its_lost_records_are_counted(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    log = SessionLog(tmp_path, *clocks, patience_s=0.0)
    resumed = threading.Event()
    log.outlet.put(lambda: resumed.wait(30.0))
    for _ in range(MAX_WAITING + 5):
        log.health(Health("a", "b", "c"))  # returns at once
    assert log.outlet.lost >= 5
    resumed.set()
    log.outlet.flush(30.0)
    log.health(Health("a", "b", "c"))
    log.close()
    (told,) = [r for r in records(tmp_path) if r.get("what") == "log"]
    assert told["detail"] == f"{log.outlet.lost} records found no room, as the disk was slow"
    assert records(tmp_path)[-1]["type"] == "summary"


def test_a_disk_that_hangs_to_the_end_still_leaves_the_summary_in_memory(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.recording.session_log.CLOSE_S", 0.01)
    log = SessionLog(tmp_path, *clocks, patience_s=0.0)
    lines: list[str] = []
    log.on_full = lines.append
    resumed = threading.Event()
    log.outlet.put(lambda: resumed.wait(30.0))
    log.health(Health("a", "b", "c"))
    assert log.close()["errors"] == 1
    (line,) = lines
    assert "the disk took nothing for 0.01 s" in line
    resumed.set()


def test_a_name_that_is_not_utf_8_is_escaped(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    log = SessionLog(tmp_path, *clocks)
    log.health(Health("frame", "ni\udcf1o.jpg: broken", "skipped it"))
    log.close()
    first = (tmp_path / "session.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert "ni\\udcf1o.jpg" in first
    assert json.loads(first)["detail"].encode("utf-8", "surrogateescape") == b"ni\xf1o.jpg: broken"


def test_a_folder_that_cannot_be_created_is_refused_in_one_line(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"hydra\.run\.dir: expected a folder") as refused:
        SessionLog(tmp_path / "file" / "session", *clocks)
    assert "\n" not in str(refused.value)


def test_percentiles_are_interpolated_linearly() -> None:
    assert spread([4.0, 1.0, 3.0, 2.0]) == {
        "n": 4,
        "mean": 2.5,
        "p50": 2.5,
        "p95": 3.85,
        "max": 4.0,
    }


def test_a_long_log_goes_on_in_parts(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.recording.log_file.PART_BYTES", 5000)
    log = SessionLog(tmp_path, *clocks)
    log.session("1", "auto", "en", "sample", {})
    for number in range(400):
        log.health(Health("test", f"record {number}", "went on"))
    log.close()
    parts = list(parts_of(tmp_path / "session.jsonl"))
    assert len(parts) > 3
    assert all(part.stat().st_size < 5400 for part in parts)
    lines = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["session", *["health"] * 400, "summary"]
    assert [line["detail"] for line in lines[1:-1]] == [f"record {n}" for n in range(400)]


def test_a_session_that_is_killed_while_it_loads_leaves_its_records(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    log = SessionLog(tmp_path, *clocks)
    log.session("1", "auto", "en", "sample", {})
    log.health(Health("a", "b", "c"))
    log.outlet.flush(30.0)
    assert [record["type"] for record in records(tmp_path)] == ["session", "health"]


def test_the_first_record_names_models_that_are_loaded_later(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.recording.log_file.PART_BYTES", 5000)
    detector, scenes = (ModelCard(name, "pocket", "cpu", "openvino", "fp32") for name in "ds")
    log = SessionLog(tmp_path, *clocks)
    log.session("1", "auto", "en", "sample", {})
    log.loaded({"detector": detector})
    for number in range(60):
        log.health(Health("a", f"record {number}", "c"))
    log.loaded({"detector": detector, "scenes": scenes})  # its part of the log is full
    log.close()
    parts = list(parts_of(tmp_path / "session.jsonl"))
    assert len(parts) == 2
    first, *rest = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert (first["type"], first["t"], first["mode"]) == ("session", 0.0, "auto")
    assert {tier: card["name"] for tier, card in first["models"].items()} == {
        "detector": "d",
        "scenes": "s",
    }
    assert [record["type"] for record in rest] == ["health"] * 60 + ["summary"]


def test_a_first_record_that_outgrows_its_room_is_written_again(
    tmp_path: Path, clocks: tuple[VirtualClock, VirtualClock]
) -> None:
    log = SessionLog(tmp_path, *clocks)
    log.session("1", "auto", "en", "sample", {})
    long = ModelCard("n" * 5000, "pocket", "cpu", "openvino", "fp32")
    log.loaded({"detector": long})
    log.close()
    first, again, last = records(tmp_path)
    assert (first["type"], again["type"], last["type"]) == ("session", "session", "summary")
    assert again["models"] == {"detector": json.loads(json.dumps(asdict(long)))}
